"""Migrations: Alembic for the tables, then what TimescaleDB adds; and the agent that runs them at start.

The migrator: an agent that brings a database up to date at start, and waits out an outage that is in the way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeAlias, assert_never

import psycopg2
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from attrs import frozen
from psycopg2 import extensions
from sqlalchemy.exc import DBAPIError

from dataplatform.base.agent import Agent, Context
from dataplatform.base.agent.messages import State
from dataplatform.base.database.background import BackgroundWork, Outcome, result_of
from dataplatform.base.database.connection import SCHEMA_LOCK, connect, explain, is_pooled
from dataplatform.base.database.features import ensure, look
from dataplatform.base.database.hypertables import Storage
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success

__all__ = ["Migrated", "Migrator", "migrate"]

ONE_AT_A_TIME = threading.Lock()  # Alembic's `op` stands for one database in the whole process
UNKNOWN = "it was migrated by a later version of this program, which is the one to use"


@frozen
class Migrated:
    """What a migration did, a sentence each, none where all was up to date; and what the server lacks, else ""."""

    done: tuple[str, ...]
    lacks: str


def migrate(
    settings: TimescaleSettings,
    storage: Storage,
    *,
    name: str = "migrate",
    opened: Callable[[extensions.connection], None] = lambda _: None,
) -> Result[Migrated]:
    """Bring a database up to date, with what is in it; of several that try at once, the others wait.

    It takes as long as it takes, and waits at most `lock_timeout` for those who use a table. `opened` is given each
    connection, so that another thread may break it off: what was not committed is then as it was before.
    """

    def open_() -> extensions.connection:
        raw = connect(settings, name, unhurried=True)
        opened(raw)
        return raw

    engine = sa.create_engine("postgresql+psycopg2://", creator=open_, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            return Success(_migrate(connection, storage))
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg2.Error):
            raise
        return Failure(explain(error.orig, writing=True))
    except psycopg2.Error as error:  # of a connection that SQLAlchemy did not get
        return Failure(explain(error, writing=True))
    except (CommandError, RevisionError) as error:
        return Failure(Permanent("schema", f"the database's version is not known: {error}", remedy=UNKNOWN))


def _migrate(connection: sa.Connection, storage: Storage) -> Migrated:
    _lock(connection)
    scripts = ScriptDirectory(str(storage.scripts))  # without alembic.ini and env.py
    before = _revision(connection)
    after = _upgrade(connection, scripts, before)
    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
    server = look(connection.engine)
    done = ensure(connection, storage, server)
    versions = [f"tables brought from version {before or 'none'} to {after}"] if before != after else []
    return Migrated((*versions, *done), server.lacks)


def _lock(connection: sa.Connection) -> None:
    """Take the lock for as long as the connection lives, however long another has it.

    Behind a proxy it would stay with a session that others get; there each step has the lock of its transaction, and
    what TimescaleDB adds has none.
    """
    if not _is_pooled(connection):
        with connection.begin():
            _wait_for_lock(connection, sa.func.pg_advisory_lock)


def _wait_for_lock(connection: sa.Connection, function: Callable[[int], sa.Function[None]]) -> None:
    limit = connection.scalar(sa.text("SHOW lock_timeout"))
    connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
    connection.execute(sa.select(function(SCHEMA_LOCK)))
    connection.execute(sa.select(sa.func.set_config("lock_timeout", limit, True)))


def _is_pooled(connection: sa.Connection) -> bool:
    return is_pooled(connection.connection.dbapi_connection)


def _upgrade(connection: sa.Connection, scripts: ScriptDirectory, before: str | None) -> str | None:
    """Run what is missing, oldest first, each in a transaction together with the note that it was run."""
    after = before
    for script in reversed(list(scripts.iterate_revisions("head", before or "base"))):
        with connection.begin():
            if _is_pooled(connection):
                _wait_for_lock(connection, sa.func.pg_advisory_xact_lock)
            context = MigrationContext.configure(connection)
            if context.get_current_revision() != after:  # another program has taken this step since
                after = script.revision
                continue
            with ONE_AT_A_TIME, Operations.context(context):
                script.module.upgrade()
            context.stamp(scripts, script.revision)
        after = script.revision
    return after


def _revision(connection: sa.Connection) -> str | None:
    with connection.begin():
        return MigrationContext.configure(connection).get_current_revision()


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
