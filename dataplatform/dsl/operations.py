"""The language itself: one frozen message per operation, named as the operation is.

Every source answers the reading ones and every target the writing ones, by message or by proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, get_args

from attrs import frozen

from dataplatform.base.agent import Request
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
    "WritingOperation",
    "result_of",
]


@frozen
class GetCurrentPrice(Request[CryptoPriceData]):
    """The latest price of one coin."""

    coin_id: str
    vs_currency: str = "usd"


@frozen
class GetCurrentPrices(Request[list[CryptoPriceData]]):
    """The latest prices of several coins."""

    coin_ids: Sequence[str]
    options: CurrentPricesOptions | None = None


@frozen
class GetCurrentOHLCV(Request[CryptoOHLCVData]):
    """The latest candle of one coin."""

    coin_id: str
    interval: str = "30m"


@frozen
class GetLatestOHLCV(Request[list[CryptoOHLCVData]]):
    """The latest candle of several coins."""

    coin_ids: Sequence[str]
    timeframe: str = "30m"


@frozen
class GetPriceHistory(Request[list[CryptoPriceData]]):
    """The prices of one coin over the last days, oldest first."""

    coin_id: str
    days: int
    vs_currency: str = "usd"


@frozen
class GetOHLCVByDateRange(Request[OHLCVSeries]):
    """The candles of one coin in a range of time, and the gaps among them."""

    query: DateRangeOHLCVQuery


@frozen
class GetAvailableTickers(Request[list[str]]):
    """The ids of the coins a source knows, the largest market cap first."""

    limit: int | None = None


@frozen
class GetLevel1Data(Request[Level1Data]):
    """The best bid and ask of one coin on one market."""

    query: Level1Query


@frozen
class GetMarketAnalytics(Request[CryptoMarketAnalytics]):
    """The state of the whole market."""


@frozen
class PublishPrice(Request[PublishResult]):
    """Write one price."""

    price: CryptoPriceData


@frozen
class PublishPrices(Request[BatchPublishResult]):
    """Write several prices."""

    prices: Sequence[CryptoPriceData]


@frozen
class PublishOHLCV(Request[PublishResult]):
    """Write one candle."""

    candle: CryptoOHLCVData


@frozen
class PublishOHLCVBatch(Request[BatchPublishResult]):
    """Write several candles."""

    candles: Sequence[CryptoOHLCVData]


@frozen
class PublishLevel1(Request[PublishResult]):
    """Write one best bid and ask."""

    level1: Level1Data


@frozen
class PublishLevel1Batch(Request[BatchPublishResult]):
    """Write several best bids and asks."""

    level1s: Sequence[Level1Data]


@frozen
class PublishAnalytics(Request[PublishResult]):
    """Write one state of the market."""

    analytics: CryptoMarketAnalytics


@frozen
class PublishBatch(Request[BatchPublishResult]):
    """Write records of several kinds."""

    records: Sequence[Record]


@frozen
class Flush(Request[None]):
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
