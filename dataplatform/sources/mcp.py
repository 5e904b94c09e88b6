"""The MCP source: another platform of this kind, asked in the DSL's own words through its MCP server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar, TypeVar

from attrs import evolve, field, frozen, validators

from dataplatform.base.agent import Context, Request
from dataplatform.base.mcp import CallAnyOf
from dataplatform.dsl import operations as ops
from dataplatform.dsl.arguments import spread
from dataplatform.dsl.feeds import Crop, Feed
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.kinds import ANALYTICS, PRICES
from dataplatform.dsl.parts import Connection, Part, SourceOptions
from dataplatform.dsl.plan import Plan
from dataplatform.dsl.polling import FeedOptions, Seen
from dataplatform.dsl.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.reader import BaseReader
from dataplatform.dsl.remote import call_of, data_of, notes_of, operation_of
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.dsl.wire import camel_case, to_wire
from dataplatform.result import Result, Success

__all__ = ["McpSource", "McpSourceOptions"]

T = TypeVar("T")
TIMEOUT = 25.0  # seconds; what a client with the default settings takes at most


@frozen(kw_only=True)
class McpSourceOptions(SourceOptions):
    """Options of `kind = "mcp"` under `[sources.NAME]`."""

    source: str | None = field(
        default=None, metadata={"help": "the source of the other platform to ask; else its first that can answer"}
    )
    feeds: tuple[FeedOptions, ...] = field(default=(), metadata={"help": "what to poll, and how often"})
    max_items: int = field(
        default=500,
        validator=validators.in_(range(1, 10_001)),
        metadata={"help": "ids to ask for in one call; no more than max_items of the other server"},
    )


class McpSource(BaseReader):
    """Asks another platform of this kind; its records and failures come as they are there, labels included."""

    technology: ClassVar[str] = "another platform over MCP"
    client_kind: ClassVar[str] = "mcp"
    Options = McpSourceOptions
    options: McpSourceOptions

    def __init__(
        self, context: Context, options: Any, client: str, outbox: Outbox | None = None, timeout: float = TIMEOUT
    ) -> None:
        super().__init__(context, options, client, outbox)
        self._timeout = timeout

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection, outbox: Outbox | None) -> Part:
        """Wait for the client as long as its settings let it take."""
        client = connection.agents[0]
        return Part((cls.child(name, options, client, outbox, connection.settings.longest),), client)

    def _open(self) -> None:
        self._seen = Seen()
        super()._open()

    def _plan(self, messages: Sequence[Request[Any]], transform: Callable[[list[Any]], T]) -> Plan[T]:
        """Plan the same operations there; `transform` gets what they answer. Of several, some may find nothing."""
        absent = frozenset({"not_found"}) if len(messages) > 1 else frozenset[str]()
        calls = [self._call(message) for message in messages]
        return Plan(self.client, calls, partial(_read, transform), self._timeout, absent=absent)

    def _call(self, message: Request[Any]) -> CallAnyOf:
        source = {} if self.options.source is None else {"source": self.options.source}
        return call_of(operation_of(message), {**_on_wire(message), **source})

    def _parts(self, coin_ids: Sequence[str]) -> list[Sequence[str]]:
        most = self.options.max_items
        return [coin_ids[start : start + most] for start in range(0, len(coin_ids), most)]

    # Operations' hooks

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        return Success(self._plan([ops.GetCurrentPrices(part, options) for part in self._parts(coin_ids)], _joined))

    def _latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str) -> Result[Plan[list[CryptoOHLCVData]]]:
        return Success(self._plan([ops.GetLatestOHLCV(part, timeframe) for part in self._parts(coin_ids)], _joined))

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        return Success(self._plan([ops.GetAvailableTickers(limit)], _joined))

    def _market_analytics(self) -> Result[Plan[CryptoMarketAnalytics]]:
        return Success(self._plan([ops.GetMarketAnalytics()], _only))

    def _price_history(self, coin_id: str, days: int) -> Result[Plan[list[CryptoPriceData]]]:
        return Success(self._plan([ops.GetPriceHistory(coin_id, days)], _joined))

    def _ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Result[Plan[list[CryptoOHLCVData]]]:
        return Success(self._plan([ops.GetOHLCVByDateRange(query)], lambda found: found[0].candles))

    def _level1(self, query: Level1Query) -> Result[Plan[Level1Data]]:
        return Success(self._plan([ops.GetLevel1Data(query)], _only))

    # Feeds

    def _feeds(self) -> Sequence[Feed]:
        return [
            Feed(f"{number}-{feed.operation}", partial(self._polled, feed), feed.every)
            for number, feed in enumerate(self.options.feeds, 1)
        ]

    def _polled(self, feed: FeedOptions) -> Result[Plan[list[Crop]]]:
        if feed.operation == "get_market_analytics":
            asked: list[Request[Any]] = [ops.GetMarketAnalytics()]
            return Success(self._plan(asked, lambda found: [Crop(ANALYTICS, self._seen.new(ANALYTICS, found))]))
        if feed.top is not None:
            tickers = self._plan([ops.GetAvailableTickers(feed.top)], lambda found: self._prices_crop(found[1:]))
            return Success(evolve(tickers, more=self._prices_of_tickers))
        return Success(self._plan(self._prices(feed.coins), self._prices_crop))

    def _prices(self, coin_ids: Sequence[str]) -> list[Request[Any]]:
        return [ops.GetCurrentPrices(part) for part in self._parts(coin_ids)]

    def _prices_of_tickers(self, answers: list[Any]) -> list[Request[Any]]:
        return [self._call(message) for message in self._prices(data_of(answers[0]))]

    def _prices_crop(self, found: list[list[CryptoPriceData]]) -> list[Crop]:
        return [Crop(PRICES, self._seen.new(PRICES, _joined(found)))]


def _read(transform: Callable[[list[Any]], T], answers: list[Any]) -> Success[T]:
    given = [answer for answer in answers if answer is not None]
    return Success(transform([data_of(answer) for answer in given]), tuple(chain.from_iterable(map(notes_of, given))))


def _on_wire(message: Request[Any]) -> dict[str, Any]:
    return {camel_case(name): to_wire(value) for name, value in spread(message).items()}


def _joined(found: list[list[T]]) -> list[T]:
    return list(chain.from_iterable(found))


def _only(found: list[T]) -> T:
    return found[0]
