"""Gaps in stored history: which there are, read from CoinGecko, written to the database, and looked for again.

Which history a backfill looks for: stretches of one density, and the gaps of a series in them. Filling gaps: found in
the database, read from CoinGecko, written to the database, and looked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from typing import Any, TypeAlias

from attrs import define, evolve, field, frozen

from dataplatform.base.agent import Clock, Request
from dataplatform.base.database import as_query
from dataplatform.dsl.operations.operations import (
    GetCurrentPrice,
    GetOHLCVByDateRange,
    GetPriceHistory,
    PublishOHLCVBatch,
    PublishPrices,
)
from dataplatform.dsl.operations.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.dsl.records.kinds import OHLCV
from dataplatform.dsl.records.queries import BatchPublishResult, DateRangeOHLCVQuery, Gap
from dataplatform.dsl.records.timeframes import floor, length
from dataplatform.dsl.records.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.dsl.storage.tables import table_of
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.sources.coingecko.candles import DAYS
from dataplatform.sources.coingecko.symbols import is_symbol
from dataplatform.sources.timescale.statements import stored_candles
from dataplatform.system.cli.options import Patience

__all__ = [
    "MOST_CANDLES",
    "Account",
    "Backfill",
    "Found",
    "Left",
    "Span",
    "Split",
    "candle_spans",
    "gaps_among",
    "price_spans",
    "split",
]

DAY = timedelta(days=1)
HOURLY, FREE = 90 * DAY, 365 * DAY  # how far back CoinGecko's prices are hourly, and how far without a paid plan
MARGIN = timedelta(minutes=5)  # CoinGecko's clock need not be ours, and answering takes time
MOST_CANDLES = 5_000


@frozen
class Span:
    """A coin's prices or candles in [start, end), of which there should be one in each `interval`.

    CoinGecko has them since `reach`.
    """

    coin: str
    start: datetime
    end: datetime
    interval: str
    candles: bool
    reach: datetime

    def __str__(self) -> str:
        what = "candles" if self.candles else "prices"
        return f"{self.coin}: {what} of {self.interval} from {self.start:%Y-%m-%d} to {self.end:%Y-%m-%d %H:%M}"


@frozen
class Split:
    """Gaps that can be filled, and those that lie too far back."""

    open: tuple[Gap, ...]
    beyond: tuple[Gap, ...]


def price_spans(coins: Sequence[str], start: datetime, end: datetime, now: datetime, *, paid: bool) -> list[Span]:
    """Return the spans of prices as densely as CoinGecko keeps them: hourly for 90 days, daily before."""
    turn = floor(now - HOURLY + MARGIN + length("1h"), "1d") + DAY
    reach = datetime.min.replace(tzinfo=now.tzinfo) if paid else now - FREE + MARGIN
    end = min(end, now)
    spans = [
        span
        for coin in coins
        for span in (
            Span(coin, _begin(start, "1d", reach), min(end, turn), "1d", candles=False, reach=reach),
            Span(coin, floor(max(start, turn), "1h"), end, "1h", candles=False, reach=reach),
        )
    ]
    return [span for span in spans if span.start < span.end]


def candle_spans(coins: Sequence[str], start: datetime, end: datetime, now: datetime, timeframe: str) -> list[Span]:
    """Return the spans of candles of a timeframe, each of 5,000 at most."""
    step, reach = MOST_CANDLES * length(timeframe), now - DAYS[timeframe][-1] * DAY + MARGIN
    begin, end = _begin(start, timeframe, reach), min(end, now)
    begins = [begin + place * step for place in range(max(0, -((begin - end) // step)))]
    return [
        Span(coin, one, min(one + step, end), timeframe, candles=True, reach=reach) for coin in coins for one in begins
    ]


def _begin(start: datetime, interval: str, reach: datetime) -> datetime:
    """Return the start of the first interval to look for.

    The interval in which CoinGecko's past ends is there in part only: who asks from that limit on is not to miss it.
    """
    first = floor(start, interval)
    if first < reach <= start + 2 * MARGIN:
        return floor(reach, interval) + length(interval)
    return first


def gaps_among(times: Iterable[datetime], span: Span, now: datetime) -> tuple[Gap, ...]:
    """Return the gaps of a span in which no time lies; an interval that is not over at `now` is not a gap.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> span = Span("bitcoin", noon, noon + 4 * timedelta(hours=1), "1h", candles=False, reach=noon)
    >>> [gap.missing for gap in gaps_among([noon, noon + timedelta(hours=2, minutes=9)], span, now=noon + DAY)]
    [1, 1]
    """
    step = length(span.interval)
    there = {floor(moment, span.interval) for moment in times}
    return tuple(_gaps(there, floor(span.start, span.interval), min(span.end, now) - step, step))


def _gaps(there: set[datetime], moment: datetime, last: datetime, step: timedelta) -> Iterator[Gap]:
    start = None
    while moment <= last:
        if moment in there and start is not None:
            yield Gap(start, moment, (moment - start) // step)
            start = None
        elif moment not in there and start is None:
            start = moment
        moment += step
    if start is not None:
        yield Gap(start, moment, (moment - start) // step)


def split(gaps: Iterable[Gap], span: Span) -> Split:
    """Return which gaps, or parts of them, CoinGecko reaches back to."""
    step = length(span.interval)
    first = span.start + max(0, -((span.start - span.reach) // step)) * step if span.reach > span.start else span.start
    within: list[Gap] = []
    beyond: list[Gap] = []
    for gap in gaps:
        cut = max(gap.start, min(gap.end, first))
        if cut > gap.start:
            beyond.append(evolve(gap, end=cut, missing=round((cut - gap.start) / step)))
        if cut < gap.end:
            within.append(evolve(gap, start=cut, missing=round((gap.end - cut) / step)))
    return Split(tuple(within), tuple(beyond))


Row: TypeAlias = CryptoPriceData | CryptoOHLCVData

HOURLY_DAYS, LONGEST = 90, 5_000  # days that a history is asked for: more than the first, and prices are daily
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
        days = min(days, HOURLY_DAYS) if span.interval == "1h" else max(days, HOURLY_DAYS + 1)
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
