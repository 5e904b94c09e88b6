"""Candles refreshed to which prices came late: one day's work, level by level, and the agent that has it done.

Refreshing the candles of one day after late rows, level by level: where that loses none of their prices. The refresher:
an agent that has candles refreshed to which prices came late, a day at a time, as they are noted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, TypeAlias, assert_never

import psycopg2
from attrs import asdict, define, field, frozen
from psycopg2.extensions import connection

from dataplatform.base.agent import Agent, Context
from dataplatform.base.agent.backoff import Backoff, BackoffPolicy
from dataplatform.base.database.background import BackgroundWork, Outcome, result_of
from dataplatform.base.database.connection import connect, explain
from dataplatform.base.database.hypertables import Candles, Storage
from dataplatform.base.database.queries import Query, Rows
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.base.database.stale_candles import DAY, LATE_AFTER, STALE_TABLE
from dataplatform.base.database.tables import quoted
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["STALE_DAYS", "CandleRefresher", "FailingDays", "Refresh", "StaleDay", "refresh"]

# The oldest first: whatever is after it and was never materialized is made when it is looked at, until then.
STALE_DAYS = Query(
    f"SELECT table_name, day, version FROM {STALE_TABLE} WHERE NOT incomplete ORDER BY day, table_name",  # noqa: S608
    instead=Query("SELECT NULL WHERE false"),
)
CONTINUOUS = """
SELECT view_name FROM timescaledb_information.continuous_aggregates WHERE view_schema = current_schema()
"""
# Candles that ended so long ago change by late rows alone, which are noted; later ones are left to the policies.
END = "SELECT least(%(end)s::timestamptz, time_bucket(%(every)s::interval, now() - %(late_after)s::interval))"
REFRESH = "CALL refresh_continuous_aggregate(%(name)s::regclass, %(start)s::timestamptz, %(end)s::timestamptz)"
FORGET = f"DELETE FROM {STALE_TABLE} WHERE table_name = %(table)s AND day = %(day)s AND version = %(version)s"  # noqa: S608
GIVE_UP = f"""
UPDATE {STALE_TABLE} SET incomplete = true WHERE table_name = %(table)s AND day = %(day)s AND version = %(version)s
"""  # noqa: S608


@frozen
class StaleDay:
    """A day (UTC) of a table whose candles are to be refreshed, and how often that has been noted."""

    table: str
    day: datetime
    version: int


class Refresh(StrEnum):
    """What became of a day."""

    DONE = "refreshed"
    NOTHING = "without prices, or without candles that are kept"
    INCOMPLETE = "left as it is: some of the prices of its candles were dropped"


def refresh(conn: connection, views: tuple[Candles, ...], stale: StaleDay) -> Refresh:
    """Refresh the candles of a day, finer ones first, and forget the day unless it was noted anew meanwhile.

    Where some candle is made of more prices than there are now, retention has dropped them, and to refresh would
    delete the candle: then the day is marked, and its candles stay. The connection is in autocommit mode; done twice,
    or broken off and done again, it comes to the same.
    """
    with conn.cursor() as cursor:
        cursor.execute(CONTINUOUS)
        known = {name for (name,) in cursor.fetchall()}
        levels = [view for view in views if view.of.table == stale.table and view.name in known]
        outcome = _possible(cursor, levels, stale)
        if outcome is Refresh.DONE:
            for view in levels:
                _refresh(cursor, view, stale)
        cursor.execute(GIVE_UP if outcome is Refresh.INCOMPLETE else FORGET, asdict(stale))
    return outcome


def _possible(cursor: Any, levels: list[Candles], stale: StaleDay) -> Refresh:
    if not levels:
        return Refresh.NOTHING
    day = {"start": stale.day, "end": stale.day + DAY}
    for query, otherwise in ((_any_price(levels[0]), Refresh.NOTHING), (_no_lost_price(levels[0]), Refresh.INCOMPLETE)):
        cursor.execute(query, day)
        if cursor.fetchall() != [(True,)]:
            return otherwise
    return Refresh.DONE


def _any_price(view: Candles) -> str:
    time = quoted(view.of.time)
    return f"SELECT EXISTS (SELECT FROM {quoted(view.of.table)} WHERE {time} >= %(start)s AND {time} < %(end)s)"  # noqa: S608


def _no_lost_price(view: Candles) -> str:
    """Return the query whether every candle is made of no more prices than there are."""
    keys = ", ".join(quoted(column) for column in view.of.key if column != view.of.time)
    time, seconds = quoted(view.of.time), int(view.every.total_seconds())
    return f"""
        SELECT NOT EXISTS (
            SELECT FROM (
                SELECT "timestamp", {keys}, prices FROM {quoted(view.name)}
                WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s
            ) AS kept
            LEFT JOIN (
                SELECT time_bucket(INTERVAL '{seconds} seconds', {time}) AS "timestamp", {keys}, count(*) AS there
                FROM {quoted(view.of.table)} WHERE {time} >= %(start)s AND {time} < %(end)s GROUP BY 1, {keys}
            ) AS made USING ("timestamp", {keys})
            WHERE kept.prices > coalesce(made.there, 0)
        )
    """  # noqa: S608  our own names


def _refresh(cursor: Any, view: Candles, stale: StaleDay) -> None:
    cursor.execute(END, {"end": stale.day + DAY, "every": view.every, "late_after": LATE_AFTER})
    ((end,),) = cursor.fetchall()
    if end > stale.day:
        cursor.execute(REFRESH, {"name": quoted(view.name), "start": stale.day, "end": end})


EVERY = 5.0  # seconds between two looks at what is noted
TIMEOUT = 15.0  # seconds for a look
PAUSES = BackoffPolicy(base=EVERY, cap=600.0, jitter=0.5)  # of one day that fails


@frozen
class RefreshDue:
    """It is time to look whether a day is noted."""


@frozen
class RefreshEnded:
    """The refresh of a day has succeeded or failed."""

    day: StaleDay
    outcome: Outcome[Refresh]


Message: TypeAlias = RefreshDue | RefreshEnded


@define(eq=False)
class FailingDay:
    """Why the refresh of a day failed, how often in a row, and when it is tried again."""

    day: StaleDay
    error: PlatformError
    backoff: Backoff
    due: float


@define(eq=False)
class FailingDays:
    """The days whose refresh failed, each tried again after pauses of its own; `now` is the monotonic clock's time."""

    _days: dict[tuple[str, object], FailingDay] = field(factory=dict)

    def next(self, stale: Sequence[StaleDay], now: float) -> StaleDay | None:
        """Return the first stale day that is not paused; forget the failures of days that are no longer stale."""
        noted = {_key(day) for day in stale}
        self._days = {key: one for key, one in self._days.items() if key in noted}
        return next((day for day in stale if (one := self._days.get(_key(day))) is None or one.due <= now), None)

    def failed(self, day: StaleDay, error: PlatformError, now: float) -> None:
        """Have a day pause, each time longer."""
        before = self._days.get(_key(day))
        backoff = before.backoff if before else Backoff(PAUSES)
        self._days[_key(day)] = FailingDay(day, error, backoff, now + backoff.next())

    def succeeded(self, day: StaleDay) -> None:
        self._days.pop(_key(day), None)

    def error(self) -> Transient | None:
        """Return what to show: the oldest day that fails, why, and how many others do."""
        if not self._days:
            return None
        first = min(self._days.values(), key=lambda one: one.day.day)
        others = f", and those of {len(self._days) - 1} more," if len(self._days) > 1 else ""
        text = f"the candles of {first.day.table} of {first.day.day:%Y-%m-%d}{others} are not refreshed"
        return Transient("candles", f"{text}: {first.error.message}", remedy=first.error.remedy)

    def next_try(self, now: float) -> float:
        """Return the seconds until the first of them is due."""
        return max(0.0, min(one.due for one in self._days.values()) - now)


