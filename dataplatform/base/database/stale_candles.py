"""Days whose kept candles may lack prices: noted together with rows that come late, until they are refreshed.

TimescaleDB refreshes candles within a window before now. What is written behind it would never reach them, so the
writer notes the day in `stale_candles`, in the transaction of the rows; `refreshing` refreshes it, and whoever reads
candles of it in the meantime looks at the prices.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

__all__ = ["DAY", "LATE_AFTER", "STALE_DDL", "STALE_TABLE", "TimesOfRows", "note"]

DAY = timedelta(days=1)  # no candle is longer
LATE_AFTER = timedelta(hours=1)  # half of what the policy of the shortest candles looks back, so that none is missed
STALE_TABLE = "stale_candles"
STALE_DDL = f"""
CREATE TABLE IF NOT EXISTS {STALE_TABLE} (
    table_name text NOT NULL,
    day timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    incomplete boolean NOT NULL DEFAULT false,
    PRIMARY KEY (table_name, day)
)
"""
# The row stays locked until the commit, so that a refresh that does not see these rows cannot forget the day.
NOTE = f"""
INSERT INTO {STALE_TABLE} (table_name, day)
SELECT %(table)s, day FROM unnest(%(days)s::timestamptz[], %(oldest)s::timestamptz[]) AS given (day, oldest)
WHERE oldest < now() - %(late_after)s::interval AND EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
ORDER BY day
ON CONFLICT (table_name, day) DO UPDATE SET version = {STALE_TABLE}.version + 1, incomplete = false
"""  # noqa: S608  the name of our own table


@frozen
class TimesOfRows:
    """The days (UTC) in which rows lie, with the oldest time in each."""

    oldest: tuple[tuple[datetime, datetime], ...]

    @classmethod
    def of(cls, times: Iterable[datetime]) -> TimesOfRows:
        """Return those of rows with the given times, which are in UTC.

        >>> from datetime import UTC
        >>> noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
        >>> [(day.hour, oldest.hour) for day, oldest in TimesOfRows.of([noon, noon.replace(hour=9)]).oldest]
        [(0, 9)]
        """
        known = list(times)
        if not known:
            return cls(())
        first = min(known)
        oldest = {_day(first): first}
        if _day(max(known)) != _day(first):
            for moment in known:
                day = _day(moment)
                oldest[day] = min(moment, oldest.get(day, moment))
        return cls(tuple(sorted(oldest.items())))


def note(cursor: Any, table: str, times: TimesOfRows) -> None:
    """Note the days of late rows, by the server's clock, where it may keep candles; the last thing before a commit."""
    if times.oldest:
        days, oldest = zip(*times.oldest, strict=True)
        asked = {"table": table, "days": list(days), "oldest": list(oldest), "late_after": LATE_AFTER}
        cursor.execute(NOTE, asked)


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
