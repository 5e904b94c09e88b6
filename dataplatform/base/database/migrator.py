"""The migrator: an agent that brings a database up to date at start, and waits out an outage that is in the way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, TypeAlias, assert_never

import psycopg2
from attrs import define, field, frozen
from psycopg2.extensions import connection

from dataplatform.base.agent import Agent, Context
from dataplatform.base.agent.status import State
from dataplatform.base.database.hypertables import Storage
from dataplatform.base.database.migrations import Migrated, migrate
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.result import Failure, Result

__all__ = ["Errand", "Migrator"]

PATIENCE = 10.0  # seconds that others wait for a migration, and then start beside it
ENDING = 0.15  # seconds that a broken-off one may take


@frozen
class MigrateDue:
    """It is time to try."""


@frozen
class MigrationEnded:
    """The migration that was under way has succeeded or failed; an exception is a bug."""

    outcome: Result[Migrated] | Exception


@frozen
class PatienceEnded:
    """The others have waited long enough."""


Message: TypeAlias = MigrateDue | MigrationEnded | PatienceEnded


@define(eq=False)
class Errand:
    """Work in a database on a thread of its own, as long as it takes; its agent can answer and stop meanwhile."""

    _work: Callable[[Callable[[connection], None]], None]
    _name: str
    _given_up: threading.Event = field(factory=threading.Event, init=False)
    _connections: list[connection] = field(factory=list, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, args=(self._opened,), name=self._name, daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        """Break its connections, so that the server takes back what was not committed, and the thread ends."""
        self._given_up.set()
        for opened in self._connections:
            _break(opened)
        if self._thread is not None:
            self._thread.join(ENDING)

    def _opened(self, opened: connection) -> None:
        self._connections.append(opened)
        if self._given_up.is_set():
            _break(opened)


class Migrator(Agent):
    """Migrates one database, and once more when its embedded server was restarted, which may have lost its data.

    It is `Ready` after the first try, or when that takes longer than 10 s. So an unreachable database holds nobody up,
    and one that is reachable is up to date before targets start. A try that fails is repeated while the agent is
    degraded: until it succeeds, what is missing is made by the first who writes to it.
    """

    kind: ClassVar[str] = "service"

    def __init__(self, context: Context, settings: TimescaleSettings, storage: Storage) -> None:
        super().__init__(context)
        self._settings = settings
        self._storage = storage
        self._errand: Errand | None = None

    def _open(self) -> None:
        self.after(PATIENCE, PatienceEnded())
        self._start()

    def _opened(self) -> None:
        """`Ready` is said after the first try."""

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case MigrateDue():
                self._start()
            case MigrationEnded(outcome):
                self._ended(outcome)
            case PatienceEnded():
                self._let_others_start()
            case _:
                assert_never(message)
        return None

    def _close(self) -> None:
        if self._errand is not None:
            self._errand.give_up()
        self._errand = None

    def _peer_restarted(self, name: str) -> None:
        if self.kind_of(name) == "server":
            self._start()

    def _start(self) -> None:
        if self._errand is not None:  # it fails when its server did, and is repeated
            return
        self._errand = Errand(self._work, f"{self.name}-migration")
        self._errand.start()

    def _work(self, opened: Callable[[connection], None]) -> None:
        """Migrate; runs in the errand's thread, and tells this agent how it ended."""
        outcome: Result[Migrated] | Exception
        try:
            outcome = migrate(self._settings, self._storage, name=self.name, opened=opened)
        except Exception as bug:  # noqa: BLE001  raised again in the agent's thread
            outcome = bug
        # by the scheduler, for which it is no error that the agent has stopped by now
        self.context.runtime.scheduler.after(0.0, self.actor_ref, MigrationEnded(outcome))

    def _ended(self, outcome: Result[Migrated] | Exception) -> None:
        self._errand = None
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Failure):
            self.count("failed")
            self.retry(outcome.error, MigrateDue())
        else:
            self.recover()
            self.count("changes", len(outcome.data.done))
            done = ", ".join(outcome.data.done) or "all was up to date"
            self.log.info("migrated", done=done, lacks=outcome.data.lacks or None)
        self._let_others_start()

    def _let_others_start(self) -> None:
        if self.state is State.STARTING:
            self.ready()


def _break(opened: connection) -> None:
    """Shut a connection down under the thread that waits in it; to close it would wait for that thread."""
    if opened.closed:
        return
    with suppress(psycopg2.Error, OSError), socket.fromfd(opened.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.shutdown(socket.SHUT_RDWR)