class CandleRefresher(Agent):
    """Looks every five seconds, through a client, for days whose candles are stale, and refreshes them, oldest first.

    A day is refreshed on a connection and a thread of its own, as long as it takes, and is forgotten only after that:
    what a stop or an outage breaks off is done again. A day that fails holds up no other: it is tried again after
    pauses that grow to ten minutes, and the agent is degraded until it succeeds.
    """

    kind: ClassVar[str] = "service"

    def __init__(self, context: Context, client: str, settings: TimescaleSettings, storage: Storage) -> None:
        super().__init__(context)
        self._client = self.address(client)
        self._settings = settings
        self._storage = storage
        self._failing = FailingDays()
        self._work: BackgroundWork[Refresh] | None = None

    def _open(self) -> None:
        self.after(EVERY, RefreshDue())

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case RefreshDue():
                self.call(self._client, STALE_DAYS, self._looked, timeout=TIMEOUT)
            case RefreshEnded(day, outcome):
                self._ended(day, outcome)
            case _:
                assert_never(message)
        return None

    def _close(self) -> None:
        if self._work is not None:
            self._work.give_up()
        self._work = None

    def _looked(self, answer: Result[Rows]) -> None:
        day = None
        if isinstance(answer, Success):  # else its client shows an outage
            day = self._failing.next([StaleDay(*row) for row in answer.data.rows], self.clock.monotonic())
            self._show()
        if day is None:
            self.after(EVERY, RefreshDue())
            return
        self._work = BackgroundWork(self, partial(self._refreshed, day), partial(RefreshEnded, day))
        self._work.start()

    def _refreshed(self, day: StaleDay, opened: Callable[[connection], None]) -> Result[Refresh]:
        """Refresh a day; runs in a thread of its own."""
        try:
            with closing(connect(self._settings, self.name, unhurried=True)) as conn:
                opened(conn)
                conn.autocommit = True
                return Success(refresh(conn, self._storage.candles, day))
        except psycopg2.Error as error:
            return Failure(explain(error, writing=True))

    def _ended(self, day: StaleDay, outcome: Outcome[Refresh]) -> None:
        self._work = None
        match result_of(outcome):
            case Failure(error):
                self.count("failed")
                self._failing.failed(day, error, self.clock.monotonic())
                self.after(self.backoff.next(), RefreshDue())  # an outage would fail all of them
            case Success(refreshed):
                self.count("days")
                self._failing.succeeded(day)
                self.backoff.reset()
                self.log.info("late prices", table=day.table, day=f"{day.day:%Y-%m-%d}", candles=str(refreshed))
                self.after(0.0, RefreshDue())
        self._show()

    def _show(self) -> None:
        """Be degraded while a day fails."""
        if error := self._failing.error():
            self.degrade(error, self._failing.next_try(self.clock.monotonic()))
        elif self.is_degraded:
            self.recover()


def _key(day: StaleDay) -> tuple[str, object]:
    return day.table, day.day
