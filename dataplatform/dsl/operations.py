"""The language itself: one frozen message per operation, named as the operation is, and the tables of operations.

Every source answers the reading ones and every target the writing ones, by message or by proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar, get_args

from attrs import frozen

from dataplatform.dsl.flow.batch import SourceRequest, TargetRequest
from dataplatform.dsl.queries import (
    BatchPublishResult,
    CurrentPricesOptions,
    DateRangeOHLCVQuery,
    Level1Query,
    OHLCVSeries,
    PublishResult,
)
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data, Record

__all__ = [
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
    "result_of",
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
