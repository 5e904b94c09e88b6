"""The migrator: an agent that brings a database up to date at start, and waits out an outage that is in the way."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import frozen

from dataplatform.base.agent import Agent, Context
from dataplatform.base.agent.status import State
from dataplatform.base.database.background import BackgroundWork, Outcome, result_of
from dataplatform.base.database.hypertables import Storage
from dataplatform.base.database.migrations import Migrated, migrate
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.result import Failure, Result, Success

__all__ = ["Migrator"]

PATIENCE = 10.0  # seconds that others wait for a migration, and then start beside it


@frozen
class MigrateDue:
    """It is time to try."""


@frozen
class MigrationEnded:
    """The migration that was under way has succeeded or failed."""

    outcome: Outcome[Migrated]


@frozen
class PatienceEnded:
    """The others have waited long enough."""


Message: TypeAlias = MigrateDue | MigrationEnded | PatienceEnded


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
        self._work: BackgroundWork[Migrated] | None = None

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
        if self._work is not None:
            self._work.give_up()
        self._work = None

    def _peer_restarted(self, name: str) -> None:
        if self.kind_of(name) == "server":
            self._start()

    def _start(self) -> None:
        if self._work is not None:  # it fails when its server did, and is repeated
            return
        work = partial(migrate, self._settings, self._storage, name=self.name)
        self._work = BackgroundWork(self, lambda opened: work(opened=opened), MigrationEnded)
        self._work.start()

    def _ended(self, outcome: Outcome[Migrated]) -> None:
        self._work = None
        match result_of(outcome):
            case Failure(error):
                self.count("failed")
                self.retry(error, MigrateDue())
            case Success(migrated):
                self.recover()
                self.count("changes", len(migrated.done))
                done = ", ".join(migrated.done) or "all was up to date"
                self.log.info("migrated", done=done, lacks=migrated.lacks or None)
        self._let_others_start()

    def _let_others_start(self) -> None:
        if self.state is State.STARTING:
            self.ready()
