"""The TimescaleDB source: hooks that plan its queries, and rows back to records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias, TypeVar

from attrs import field, frozen

from dataplatform.base.database import Query, Rows, as_query
from dataplatform.dsl.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.parts import SourceOptions
from dataplatform.dsl.plan import Plan
from dataplatform.dsl.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.reader import BaseReader, unknown_coin
from dataplatform.dsl.tables import TABLES
from dataplatform.dsl.timeframes import floor, length
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.errors import Permanent
from dataplatform.result import Result, Success
from dataplatform.sources.timescale import statements

__all__ = ["TimescaleSource", "TimescaleSourceOptions"]

T = TypeVar("T")
Choice: TypeAlias = Callable[[statements.Select], statements.Select]
MOST_ROWS = 1_000_000
LOOK_BACK = timedelta(hours=1)  # in which the latest short candle is looked for: a source may pause for some of them


@frozen(kw_only=True)
class TimescaleSourceOptions(SourceOptions):
    """Options of `kind = "timescale"` under `[sources.NAME]`."""

    simulated: bool = field(
        default=False, metadata={"help": "answer from the simulator's rows instead of from all others"}
    )


class TimescaleSource(BaseReader):
    """Answers from the tables: the latest rows, histories, and candles stored as such, else those made of the prices.

    TimescaleDB keeps those, also when it has dropped the prices; without it they are made when asked for.
    """

    technology: ClassVar[str] = "TimescaleDB"
    client_kind: ClassVar[str] = "timescale"
    Options = TimescaleSourceOptions
    options: TimescaleSourceOptions

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        del options  # a row holds all that was stored
        return self._select(PRICES, statements.latest_prices(coin_ids, simulated=self.options.simulated))

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        asked = statements.coins_by_market_cap(limit, self.clock.now(), simulated=self.options.simulated)
        return Success(Plan(self.client, [_query(asked)], lambda answers: [row[0] for row in answers[0].rows]))

    def _market_analytics(self) -> Result[Plan[CryptoMarketAnalytics]]:
        asked = statements.latest_analytics(simulated=self.options.simulated)
        return Success(Plan(self.client, [_query(asked)], lambda answers: _only(ANALYTICS, answers[0], "analytics")))

    def _price_history(self, coin_id: str, days: int) -> Result[Plan[list[CryptoPriceData]]]:
        since = self.clock.now() - timedelta(days=days)
        return self._select(PRICES, statements.history(coin_id, since, simulated=self.options.simulated))

    def _latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str) -> Result[Plan[list[CryptoOHLCVData]]]:
        now, step = self.clock.now(), length(timeframe)
        stored = statements.latest_stored_candles(coin_ids, timeframe, now, simulated=self.options.simulated)
        end = floor(now, timeframe)
        made = self._made(coin_ids, timeframe, end - max(1, LOOK_BACK // step) * step, end, statements.latest)

        def transform(answers: list[Any]) -> list[CryptoOHLCVData]:
            found = [candle for answer in reversed(answers) for candle in _records(OHLCV, answer)]
            return list({candle.coin_id: candle for candle in sorted(found, key=attrgetter("timestamp"))}.values())

        return Success(Plan(self.client, [_query(stored), made], transform))

    def _ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Result[Plan[list[CryptoOHLCVData]]]:
        coin_id, timeframe, start, end = query.ticker, query.interval, query.date_start, query.date_end
        stored = statements.stored_candles(coin_id, timeframe, start, end, simulated=self.options.simulated)
        last = min(_next(end, timeframe), floor(self.clock.now(), timeframe))
        made = self._made([coin_id], timeframe, _next(start, timeframe), last, statements.in_order)
        known = _query(statements.known(coin_id, simulated=self.options.simulated))

        def transform(answers: list[Any]) -> list[CryptoOHLCVData]:
            found = _records(OHLCV, answers[0]) or _records(OHLCV, answers[1])
            if not found and answers[2].rows != [(True,)]:
                raise unknown_coin(coin_id, self.name)
            return found

        return Success(Plan(self.client, [_query(statements.in_order(stored)), made, known], transform))

    def _made(self, coin_ids: Sequence[str], timeframe: str, start: datetime, end: datetime, chosen: Choice) -> Query:
        """Return the query of the chosen candles among those TimescaleDB keeps; without it, of those made of prices."""
        simulated = self.options.simulated
        kept = statements.kept_candles(coin_ids, timeframe, start, end, simulated=simulated)
        prices = statements.candles_of_prices(coin_ids, timeframe, start, end, simulated=simulated)
        return _query(chosen(kept), instead=_query(chosen(prices)))

    def _level1(self, query: Level1Query) -> Result[Plan[Level1Data]]:
        asked = statements.latest_level1(query, simulated=self.options.simulated)
        return Success(
            Plan(self.client, [_query(asked)], lambda answers: _only(LEVEL1, answers[0], repr(query.ticker)))
        )

    def _select(self, kind: Kind, statement: statements.Select) -> Result[Plan[list[T]]]:
        query = _query(statement)
        return Success(Plan(self.client, [query], lambda answers: _records(kind, answers[0])))


def _query(statement: statements.Select, instead: Query | None = None) -> Query:
    return as_query(statement, most=MOST_ROWS, needs=tuple(TABLES.values()), instead=instead)


def _next(moment: datetime, timeframe: str) -> datetime:
    """Return when the first candle opens from the moment on."""
    return floor(moment + length(timeframe) - timedelta.resolution, timeframe)


def _records(kind: Kind, rows: Rows) -> list[Any]:
    """Return the rows as records; what the table holds was validated when it was written, and is again."""
    try:
        return [kind.type(**dict(zip(rows.columns, row, strict=True))) for row in rows.rows]
    except (ValueError, TypeError) as error:
        raise Permanent("invalid", f"the table {kind.table} holds a row that is no record: {error}") from error


def _only(kind: Kind, rows: Rows, what: str) -> Any:
    found = _records(kind, rows)
    if not found:
        raise Permanent("not_found", f"the table {kind.table} holds no {what}", remedy="write some, or ask its source")
    return found[0]
