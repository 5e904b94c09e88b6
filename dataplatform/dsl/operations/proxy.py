"""Typed proxies: an agent's operations as methods that answer a future.

A proxy holds an address, so it outlives restarts. The message is built in the caller's thread: arguments that do
not fit raise `TypeError` right there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, get_type_hints

from attrs import frozen

from dataplatform.base.agent import AgentStatus, Future, GetStatus, Request
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.operations.operations import SourceRequest, TargetRequest, messages, result_of
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.queries import (
    BatchPublishResult,
    CurrentPricesOptions,
    DateRangeOHLCVQuery,
    Level1Query,
    OHLCVSeries,
    PublishResult,
)
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data, Record
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result

__all__ = ["AgentProxy", "Askable", "Proxy", "ReaderProxy", "WriterProxy"]


T = TypeVar("T")
P = TypeVar("P")


def _documented_by(base: type[Any]) -> Callable[[type[P]], type[P]]:
    """Have a proxy's operations say what those of the base say."""

    def document(proxy: type[P]) -> type[P]:
        for name, method in vars(proxy).items():
            operation = getattr(base, name, None)
            if inspect.isfunction(method) and not method.__doc__ and operation is not None:
                method.__doc__ = operation.__doc__
        return proxy

    return document


class Askable(Protocol):
    """What a proxy needs of an address, which may be of an agent in another process."""

    @property
    def name(self) -> str: ...

    def ask(self, request: Request[T], timeout: float) -> Result[T]: ...

    def future(self, request: Request[T]) -> Future[Result[T]]: ...


@frozen
class Proxy:
    """What all proxies can do. `takes` are the requests that `ask` lets through, besides `GetStatus`."""

    takes: ClassVar[type[Request[Any]]] = Request

    address: Askable

    def get_status(self) -> Future[Result[AgentStatus]]:
        """Answer the agent's state, since when, what degrades it, and its counters."""
        return self.address.future(GetStatus())

    def _put(self, request: Request[T], timeout: float) -> Result[T]:
        """Put a request that fits; another one is refused here, in the caller's thread, and never sent."""
        if isinstance(request, (self.takes, GetStatus)):
            return self.address.ask(request, timeout)
        if not isinstance(request, Request):
            raise TypeError(f"ask takes a request such as GetStatus(), not {_named(request)}")
        text = f"{self.address.name} does not take {_named(request)}"
        return Failure(Permanent("unsupported", text, remedy=f"{type(self).__name__} has a method for what it takes"))


@frozen
class AgentProxy(Proxy):
    """An agent of any kind, such as a client."""

    def ask(self, request: Request[T], timeout: float = 10.0) -> Result[T]:
        """Put a request; the agent answers `unsupported` to one that is not of its protocol."""
        return self._put(request, timeout)


class _OperationsOfKinds:
    """Has the operations that follow from kinds of record and are not written down, as methods of a proxy."""

    __slots__ = ()

    if not TYPE_CHECKING:  # a type checker knows those that are written down

        def __getattr__(self, name: str) -> Any:
            message = messages().get(name)
            if message is None or not issubclass(message, type(self).takes):
                raise AttributeError(f"{type(self).__name__} has no operation {name!r}")
            return MethodType(_operation(name), self)


@cache
def _operation(name: str) -> Callable[..., Any]:
    """Return the function of an operation, with the types that its message and its answer have."""
    message = messages()[name]

    def operation(self: Proxy, *args: Any, **kwargs: Any) -> Any:
        return self.address.future(message(*args, **kwargs))

    operation.__name__, operation.__doc__ = name, message.__doc__
    answer: Any = result_of(message)
    operation.__annotations__ = {**get_type_hints(message), "return": Future[Result[answer]]}
    return operation


