"""The refresher: an agent that has candles refreshed to which prices came late, a day at a time, as they are noted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, ClassVar, TypeAlias, assert_never

import psycopg2
from attrs import frozen
from psycopg2.extensions import connection

from dataplatform.base.agent import Agent, Context
from dataplatform.base.database.connecting import connect
from dataplatform.base.database.errors import explain
from dataplatform.base.database.hypertables import Storage
from dataplatform.base.database.migrator import Errand
from dataplatform.base.database.refreshing import NEXT_STALE_DAY, Refresh, StaleDay, refresh
from dataplatform.base.database.requests import Rows
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.result import Failure, Result, Success

__all__ = ["CandleRefresher"]

EVERY = 5.0  # seconds between two looks at what is noted
TIMEOUT = 15.0  # seconds for a look


@frozen
class LookDue:
    """It is time to look whether a day is noted."""


@frozen
class RefreshEnded:
    """The refresh of a day has succeeded or failed; an exception is a bug."""

    day: StaleDay
    outcome: Result[Refresh] | Exception


Message: TypeAlias = LookDue | RefreshEnded


class CandleRefresher(Agent):
    """Looks every five seconds, through a client, for days whose candles are stale, and refreshes them, oldest first.

    A day is refreshed on a connection and a thread of its own, as long as it takes, and is forgotten only after that:
    what a stop or an outage breaks off is done again.
    """

    kind: ClassVar[str] = "service"

    def __init__(self, context: Context, client: str, settings: TimescaleSettings, storage: Storage) -> None:
        super().__init__(context)
        self._client = self.address(client)
        self._settings = settings
        self._storage = storage
        self._errand: Errand | None = None

    def _open(self) -> None:
        self.after(EVERY, LookDue())

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case LookDue():
                self.call(self._client, NEXT_STALE_DAY, self._looked, timeout=TIMEOUT)
            case RefreshEnded(day, outcome):
                self._ended(day, outcome)
            case _:
                assert_never(message)
        return None

    def _close(self) -> None:
        if self._errand is not None:
            self._errand.give_up()
        self._errand = None

    def _looked(self, answer: Result[Rows]) -> None:
        if isinstance(answer, Failure) or not answer.data.rows:  # its client shows an outage
            self.after(EVERY, LookDue())
            return
        day = StaleDay(*answer.data.rows[0])
        self._errand = Errand(lambda opened: self._work(day, opened), f"{self.name}-refresh")
        self._errand.start()

    def _work(self, day: StaleDay, opened: Callable[[connection], None]) -> None:
        """Refresh a day; runs in the errand's thread, and tells this agent how it ended."""
        outcome: Result[Refresh] | Exception
        try:
            outcome = self._refreshed(day, opened)
        except Exception as bug:  # noqa: BLE001  raised again in the agent's thread
            outcome = bug
        # by the scheduler, for which it is no error that the agent has stopped by now
        self.context.runtime.scheduler.after(0.0, self.actor_ref, RefreshEnded(day, outcome))

    def _refreshed(self, day: StaleDay, opened: Callable[[connection], None]) -> Result[Refresh]:
        try:
            with closing(connect(self._settings, self.name, unhurried=True)) as conn:
                opened(conn)
                conn.autocommit = True
                return Success(refresh(conn, self._storage.candles, day))
        except psycopg2.Error as error:
            return Failure(explain(error, writing=True))

    def _ended(self, day: StaleDay, outcome: Result[Refresh] | Exception) -> None:
        self._errand = None
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Failure):
            self.count("failed")
            self.retry(outcome.error, LookDue())
            return
        self.recover()
        self.count("days")
        self.log.info("late prices", table=day.table, day=f"{day.day:%Y-%m-%d}", candles=str(outcome.data))
        self.after(0.0, LookDue())
