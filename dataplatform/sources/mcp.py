"""The MCP source: another platform of this kind, asked in the DSL's own words through its MCP server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar, TypeAlias, TypeVar

from attrs import evolve, field, frozen, validators

from dataplatform.base.agent import Context, Request
from dataplatform.base.mcp import CallAnyOf
from dataplatform.dsl.flow import Outbox, PolledRow, letter_for_row
from dataplatform.dsl.flow.feeds import Feed, FeedOptions, FeedResult, Seen
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.operations.answers import OddRow, ParsedRows, joined
from dataplatform.dsl.operations.arguments import spread
from dataplatform.dsl.operations.operations import messages
from dataplatform.dsl.operations.parts import Connection, Part, SourceOptions
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.remote import call_of, notes_of, operation_of, record_in, rows_of
from dataplatform.dsl.records.kinds import ANALYTICS, PRICES, Kind
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.records.schema import camel_case, to_json
from dataplatform.dsl.records.types import (
    CryptoMarketAnalytics,
    CryptoOHLCVData,
    CryptoPriceData,
    DeadLetter,
    Level1Data,
    Record,
)
from dataplatform.result import Result, Success

__all__ = ["McpSource", "McpSourceOptions"]

T = TypeVar("T")
Rows: TypeAlias = list[ParsedRows[Any]]  # of each of the answers
PRICES_POLLED = "get_current_prices"
KIND = "mcp"  # as topologies call this source
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

    @classmethod
    def decode_row(cls, row: PolledRow) -> Record:
        """Return the price in a row of `get_current_prices`, the one operation whose rows become dead letters."""
        if row.endpoint != PRICES_POLLED:
            return super().decode_row(row)
        record: Record = record_in(row.raw, row.endpoint)
        return record

    def _open(self) -> None:
        self._seen = Seen()
        super()._open()

    def _plan(self, messages: Sequence[Request[Any]], transform: Callable[[Rows], T | Success[T]]) -> Plan[T]:
        """Plan the same operations there; `transform` gets the rows of each. Of several, some may find nothing."""
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
        return Success(self._plan([ops.GetOHLCVByDateRange(query)], _joined))

    def _level1(self, query: Level1Query) -> Result[Plan[Level1Data]]:
        return Success(self._plan([ops.GetLevel1Data(query)], _only))

    def _latest_records(self, kind: Kind, keys: Sequence[str]) -> Result[Plan[list[Any]]]:
        message: Any = messages()[kind.get_latest]
        return Success(self._plan([message(part) for part in self._parts(keys)], _joined))

    # Feeds

    def _feeds(self) -> Sequence[Feed]:
        return [
            Feed(f"{number}-{feed.operation}", partial(self._polled, feed), feed.every)
            for number, feed in enumerate(self.options.feeds, 1)
        ]

    def _polled(self, feed: FeedOptions) -> Result[Plan[list[FeedResult]]]:
        if feed.operation == "get_market_analytics":
            return Success(self._plan([ops.GetMarketAnalytics()], self._analytics_found))
        if feed.top is not None:
            tickers: Plan[list[FeedResult]] = self._plan([ops.GetAvailableTickers(feed.top)], self._top_found)
            return Success(evolve(tickers, more=self._prices_of_tickers))
        return Success(self._plan(self._prices(feed.coins), self._prices_found))

    def _prices(self, coin_ids: Sequence[str]) -> list[Request[Any]]:
        return [ops.GetCurrentPrices(part) for part in self._parts(coin_ids)]

    def _prices_of_tickers(self, answers: list[Any]) -> list[Request[Any]]:
        return [self._call(message) for message in self._prices(rows_of(answers[0]).found)]

    def _top_found(self, parts: Rows) -> Success[list[FeedResult]]:
        tickers, *prices = parts
        tickers.require_one()
        return Success(self._prices_found(prices), tickers.notes)

    def _prices_found(self, parts: Rows) -> list[FeedResult]:
        """Take the prices that changed since they were last read, and dead letters of invalid rows."""
        rows = joined(parts)
        rows.require_one()
        return [
            FeedResult(PRICES, self._seen.new(PRICES, rows.found), letters=[self._letter_for(row) for row in rows.odd])
        ]

    def _letter_for(self, row: OddRow) -> DeadLetter:
        polled = PolledRow(
            raw=row.raw,
            source_kind=KIND,
            endpoint=PRICES_POLLED,
            source=self.options.source or "",
            received_at=self.clock.now(),
        )
        return letter_for_row(polled, row.error, origin=self.name, kind=PRICES)

    def _analytics_found(self, parts: Rows) -> list[FeedResult]:
        return [FeedResult(ANALYTICS, self._seen.new(ANALYTICS, joined(parts).found))]


def _read(transform: Callable[[Rows], T | Success[T]], answers: list[Any]) -> Success[T]:
    given = [answer for answer in answers if answer is not None]
    made = transform([rows_of(answer) for answer in given])
    told = chain.from_iterable(map(notes_of, given))
    return Success(made.data, (*told, *made.notes)) if isinstance(made, Success) else Success(made, tuple(told))


def _on_wire(message: Request[Any]) -> dict[str, Any]:
    return {camel_case(name): to_json(value) for name, value in spread(message).items()}


def _joined(parts: Rows) -> Success[list[Any]]:
    rows = joined(parts)
    return rows.success(rows.found)


def _only(parts: Rows) -> Any:
    return parts[0].found[0]
