"""The TimescaleDB source: hooks that plan its queries, and rows back to records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import cycle
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias, TypeVar

from attrs import evolve, field, frozen

from dataplatform.base.agent import Context
from dataplatform.base.database import Query, Rows, as_query
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.operations.answers import OddRow, ParsedRows, joined
from dataplatform.dsl.operations.parts import Connection, Part, SourceOptions
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.records.rules import latest_market_time
from dataplatform.dsl.records.timeframes import floor, length
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.dsl.storage.tables import tables
from dataplatform.errors import Permanent
from dataplatform.result import Result, Success
from dataplatform.sources.timescale import statements
from dataplatform.sources.timescale.absence import Absence, hidden_note, only_hidden, read_there_is

__all__ = ["TimescaleSource", "TimescaleSourceOptions"]

T = TypeVar("T")
OfCoin = TypeVar("OfCoin", CryptoPriceData, CryptoOHLCVData)
Choice: TypeAlias = Callable[[statements.Select], statements.Select]
MOST_ROWS = 1_000_000
MOST_LOOKED_AFTER = 5  # coins of which nothing was found
LOOK_BACK = timedelta(hours=1)  # in which the latest short candle is looked for: a source may pause for some of them


@frozen(kw_only=True)
class TimescaleSourceOptions(SourceOptions):
    """Options of `kind = "timescale"` under `[sources.NAME]`."""

    simulated: bool = field(
        default=False, metadata={"help": "answer from the simulator's rows instead of from all others"}
    )


class TimescaleSource(BaseReader):
    """Answers from the tables: the latest rows, histories, and candles: each as it is stored, else made of the prices.

    TimescaleDB keeps those, also when it has dropped the prices; without it they are made when asked for. A stored
    candle takes the place of the made one within whose time it opens.
    """

    technology: ClassVar[str] = "TimescaleDB"
    client_kind: ClassVar[str] = "timescale"
    Options = TimescaleSourceOptions
    options: TimescaleSourceOptions

    def __init__(
        self, context: Context, options: Any, client: str, outbox: Outbox | None = None, others: Sequence[str] = ()
    ) -> None:
        super().__init__(context, options, client, outbox)
        self._connections = cycle([self.client, *map(self.address, others)])

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection, outbox: Outbox | None) -> Part:
        """Ask over each of the client's connections in turn, so that a slow query holds up few others."""
        client, *others = connection.agents
        return Part((cls.child(name, options, client, outbox, others),), client)

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        del options  # a row holds all that was stored
        return self._select_prices(
            coin_ids, statements.latest_prices(coin_ids, self._until, simulated=self.options.simulated)
        )

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        asked = statements.coins_by_market_cap(limit, self._until, simulated=self.options.simulated)

        def transform(answers: list[Any]) -> list[str] | Success[list[str]]:
            if not answers[0].rows and answers[1].rows:
                return Success([], (hidden_note(self.name, "prices", simulated=self.options.simulated),))
            return [row[0] for row in answers[0].rows]

        return Success(self._or_hidden(PRICES, None, asked, transform))

    def _market_analytics(self) -> Result[Plan[CryptoMarketAnalytics]]:
        asked = statements.latest_analytics(self._until, simulated=self.options.simulated)
        return Success(self._or_hidden(ANALYTICS, None, asked, partial(self._only, ANALYTICS, "analytics")))

    def _price_history(self, coin_id: str, days: int) -> Result[Plan[list[CryptoPriceData]]]:
        since = self.clock.now() - timedelta(days=days)
        return self._select_prices(
            [coin_id], statements.history(coin_id, since, self._until, simulated=self.options.simulated)
        )

    def _latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str) -> Result[Plan[list[CryptoOHLCVData]]]:
        now, step = self.clock.now(), length(timeframe)
        stored = statements.latest_stored_candles(coin_ids, timeframe, now, simulated=self.options.simulated)
        end = floor(now, timeframe)
        made = self._made(coin_ids, timeframe, end - max(1, LOOK_BACK // step) * step, end, statements.latest)

        def transform(answers: list[Any]) -> ParsedRows[CryptoOHLCVData]:
            return _last_of_each_coin(*answers[:2])

        return Success(
            self._or_absent(coin_ids, [_query(stored), made], transform, lambda one: one.of_candles(timeframe))
        )

    def _ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Result[Plan[list[CryptoOHLCVData]]]:
        coin_id, timeframe, start, end = query.ticker, query.interval, query.date_start, query.date_end
        stored = statements.stored_candles(coin_id, timeframe, start, end, simulated=self.options.simulated)
        last = min(_next(end, timeframe), floor(self.clock.now(), timeframe))
        made = self._made([coin_id], timeframe, _next(start, timeframe), last, statements.in_order)

        def transform(answers: list[Any]) -> ParsedRows[CryptoOHLCVData]:
            return _one_a_slot(timeframe, *answers[:2])

        def reason(absence: Absence) -> Permanent | None:
            known = absence.prices or timeframe in absence.timeframes
            return None if known else absence.of_candles(timeframe)  # a known interval has gaps

        asked = [_query(statements.in_order(stored)), made]
        return Success(self._or_absent([coin_id], asked, transform, reason))

    def _made(self, coin_ids: Sequence[str], timeframe: str, start: datetime, end: datetime, chosen: Choice) -> Query:
        """Return the query of the chosen candles among those TimescaleDB keeps; without it, of those made of prices."""
        simulated = self.options.simulated
        kept = statements.kept_candles(coin_ids, timeframe, start, end, simulated=simulated)
        prices = statements.candles_of_prices(coin_ids, timeframe, start, end, simulated=simulated)
        return _query(chosen(kept), instead=_query(chosen(prices)))

    def _level1(self, query: Level1Query) -> Result[Plan[Level1Data]]:
        asked = statements.latest_level1(query, self._until, simulated=self.options.simulated)
        return Success(self._or_hidden(LEVEL1, query.ticker, asked, partial(self._only, LEVEL1, repr(query.ticker))))

    @property
    def _until(self) -> datetime:
        """The latest time that a row can be of; those of later ones, stored before that was refused, hide no other."""
        return latest_market_time(self.clock.now())

    def _latest_records(self, kind: Kind, keys: Sequence[str]) -> Result[Plan[list[Any]]]:
        def transform(answers: list[Any]) -> Success[list[Any]]:
            rows = _records(kind, answers[0])
            return rows.success(rows.found)

        statement = statements.latest_records(kind, keys, simulated=self.options.simulated)
        return Success(Plan(self.client, [_query(statement)], transform))

    # What is answered where there is nothing

    def _select_prices(
        self, coin_ids: Sequence[str], statement: statements.Select
    ) -> Result[Plan[list[CryptoPriceData]]]:
        def transform(answers: list[Any]) -> ParsedRows[CryptoPriceData]:
            return _records(PRICES, answers[0])

        return Success(self._or_absent(coin_ids, [_query(statement)], transform, Absence.of_prices))

    def _or_absent(
        self,
        coin_ids: Sequence[str],
        asked: Sequence[Query],
        transform: Callable[[list[Any]], ParsedRows[OfCoin]],
        reason: Callable[[Absence], Permanent | None],
    ) -> Plan[list[OfCoin]]:
        """Plan queries, and one more where a coin is missing in the answers: what there is of it."""
        simulated = self.options.simulated

        def missing(answers: list[Any]) -> list[str]:
            found = {coin_id for answer in answers[: len(asked)] for coin_id in _column("coin_id", answer)}
            return [coin_id for coin_id in coin_ids if coin_id not in found][:MOST_LOOKED_AFTER]

        def more(answers: list[Any]) -> list[Query]:
            coins = missing(answers)
            return [_query(statements.there_is(coins, simulated=simulated))] if coins else []

        def answered(answers: list[Any]) -> Success[list[OfCoin]]:
            rows = transform(answers)
            if len(answers) == len(asked):
                return rows.success(rows.found)
            absence = read_there_is(answers[-1], self.name, missing(answers), simulated=simulated)
            if not (rows.found or rows.odd) and (error := reason(absence)):
                raise error
            return rows.success(rows.found, *absence.note())

        return Plan(next(self._connections), asked, answered, more=more)

    def _or_hidden(
        self, kind: Kind, of: str | None, statement: statements.Select, transform: Callable[[list[Any]], T | Success[T]]
    ) -> Plan[T]:
        """Plan a query, and where it finds nothing another one: whether there are rows with the other label."""
        hidden = _query(statements.hidden(kind, of, simulated=self.options.simulated))
        return Plan(
            next(self._connections),
            [_query(statement)],
            transform,
            more=lambda answers: [] if answers[0].rows else [hidden],
        )

    def _only(self, kind: Kind, what: str, answers: list[Any]) -> Any:
        rows = _records(kind, answers[0])
        rows.require_one()
        if rows.found:
            return Success(rows.found[0], rows.notes)
        if answers[1].rows:
            raise only_hidden(self.name, what, simulated=self.options.simulated)
        text = f"the table {kind.table} holds no {what}"
        raise Permanent("not_found", text, remedy="write some, or ask its source")


def _query(statement: statements.Select, instead: Query | None = None) -> Query:
    return as_query(statement, most=MOST_ROWS, needs=tables(), instead=instead)


def _next(moment: datetime, timeframe: str) -> datetime:
    """Return when the first candle opens from the moment on."""
    return floor(moment + length(timeframe) - timedelta.resolution, timeframe)


def _column(name: str, rows: Rows) -> list[Any]:
    place = rows.columns.index(name)
    return [row[place] for row in rows.rows]


def _last_of_each_coin(stored: Rows, made: Rows) -> ParsedRows[CryptoOHLCVData]:
    """Return the candle that opened last of each coin; of two that opened at once the stored one."""
    rows = joined([_records(OHLCV, made), _records(OHLCV, stored)])
    last = {candle.coin_id: candle for candle in sorted(rows.found, key=attrgetter("timestamp"))}
    return evolve(rows, found=list(last.values()))


def _one_a_slot(timeframe: str, stored: Rows, made: Rows) -> ParsedRows[CryptoOHLCVData]:
    """Return the stored candles, and those made of prices within whose time no stored one opens."""
    taken = {floor(opened, timeframe) for opened in _column("timestamp", stored)}
    of_prices = _records(OHLCV, made)
    free = [candle for candle in of_prices.found if candle.timestamp not in taken]
    rows = joined([evolve(of_prices, found=free), _records(OHLCV, stored)])
    return evolve(rows, found=sorted(rows.found, key=attrgetter("timestamp")))


def _records(kind: Kind, answer: Rows) -> ParsedRows[Any]:
    """Return the rows as records; an invalid one, which another program wrote, does not cost the others."""
    found: list[Any] = []
    odd: list[OddRow] = []
    for row in answer.rows:
        try:
            found.append(kind.type(**dict(zip(answer.columns, row, strict=True))))
        except (ValueError, TypeError) as error:
            text = f"the table {kind.table} holds a row that is no record: {error}"
            odd.append(OddRow(repr(row).encode(), Permanent("invalid", text, remedy="correct or delete the row")))
    return ParsedRows(found, odd)