@_documented_by(BaseReader)
@frozen
class ReaderProxy(_OperationsOfKinds, Proxy):
    """A source: `platform["coingecko"].get_current_prices(["bitcoin"]).get(timeout=10)`."""

    takes = SourceRequest

    def ask(self, request: SourceRequest[T], timeout: float = 10.0) -> Result[T]:
        """Put a request that sources take; any other one but `GetStatus` is `unsupported`."""
        return self._put(request, timeout)

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

    def get_current_ohlcv(self, coin_id: str, interval: str = "30m") -> Future[Result[CryptoOHLCVData]]:
        return self.address.future(ops.GetCurrentOHLCV(coin_id, interval))

    def get_latest_ohlcv(
        self, coin_ids: Sequence[str], timeframe: str = "30m"
    ) -> Future[Result[list[CryptoOHLCVData]]]:
        return self.address.future(ops.GetLatestOHLCV(coin_ids, timeframe))

    def get_price_history(
        self, coin_id: str, days: int, vs_currency: str = "usd"
    ) -> Future[Result[list[CryptoPriceData]]]:
        return self.address.future(ops.GetPriceHistory(coin_id, days, vs_currency))

    def get_ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Future[Result[OHLCVSeries]]:
        return self.address.future(ops.GetOHLCVByDateRange(query))

    def get_level1_data(self, query: Level1Query) -> Future[Result[Level1Data]]:
        return self.address.future(ops.GetLevel1Data(query))

    def pause(self) -> Future[Result[None]]:
        """Have the source read nothing until `resume`; what is in flight settles."""
        return self.address.future(Pause())

    def resume(self) -> Future[Result[None]]:
        """Have a paused source read on."""
        return self.address.future(Resume())


@_documented_by(BaseWriter)
@frozen
class WriterProxy(_OperationsOfKinds, Proxy):
    """A target: `platform["timescale"].publish_prices(prices).get(timeout=10)`."""

    takes = TargetRequest

    def ask(self, request: TargetRequest[T], timeout: float = 10.0) -> Result[T]:
        """Put a request that targets take; any other one but `GetStatus` is `unsupported`."""
        return self._put(request, timeout)

    def publish_price(self, price: CryptoPriceData) -> Future[Result[PublishResult]]:
        """Write one price.

        Fails with `rejected` when it can never be written, `invalid` when it is of a time before 2008 or more than a
        day ahead, `Transient` in an outage.
        """
        return self.address.future(ops.PublishPrice(price))

    def publish_prices(self, prices: Sequence[CryptoPriceData]) -> Future[Result[BatchPublishResult]]:
        """Write several prices; those that can never be written are named in the answer and harm no other.

        Fails with `bad_argument` for what is no list of prices, `Transient` in an outage: then some of them may be
        durable, and all of them may be published again.
        """
        return self.address.future(ops.PublishPrices(prices))

    def publish_analytics(self, analytics: CryptoMarketAnalytics) -> Future[Result[PublishResult]]:
        """Write one state of the market. Fails as `publish_price` does."""
        return self.address.future(ops.PublishAnalytics(analytics))

    def publish_ohlcv(self, candle: CryptoOHLCVData) -> Future[Result[PublishResult]]:
        """Write one candle. Fails as `publish_price` does."""
        return self.address.future(ops.PublishOHLCV(candle))

    def publish_ohlcv_batch(self, candles: Sequence[CryptoOHLCVData]) -> Future[Result[BatchPublishResult]]:
        """Write several candles. Answers and fails as `publish_prices` does."""
        return self.address.future(ops.PublishOHLCVBatch(candles))

    def publish_level1(self, level1: Level1Data) -> Future[Result[PublishResult]]:
        """Write one best bid and ask. Fails as `publish_price` does."""
        return self.address.future(ops.PublishLevel1(level1))

    def publish_level1_batch(self, level1s: Sequence[Level1Data]) -> Future[Result[BatchPublishResult]]:
        """Write several best bids and asks. Answers and fails as `publish_prices` does."""
        return self.address.future(ops.PublishLevel1Batch(level1s))

    def publish_batch(self, records: Sequence[Record]) -> Future[Result[BatchPublishResult]]:
        return self.address.future(ops.PublishBatch(records))

    def flush(self) -> Future[Result[None]]:
        return self.address.future(ops.Flush())


def _named(request: object) -> str:
    """Name what somebody has put to an agent; a class is a common slip: `ask(Flush)`."""
    return f"the class {request.__name__}" if isinstance(request, type) else type(request).__name__
