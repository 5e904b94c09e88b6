"""The language itself: one frozen message per operation, named as the operation is.

Every source answers the reading ones and every target the writing ones, by message or by proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.queries import BatchPublishResult, CurrentPricesOptions, PublishResult
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoPriceData

__all__ = [
    "Flush",
    "GetAvailableTickers",
    "GetCurrentPrice",
    "GetCurrentPrices",
    "GetMarketAnalytics",
    "PublishAnalytics",
    "PublishPrice",
    "PublishPrices",
    "ReadingOperation",
    "WritingOperation",
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
class GetAvailableTickers(Request[list[str]]):
    """The ids of the coins a source knows, the largest market cap first."""

    limit: int | None = None


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
class PublishAnalytics(Request[PublishResult]):
    """Write one state of the market."""

    analytics: CryptoMarketAnalytics


@frozen
class Flush(Request[None]):
    """Succeeds when everything a target accepted is durable."""


ReadingOperation: TypeAlias = GetCurrentPrice | GetCurrentPrices | GetAvailableTickers | GetMarketAnalytics
WritingOperation: TypeAlias = PublishPrice | PublishPrices | PublishAnalytics | Flush
