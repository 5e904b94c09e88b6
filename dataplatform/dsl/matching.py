"""Matching an answer to its question: what nobody asked for is never taken for what was, whoever answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dataplatform.dsl.queries import Level1Query
from dataplatform.dsl.types import CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success

__all__ = ["asked_for", "level1_asked_for"]

OfCoin = TypeVar("OfCoin", CryptoPriceData, CryptoOHLCVData)
SHOWN = 3  # of the strangers in an answer


def asked_for(
    answer: Success[list[OfCoin]], asked: str, fits: Callable[[OfCoin], bool], source: str
) -> Result[list[OfCoin]]:
    """Return the records that fit the question; a note names the others.

    Fails with `changed_shape` where the answer holds nothing but others. One that is empty stays so.
    """
    fitting = [record for record in answer.data if fits(record)]
    if len(fitting) == len(answer.data):
        return answer
    others = dict.fromkeys(_subject(record) for record in answer.data if not fits(record))
    told = f"{source} answered with {', '.join(list(others)[:SHOWN])}{', …' if len(others) > SHOWN else ''}"
    if not fitting:
        return Failure(_mismatch(f"{told} when it was asked for {asked}"))
    return Success(fitting, (*answer.notes, f"{told} besides what it was asked for; that was left out"))


def level1_asked_for(answer: Success[Level1Data], query: Level1Query, source: str) -> Result[Level1Data]:
    """Return the answer; fails with `changed_shape` where it is of another ticker, exchange or market."""
    found = answer.data
    exchange, market = query.exchange or found.exchange, query.market or found.market
    if (found.ticker, found.exchange, found.market.upper()) == (query.ticker, exchange, market.upper()):
        return answer
    told = f"{source} answered with {found.ticker!r} on {found.market} of {found.exchange}"
    return Failure(_mismatch(f"{told} when it was asked for {query.ticker!r} on {market} of {exchange}"))


def _subject(record: CryptoPriceData | CryptoOHLCVData) -> str:
    return f"{record.coin_id!r}" + (f" {record.timeframe}" if isinstance(record, CryptoOHLCVData) else "")


def _mismatch(text: str) -> Permanent:
    return Permanent("changed_shape", text, remedy="see whether its API has changed, or the client leads elsewhere")
