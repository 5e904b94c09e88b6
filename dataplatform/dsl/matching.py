"""Matching an answer to its question: what nobody asked for is never taken for what was, whoever answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from dataplatform.dsl.kinds import Kind
from dataplatform.dsl.queries import Level1Query
from dataplatform.dsl.types import CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success

__all__ = ["asked_for", "latest_of_kind", "level1_asked_for"]

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


def latest_of_kind(kind: Kind, keys: Sequence[str], source: str, answer: Result[list[Any]]) -> Result[list[Any]]:
    """Return the latest record of each key, in the keys' order; fails where there is none, or none of what was asked.

    A note tells how many others the answer held.
    """
    if isinstance(answer, Failure):
        return answer
    named = ", ".join(map(repr, keys[:SHOWN])) + (", …" if len(keys) > SHOWN else "")
    key_of, latest = attrgetter(kind.message_key), dict[str, Any]()
    fitting = [record for record in answer.data if type(record) is kind.type and key_of(record) in keys]
    for record in sorted(fitting, key=attrgetter(kind.time)):
        latest[key_of(record)] = record
    if not latest and answer.data:
        return Failure(_mismatch(f"{source} answered with others when it was asked for {kind.name} of {named}"))
    if not latest:
        return Failure(Permanent("not_found", f"{source} has no {kind.name} of {named}"))
    strangers = len(answer.data) - len(fitting)
    notes = (f"{source} answered {strangers} records besides what it was asked for; they were left out",)
    return Success([latest[key] for key in keys if key in latest], (*answer.notes, *(notes if strangers else ())))


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
