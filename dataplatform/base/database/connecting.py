"""Connections that wait for nothing without bound, also through a proxy that pools transactions.

Such a proxy (PgBouncer) refuses settings at start-up, and leads each transaction to another session. So nothing is left
in a session there: settings are made anew in each transaction, in the message of its first statement. So they are for
a single statement in autocommit mode, but for the CALL of a procedure: it may commit, and so takes nothing before it.
"""

from __future__ import annotations

from typing import Any

import psycopg2

from dataplatform.base.database.bounded import BoundedConnection, BoundedCursor
from dataplatform.base.database.settings import TimescaleSettings

__all__ = ["SCHEMA_LOCK", "connect", "is_pooled"]

SCHEMA_LOCK = 0x64617461  # an advisory lock of our own, so that two connections do not create one table at once

GRACE = 2.0  # seconds that an answer may take on its way, after the server has cut its statement off

# Upserts into compressed chunks unpack rows of many coins. TimescaleDB's limit on that would look like an outage and
# be retried for ever. The extension refuses names of its own that it does not know, so it is asked first.
UNLIMITED = "timescaledb.max_tuples_decompressed_per_dml_transaction"
LOOK = "SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_settings WHERE name = %s)"


def connect(settings: TimescaleSettings, name: str, *, unhurried: bool = False) -> BoundedConnection:
    """Connect as the agent `name`; an `unhurried` connection lets a statement take as long as it needs."""
    opened: BoundedConnection = psycopg2.connect(
        settings.dsn, connection_factory=BoundedConnection, cursor_factory=BoundedCursor, **_options(settings, name)
    )
    try:
        opened.limit = settings.statement_timeout + GRACE
        with opened, opened.cursor() as cursor:
            cursor.execute(LOOK, (UNLIMITED,))
            ((backend, decompresses),) = cursor.fetchall()
        opened.pooled = backend != opened.info.backend_pid
        _set(opened, _session_settings(settings, unhurried=unhurried) | ({UNLIMITED: "0"} if decompresses else {}))
        opened.limit = None if unhurried else opened.limit
    except BaseException:
        opened.close()
        raise
    return opened


def is_pooled(conn: Any) -> bool:
    """Tell whether a connection leads to a proxy, which may give each transaction another session."""
    return isinstance(conn, BoundedConnection) and conn.pooled


def _set(opened: BoundedConnection, settings: dict[str, str]) -> None:
    """Make settings: of the session where it is this connection's own, else of each transaction."""
    if opened.pooled:
        opened.first = "".join(f"SET LOCAL {name} = '{value}'; " for name, value in settings.items())
        return
    with opened, opened.cursor() as cursor:
        cursor.execute("; ".join(f"SET SESSION {name} = '{value}'" for name, value in settings.items()))


def _session_settings(settings: TimescaleSettings, *, unhurried: bool) -> dict[str, str]:
    """Return what bounds the waits at the server: for a statement, for a lock, and for a client that has vanished."""
    seconds = {
        "statement_timeout": 0.0 if unhurried else settings.statement_timeout,
        "lock_timeout": settings.lock_timeout,
        "idle_in_transaction_session_timeout": 2 * settings.statement_timeout,  # a frozen client holds up others
    }
    return {name: f"{round(value * 1000)}ms" for name, value in seconds.items()} | {"timezone": "UTC"}


def _options(settings: TimescaleSettings, name: str) -> dict[str, Any]:
    """Return what bounds the waits here: for a connection, and for a peer that has vanished."""
    return {
        "connect_timeout": max(2, round(settings.connect_timeout)),
        "application_name": f"{settings.application_name} {name}",
        "client_encoding": "UTF8",
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": round(settings.statement_timeout * 1000),
    }
