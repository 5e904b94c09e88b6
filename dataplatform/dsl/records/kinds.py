"""The kinds of record: for each type its table, topic, keys, time and operations, said once.

An installed package adds a kind of its own by an entry point of the group `dataplatform.kinds` that names a `Kind`.
They are looked for when they are first asked for, never while a module is imported: the module of such a kind may
itself import the platform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from operator import attrgetter
from typing import Any

from attrs import Attribute, field, fields, frozen, has

from dataplatform.dsl.records.types import (
    CryptoMarketAnalytics,
    CryptoOHLCVData,
    CryptoPriceData,
    DeadLetter,
    Level1Data,
    Record,
)

__all__ = [
    "ANALYTICS",
    "DEAD_LETTERS",
    "GROUP",
    "KINDS",
    "LEVEL1",
    "OHLCV",
    "PRICES",
    "Kind",
    "kind_named",
    "kind_of",
    "kinds",
    "refused_kinds",
]

GROUP = "dataplatform.kinds"


def _identifier(_: Any, attribute: Attribute[Any], value: str) -> None:
    if not isinstance(value, str) or (value and not (value.isidentifier() and value.islower())):
        raise ValueError(f"{attribute.name}: expected a name in lower case such as 'trades', got {value!r}")


@frozen
class Kind:
    """A type of record and where it lives.

    `key` are the columns that make a row the same row, `time` the column it is ordered by, and a hypertable cut by.
    `message_key` is the field whose value keys the messages of a topic, so that each coin's records stay in order.
    `version` counts the changes of the type. `publish_one` and `publish_many` are what its writing operations are
    called, `get_latest` the reading one that answers the latest records of some message keys; "" where it has none.

    >>> PRICES.publish_many
    'publish_prices'
    """

    name: str = field(validator=_identifier)
    type: type[Any] = field(repr=False)
    table: str = field(repr=False)
    topic: str = field(repr=False)
    key: tuple[str, ...] = field(repr=False)
    time: str = field(repr=False)
    message_key: str = field(repr=False)
    version: int = field(default=1, repr=False)
    publish_one: str = field(default="", validator=_identifier, repr=False)
    publish_many: str = field(default="", validator=_identifier, repr=False)
    get_latest: str = field(default="", validator=_identifier, repr=False)

    def __attrs_post_init__(self) -> None:
        if not (isinstance(self.type, type) and has(self.type)):
            raise TypeError(f"the type of {self.name!r} is no attrs class")
        strange = {*self.key, self.time, self.message_key} - set(self.columns)
        if strange:
            raise ValueError(f"{self.type.__name__} has no field {min(strange)!r}")

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations that are about this kind alone and follow from it."""
        return tuple(filter(None, (self.publish_one, self.publish_many, self.get_latest)))

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
    publish_one="publish_price",
    publish_many="publish_prices",
)
OHLCV = Kind(
    "ohlcv",
    CryptoOHLCVData,
    table="crypto_ohlcv",
    topic="crypto-ohlcv",
    key=("coin_id", "exchange_id", "source", "timeframe", "timestamp"),
    time="timestamp",
    message_key="coin_id",
    publish_one="publish_ohlcv",
    publish_many="publish_ohlcv_batch",
)
ANALYTICS = Kind(
    "analytics",
    CryptoMarketAnalytics,
    table="market_analytics",
    topic="crypto-analytics",
    key=("exchange_id", "source", "timestamp"),
    time="timestamp",
    message_key="exchange_id",
    publish_one="publish_analytics",
)
LEVEL1 = Kind(
    "level1",
    Level1Data,
    table="level1",
    topic="crypto-level1",
    key=("ticker", "exchange", "market", "source", "timestamp"),
    time="timestamp",
    message_key="ticker",
    publish_one="publish_level1",
    publish_many="publish_level1_batch",
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
"""Those of the platform itself; `kinds()` are all that there are."""


def kinds() -> tuple[Kind, ...]:
    """Return all kinds of record: the platform's own, then those that installed packages add, by name."""
    return _installed()[0]


def refused_kinds() -> Mapping[str, str]:
    """Return the entry points whose kinds cannot be used, with the reason; each harms no other."""
    return _installed()[1]


def kind_of(record: Record) -> Kind:
    """Return the kind of a record."""
    return _by_type()[type(record)]


def kind_named(name: str) -> Kind | None:
    """Return the kind called `prices`, `ohlcv`, `analytics`, `level1`, `dead_letters`, or as a package calls it."""
    return _by_name().get(name)


@cache
def _installed() -> tuple[tuple[Kind, ...], Mapping[str, str]]:
    """Load the kinds that are installed; what is installed does not change while a process runs."""
    found, refused = list(KINDS), {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            found.append(_fitting(point.load(), found))
        except (Exception, SystemExit) as error:  # noqa: BLE001  somebody else's module
            refused[f"{point.name} = {point.value}"] = f"{type(error).__name__}: {error}"
    return tuple(found), refused


def _fitting(kind: Any, others: list[Kind]) -> Kind:
    """Return a kind whose names no other kind has; raises `TypeError` or `ValueError` for one that is not valid."""
    if not isinstance(kind, Kind):
        raise TypeError("it names no Kind")
    for other in others:
        for what in ("name", "type", "table", "topic"):
            if getattr(kind, what) == getattr(other, what):
                raise ValueError(f"the {what} {getattr(kind, what)!r} is that of the kind {other.name!r} already")
        if taken := set(kind.operations) & set(other.operations):
            raise ValueError(f"the operation {min(taken)!r} is that of the kind {other.name!r} already")
    return kind


@cache
def _by_type() -> Mapping[type[Any], Kind]:
    return {kind.type: kind for kind in kinds()}


@cache
def _by_name() -> Mapping[str, Kind]:
    return {kind.name: kind for kind in kinds()}
