"""Timeframes: how long a candle is, as the field writes it: `1m`, `30m`, `4h`, `1d`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dataplatform.dsl.records.queries import DateRangeOHLCVQuery, Gap, OHLCVSeries
from dataplatform.dsl.records.rules import shown
from dataplatform.dsl.records.types import CryptoOHLCVData
from dataplatform.errors import Permanent, PlatformError

__all__ = ["EPOCH", "check_timeframe", "floor", "length", "series"]

PATTERN = re.compile(r"([1-9][0-9]{0,2})([mhdw])")
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_timeframe(value: Any) -> PlatformError | None:
    """Refuse what is no timeframe."""
    if isinstance(value, str) and PATTERN.fullmatch(value):
        return None
    return Permanent("bad_argument", f"{shown(value)} is no timeframe; one looks like '1m', '30m', '4h' or '1d'")


def length(timeframe: str) -> timedelta:
    """Return how long a candle of the timeframe is.

    >>> length("4h")
    datetime.timedelta(seconds=14400)
    """
    match = PATTERN.fullmatch(timeframe)
    if match is None:
        raise ValueError(f"{timeframe!r} is no timeframe")
    return int(match[1]) * UNITS[match[2]]


def floor(moment: datetime, timeframe: str) -> datetime:
    """Return the open of the candle that holds the moment; candles are counted from 1970-01-01 UTC.

    >>> floor(datetime(2026, 1, 1, 5, 59, tzinfo=UTC), "4h").hour
    4
    """
    return moment - (moment - EPOCH) % length(timeframe)


def series(candles: Sequence[CryptoOHLCVData], query: DateRangeOHLCVQuery, now: datetime) -> OHLCVSeries:
    """Return the candles whose open lies in the query's range, in order, and the gaps among them.

    A candle that is still open at `now` is not missing. Candles stand where most of the source's stand: not every
    source counts them from midnight. One that stands elsewhere fills the gap within whose time it opens.
    """
    inside = sorted(
        (candle for candle in candles if query.date_start <= candle.timestamp < query.date_end),
        key=lambda candle: candle.timestamp,
    )
    step = length(query.interval)
    phases = Counter((candle.timestamp - EPOCH) % step for candle in inside)
    anchor = EPOCH + (phases.most_common(1)[0][0] if phases else timedelta(0))
    opens = {candle.timestamp - (candle.timestamp - anchor) % step for candle in inside}
    first = query.date_start + (anchor - query.date_start) % step
    last = min(query.date_end, now - step + timedelta.resolution)
    return OHLCVSeries(inside, tuple(_gaps(opens, first, last, step)))


def _gaps(opens: set[datetime], first: datetime, last: datetime, step: timedelta) -> Iterator[Gap]:
    start, moment = None, first
    while moment < last:
        if moment not in opens and start is None:
            start = moment
        elif moment in opens and start is not None:
            yield Gap(start, moment, (moment - start) // step)
            start = None
        moment += step
    if start is not None:
        yield Gap(start, moment, (moment - start) // step)
