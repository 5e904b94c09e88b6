"""Which history a backfill looks for: stretches of one density, and the gaps of a series in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from dataplatform.dsl.queries import Gap
from dataplatform.dsl.timeframes import floor, length
from dataplatform.sources.coingecko.candles import DAYS

__all__ = ["MOST_CANDLES", "Span", "Split", "candle_spans", "gaps_among", "price_spans", "split"]

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
