"""The kinds of record: for each type its table, topic, keys and time, said once."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from attrs import field, fields, frozen

from dataplatform.dsl.types import (
    CryptoMarketAnalytics,
    CryptoOHLCVData,
    CryptoPriceData,
    DeadLetter,
    Level1Data,
    Record,
)

__all__ = ["ANALYTICS", "DEAD_LETTERS", "KINDS", "LEVEL1", "OHLCV", "PRICES", "Kind", "kind_named", "kind_of"]


@frozen
class Kind:
    """A type of record and where it lives.

    `key` are the columns that make a row the same row, `time` the column it is ordered by, and a hypertable cut by.
    `message_key` is the field whose value keys the messages of a topic, so that each coin's records stay in order.
    `version` counts the changes of the type.
    """

    name: str
    type: type[Any] = field(repr=False)
    table: str = field(repr=False)
    topic: str = field(repr=False)
    key: tuple[str, ...] = field(repr=False)
    time: str = field(repr=False)
    message_key: str = field(repr=False)
    version: int = field(default=1, repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(attribute.name for attribute in fields(self.type))

    def keys(self, records: list[Record]) -> list[bytes]:
        """Return the message key of each record."""
        get: Callable[[Record], str] = attrgetter(self.message_key)
        return [get(record).encode() for record in records]


PRICES = Kind(
    "prices",
    CryptoPriceData,
    table="crypto_prices",
    topic="crypto-prices",
    key=("coin_id", "exchange_id", "source", "last_updated"),
    time="last_updated",
    message_key="coin_id",
)
OHLCV = Kind(
    "ohlcv",
    CryptoOHLCVData,
    table="crypto_ohlcv",
    topic="crypto-ohlcv",
    key=("coin_id", "exchange_id", "source", "timeframe", "timestamp"),
    time="timestamp",
    message_key="coin_id",
)
ANALYTICS = Kind(
    "analytics",
    CryptoMarketAnalytics,
    table="market_analytics",
    topic="crypto-analytics",
    key=("exchange_id", "source", "timestamp"),
    time="timestamp",
    message_key="exchange_id",
)
LEVEL1 = Kind(
    "level1",
    Level1Data,
    table="level1",
    topic="crypto-level1",
    key=("ticker", "exchange", "market", "source", "timestamp"),
    time="timestamp",
    message_key="ticker",
)
DEAD_LETTERS = Kind(
    "dead_letters",
    DeadLetter,
    table="dead_letters",
    topic="crypto-dead-letters",
    key=("id",),
    time="time",
    message_key="origin",
)
KINDS = (PRICES, OHLCV, ANALYTICS, LEVEL1, DEAD_LETTERS)
_BY_TYPE = {kind.type: kind for kind in KINDS}
_BY_NAME = {kind.name: kind for kind in KINDS}


def kind_of(record: Record) -> Kind:
    """Return the kind of a record."""
    return _BY_TYPE[type(record)]


def kind_named(name: str) -> Kind | None:
    """Return the kind called `prices`, `ohlcv`, `analytics`, `level1` or `dead_letters`."""
    return _BY_NAME.get(name)
