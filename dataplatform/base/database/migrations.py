"""Migrations: Alembic for the tables, one transaction each, then what TimescaleDB adds to them."""

from __future__ import annotations

import threading
from collections.abc import Callable

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

from dataplatform.base.database.connecting import SCHEMA_LOCK, connect, is_pooled
from dataplatform.base.database.errors import explain
from dataplatform.base.database.features import ensure, look
from dataplatform.base.database.hypertables import Storage
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success

__all__ = ["Migrated", "migrate"]

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
