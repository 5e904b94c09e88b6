"""Typed proxies: an agent's operations as methods that answer a future.

A proxy holds an `Address`, so it outlives restarts. The message is built in the caller's thread: arguments that do
not fit raise `TypeError` right there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attrs import frozen

from dataplatform.base.agent import Address, AgentStatus, Future, GetStatus, Request
from dataplatform.dsl import operations as ops
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.queries import BatchPublishResult, CurrentPricesOptions, PublishResult
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.result import Result

__all__ = ["AgentProxy", "ReaderProxy", "WriterProxy"]


T = TypeVar("T")


@frozen
class AgentProxy:
    """Any agent: its status."""

    address: Address

    def get_status(self) -> Future[Result[AgentStatus]]:
        return self.address.future(GetStatus())

    def ask(self, request: Request[T], timeout: float = 10.0) -> Result[T]:
        """Put any request of the agent's protocol."""
        return self.address.ask(request, timeout)


@frozen
class ReaderProxy(AgentProxy):
    """A source: `platform["coingecko"].get_current_prices(["bitcoin"]).get(timeout=10)`."""

    def get_current_price(self, coin_id: str, vs_currency: str = "usd") -> Future[Result[CryptoPriceData]]:
        return self.address.future(ops.GetCurrentPrice(coin_id, vs_currency))

    def get_current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions | None = None
    ) -> Future[Result[list[CryptoPriceData]]]:
        return self.address.future(ops.GetCurrentPrices(coin_ids, options))

    def get_available_tickers(self, limit: int | None = None) -> Future[Result[list[str]]]:
        return self.address.future(ops.GetAvailableTickers(limit))

    def get_market_analytics(self) -> Future[Result[CryptoMarketAnalytics]]:
        return self.address.future(ops.GetMarketAnalytics())

    def pause(self) -> Future[Result[None]]:
        return self.address.future(Pause())

    def resume(self) -> Future[Result[None]]:
        return self.address.future(Resume())


@frozen
class WriterProxy(AgentProxy):
    """A target: `platform["timescale"].publish_prices(prices).get(timeout=10)`."""

    def publish_price(self, price: CryptoPriceData) -> Future[Result[PublishResult]]:
        return self.address.future(ops.PublishPrice(price))

    def publish_prices(self, prices: Sequence[CryptoPriceData]) -> Future[Result[BatchPublishResult]]:
        return self.address.future(ops.PublishPrices(prices))

    def publish_analytics(self, analytics: CryptoMarketAnalytics) -> Future[Result[PublishResult]]:
        return self.address.future(ops.PublishAnalytics(analytics))

    def flush(self) -> Future[Result[None]]:
        return self.address.future(ops.Flush())
