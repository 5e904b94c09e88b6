"""Filling gaps: found in the database, read from CoinGecko, written to the database, and looked for again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from typing import Any, TypeAlias

from attrs import define, field, frozen

from dataplatform.base.agent import Clock, Request
from dataplatform.base.database import as_query
from dataplatform.dsl.kinds import OHLCV
from dataplatform.dsl.operations import (
    GetCurrentPrice,
    GetOHLCVByDateRange,
    GetPriceHistory,
    PublishOHLCVBatch,
    PublishPrices,
)
from dataplatform.dsl.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.dsl.queries import BatchPublishResult, DateRangeOHLCVQuery, Gap
from dataplatform.dsl.tables import table_of
from dataplatform.dsl.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.sources.coingecko.symbols import is_symbol
from dataplatform.sources.timescale.statements import stored_candles
from dataplatform.system.commands.gaps import MOST_CANDLES, Span, gaps_among, split
from dataplatform.system.commands.patience import Patience

__all__ = ["Account", "Backfill", "Found", "Left"]

Row: TypeAlias = CryptoPriceData | CryptoOHLCVData

DAY = timedelta(days=1)
HOURLY, LONGEST = 90, 5_000  # days that a history is asked for: more than the first, and prices are daily
AT_ONCE = 1_000  # records in one writing operation
NOTHING = "CoinGecko has nothing there"
PLAN = "; a paid plan reaches further back"
TIMEOUT = 180.0  # seconds: an operation waits for its turn under CoinGecko's rate limit


@frozen
class Found:
    """A span and the gaps in it, as far as the database tells."""

    span: Span
    gaps: tuple[Gap, ...]

    @property
    def missing(self) -> int:
        """How many intervals lack a record."""
        return count(self.gaps)


@frozen
class Left:
    """So many intervals of a span that are still missing, and why."""

    span: Span
    missing: int
    reason: str


@define
class Account:
    """What a backfill found, wrote and left; `missing` and `filled` in intervals."""

    gaps: int = 0
    missing: int = 0
    filled: int = 0
    records: int = 0
    left: list[Left] = field(factory=list)


@define
class Backfill:
    """Composes a reader of CoinGecko, and a reader, the client and a writer of the database.

    There is nothing to remember of it: what is stored is no gap any more, so a backfill that was killed goes on where
    it was when it is begun anew.
    """

    coingecko: ReaderProxy
    stored: ReaderProxy
    database: AgentProxy
    writer: WriterProxy
    patience: Patience
    clock: Clock
    simulated: bool = False
    account: Account = field(factory=Account)

    def id_of(self, coin: str) -> str:
        """Return the id of a coin that is called by its symbol; one that CoinGecko does not know is taken for an id.

        Raises `PlatformError` where CoinGecko cannot tell the id: what is stored would be looked for by another one
        than it is written by.
        """
        if not is_symbol(coin):
            return coin
        answer = self._ask(self.coingecko, GetCurrentPrice(coin))
        if isinstance(answer, Failure) and answer.error.code == "not_found":
            return coin.lower()
        return str(get_data(answer).coin_id)

    def find(self, span: Span) -> Found:
        """Return the gaps of a span; raises `PlatformError` where the database cannot tell."""
        times = self._candle_times(span) if span.candles else self._price_times(span)
        return Found(span, gaps_among(times, span, self.clock.now()))

    def fill(self, found: Found) -> int:
        """Fill what can be filled, account for it, and return how many intervals that was.

        Raises `PlatformError` where the database cannot be written.
        """
        reason = self._fill(found)
        after = self.find(found.span)
        filled = max(0, found.missing - after.missing)
        self.account.gaps += len(found.gaps)
        self.account.missing += found.missing
        self.account.filled += filled
        self._leave(after, reason or NOTHING)
        return filled

    def _price_times(self, span: Span) -> list[datetime]:
        answer = self._ask(self.stored, GetPriceHistory(span.coin, self._days(span.start)))
        if isinstance(answer, Failure) and answer.error.code == "not_found":
            return []
        return [price.last_updated for price in get_data(answer)]

    def _candle_times(self, span: Span) -> list[datetime]:
        """Return the candles that are stored as such; the reader's operation would make some of the prices."""
        stored = stored_candles(span.coin, span.interval, span.start, span.end, simulated=self.simulated)
        query = as_query(stored, most=4 * MOST_CANDLES, needs=(table_of(OHLCV),))
        rows = get_data(self._ask(self.database, query))
        place = rows.columns.index(OHLCV.time)
        return [row[place] for row in rows.rows]

    def _fill(self, found: Found) -> str:
        """Read and write once; return why that could not be, "" where it went well."""
        gaps = split(found.gaps, found.span).open
        if not gaps:
            return "out of reach"
        answer = self._read(found.span, gaps)
        if isinstance(answer, Failure):
            return _no_coin(found.span.coin) if answer.error.code == "not_found" else str(answer.error)
        rows = [row for row in answer.data if any(gap.start <= _time(row) < gap.end for gap in gaps)]
        if not rows:
            return NOTHING
        refused = [reason for place in range(0, len(rows), AT_ONCE) for reason in self._write(rows[place:][:AT_ONCE])]
        self.account.records += len(rows) - len(refused)
        return f"{len(refused)} records were refused, the first: {refused[0]}" if refused else ""

    def _read(self, span: Span, gaps: Sequence[Gap]) -> Result[Sequence[Row]]:
        start, end = gaps[0].start, gaps[-1].end
        if span.candles:
            query = DateRangeOHLCVQuery(span.coin, start, end, span.interval)
            series = self._ask(self.coingecko, GetOHLCVByDateRange(query))
            return series if isinstance(series, Failure) else Success(series.data.candles)
        days = self._days(start)
        days = min(days, HOURLY) if span.interval == "1h" else max(days, HOURLY + 1)
        return self._ask(self.coingecko, GetPriceHistory(span.coin, days))

    def _write(self, rows: Sequence[Any]) -> list[str]:
        """Write records and return why some of them were refused."""
        candles = isinstance(rows[0], CryptoOHLCVData)
        request: Request[BatchPublishResult] = PublishOHLCVBatch(rows) if candles else PublishPrices(rows)
        return [str(one.error) for one in get_data(self._ask(self.writer, request)).refused]

    def _leave(self, found: Found, reason: str) -> None:
        """Account for what is missing still."""
        parts, span = split(found.gaps, found.span), found.span
        if parts.beyond:
            what = f"candles of {span.interval}" if span.candles else "history"
            why = f"CoinGecko gives {what} only since {span.reach:%Y-%m-%d %H:%M}" + ("" if span.candles else PLAN)
            self.account.left.append(Left(span, count(parts.beyond), why))
        if parts.open:
            self.account.left.append(Left(span, count(parts.open), reason))

    def _ask(self, agent: AgentProxy | ReaderProxy | WriterProxy, request: Any) -> Result[Any]:
        return self.patience.ask(partial(agent.ask, request, TIMEOUT))

    def _days(self, since: datetime) -> int:
        return max(1, min(LONGEST, ceil((self.clock.now() - since) / DAY)))


def count(gaps: Iterable[Gap]) -> int:
    """Return how many intervals the gaps have."""
    return sum(gap.missing for gap in gaps)


def _no_coin(coin: str) -> str:
    return f"CoinGecko has no coin {coin!r}; its ids are like 'bitcoin', its symbols like 'BTC'"


def _time(row: Row) -> datetime:
    return row.timestamp if isinstance(row, CryptoOHLCVData) else row.last_updated
