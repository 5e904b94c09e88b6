"""The language itself: one frozen message per operation, named as the operation is, also of foreign kinds.

Every source answers the reading ones and every target the writing ones, by message or by proxy. All operations that
there are: those of `dsl/operations/operations`, and those that follow from each kind of record.

A kind says what its operations are called; where no message of that name is written down, it is made here. So a kind
that a package adds is published and asked for like the platform's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar, cast, get_args

import attrs
from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.flow.batches import SourceRequest, TargetRequest
from dataplatform.dsl.records.kinds import Kind, kinds
from dataplatform.dsl.records.queries import (
    BatchPublishResult,
    CurrentPricesOptions,
    DateRangeOHLCVQuery,
    Level1Query,
    OHLCVSeries,
    PublishResult,
)
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data, Record

__all__ = [
    "LATEST_HOOK",
    "Flush",
    "GetAvailableTickers",
    "GetCurrentOHLCV",
    "GetCurrentPrice",
    "GetCurrentPrices",
    "GetLatestOHLCV",
    "GetLevel1Data",
    "GetMarketAnalytics",
    "GetOHLCVByDateRange",
    "GetPriceHistory",
    "OfKind",
    "PublishAnalytics",
    "PublishBatch",
    "PublishLevel1",
    "PublishLevel1Batch",
    "PublishOHLCV",
    "PublishOHLCVBatch",
    "PublishPrice",
    "PublishPrices",
    "ReadingOperation",
    "SourceRequest",
    "TargetRequest",
    "WritingOperation",
    "messages",
    "of_kind",
    "reading",
    "result_of",
    "writing",
]

T_co = TypeVar("T_co", covariant=True)


@frozen
class GetCurrentPrice(SourceRequest[CryptoPriceData]):
    """The latest price of one coin."""

    coin_id: str
    vs_currency: str = "usd"


@frozen
class GetCurrentPrices(SourceRequest[list[CryptoPriceData]]):
    """The latest prices of several coins."""

    coin_ids: Sequence[str]
    options: CurrentPricesOptions | None = None


@frozen
class GetCurrentOHLCV(SourceRequest[CryptoOHLCVData]):
    """The latest candle of one coin."""

    coin_id: str
    interval: str = "30m"


@frozen
class GetLatestOHLCV(SourceRequest[list[CryptoOHLCVData]]):
    """The latest candle of several coins."""

    coin_ids: Sequence[str]
    timeframe: str = "30m"


@frozen
class GetPriceHistory(SourceRequest[list[CryptoPriceData]]):
    """The prices of one coin over the last days, oldest first."""

    coin_id: str
    days: int
    vs_currency: str = "usd"


@frozen
class GetOHLCVByDateRange(SourceRequest[OHLCVSeries]):
    """The candles of one coin in a range of time, and the gaps among them."""

    query: DateRangeOHLCVQuery


@frozen
class GetAvailableTickers(SourceRequest[list[str]]):
    """The ids of the coins a source knows, the largest market cap first."""

    limit: int | None = None


@frozen
class GetLevel1Data(SourceRequest[Level1Data]):
    """The best bid and ask of one coin on one market."""

    query: Level1Query


@frozen
class GetMarketAnalytics(SourceRequest[CryptoMarketAnalytics]):
    """The state of the whole market."""


@frozen
class PublishPrice(TargetRequest[PublishResult]):
    """Write one price."""

    price: CryptoPriceData


@frozen
class PublishPrices(TargetRequest[BatchPublishResult]):
    """Write several prices."""

    prices: Sequence[CryptoPriceData]


@frozen
class PublishOHLCV(TargetRequest[PublishResult]):
    """Write one candle."""

    candle: CryptoOHLCVData


@frozen
class PublishOHLCVBatch(TargetRequest[BatchPublishResult]):
    """Write several candles."""

    candles: Sequence[CryptoOHLCVData]


@frozen
class PublishLevel1(TargetRequest[PublishResult]):
    """Write one best bid and ask."""

    level1: Level1Data


@frozen
class PublishLevel1Batch(TargetRequest[BatchPublishResult]):
    """Write several best bids and asks."""

    level1s: Sequence[Level1Data]


@frozen
class PublishAnalytics(TargetRequest[PublishResult]):
    """Write one state of the market."""

    analytics: CryptoMarketAnalytics


@frozen
class PublishBatch(TargetRequest[BatchPublishResult]):
    """Write records of several kinds."""

    records: Sequence[Record]


@frozen
class Flush(TargetRequest[None]):
    """Succeeds when everything a target accepted is durable."""


ReadingOperation: TypeAlias = (
    GetCurrentPrice
    | GetCurrentPrices
    | GetCurrentOHLCV
    | GetLatestOHLCV
    | GetPriceHistory
    | GetOHLCVByDateRange
    | GetAvailableTickers
    | GetLevel1Data
    | GetMarketAnalytics
)
WritingOperation: TypeAlias = (
    PublishPrice
    | PublishPrices
    | PublishOHLCV
    | PublishOHLCVBatch
    | PublishLevel1
    | PublishLevel1Batch
    | PublishAnalytics
    | PublishBatch
    | Flush
)


def result_of(message: type[Any]) -> Any:
    """Return the type that an operation answers: `list[CryptoPriceData]` for `GetCurrentPrices`."""
    return get_args(message.__orig_bases__[0])[0]  # T of Request[T]


LATEST_HOOK = "_latest_records"
READING = {
    "get_current_price": "_current_prices",
    "get_current_prices": "_current_prices",
    "get_current_ohlcv": "_latest_ohlcv",
    "get_latest_ohlcv": "_latest_ohlcv",
    "get_price_history": "_price_history",
    "get_ohlcv_by_date_range": "_ohlcv_by_date_range",
    "get_available_tickers": "_available_tickers",
    "get_level1_data": "_level1",
    "get_market_analytics": "_market_analytics",
}


@frozen
class OfKind:
    """An operation that follows from a kind: `several` says that it takes a list of records."""

    kind: Kind
    name: str
    several: bool

    def value(self, message: Any) -> Any:
        """Return the one argument of a message of this operation: records, or the keys of those asked for."""
        return getattr(message, attrs.fields(type(message))[0].name)


@cache
def reading() -> Mapping[str, str]:
    """Return the reading operations, each with the hook that a reader overrides to support it."""
    return READING | {kind.get_latest: LATEST_HOOK for kind in kinds() if kind.get_latest}


@cache
def writing() -> Mapping[str, tuple[Kind, ...]]:
    """Return the writing operations, each with the kinds it is about; a writer that takes one of them supports it."""
    return {name: (kind,) for name, (kind, _) in _publishing().items()} | {"publish_batch": kinds(), "flush": kinds()}


@cache
def messages() -> Mapping[str, type[Request[Any]]]:
    """Return the message of each operation."""
    written = {cls.__name__.lower(): cls for cls in (*get_args(ReadingOperation), *get_args(WritingOperation))}
    made = {name: _publish_message(kind, name, several=several) for name, (kind, several) in _publishing().items()}
    made |= {kind.get_latest: _latest_message(kind) for kind in kinds() if kind.get_latest}
    return {name: written.get(name.replace("_", "")) or made[name] for name in (*reading(), *writing())}


def of_kind(message: object) -> OfKind | None:
    """Return what a message of an operation that follows from a kind asks for; None for any other message."""
    return _by_message().get(type(message))


@cache
def _by_message() -> Mapping[type[Any], OfKind]:
    found = {messages()[name]: OfKind(kind, name, several) for name, (kind, several) in _publishing().items()}
    latest = {
        messages()[one.get_latest]: OfKind(one, one.get_latest, several=True) for one in kinds() if one.get_latest
    }
    return found | latest


@cache
def _publishing() -> Mapping[str, tuple[Kind, bool]]:
    each = [
        (name, kind, number) for kind in kinds() for number, name in enumerate((kind.publish_one, kind.publish_many))
    ]
    return {name: (kind, bool(number)) for name, kind, number in each if name}


def _publish_message(kind: Kind, name: str, *, several: bool) -> type[Request[Any]]:
    base: Any = TargetRequest[BatchPublishResult] if several else TargetRequest[PublishResult]
    hint: Any = Sequence[kind.type] if several else kind.type  # type: ignore[name-defined]
    what = f"Write several {kind.name}." if several else f"Write one record of {kind.name}."
    return _message(name, name.removeprefix("publish_"), hint, base, what)


def _latest_message(kind: Kind) -> type[Request[Any]]:
    base: Any = SourceRequest[list[kind.type]]  # type: ignore[name-defined]
    return _message(
        kind.get_latest, f"{kind.message_key}s", Sequence[str], base, f"The latest {kind.name}, one for each key."
    )


def _message(name: str, argument: str, hint: Any, base: Any, what: str) -> type[Request[Any]]:
    """Make a frozen message class of one argument."""
    title = "".join(word.capitalize() for word in name.split("_"))
    cls = attrs.make_class(title, {argument: attrs.field(type=hint)}, bases=(base,), frozen=True, slots=True)
    cls.__doc__ = what
    return cast("type[Request[Any]]", cls)
