"""Connections that wait for nothing without bound, and the lock under which schemas change."""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2.extensions import connection, parse_dsn

from dataplatform.base.database.bounded import BoundedConnection, BoundedCursor
from dataplatform.base.database.settings import TimescaleSettings

__all__ = ["SCHEMA_LOCK", "connect"]

SCHEMA_LOCK = 0x64617461  # an advisory lock of our own, so that two connections do not create one table at once

GRACE = 2.0  # seconds that an answer may take on its way, after the server has cut its statement off

# Upserts into compressed chunks unpack rows of many coins. TimescaleDB's limit on that would look like an outage and
# be retried for ever; a server without TimescaleDB takes the setting as a name it does not know.
UNLIMITED = "timescaledb.max_tuples_decompressed_per_dml_transaction=0"


def connect(settings: TimescaleSettings, name: str, *, unhurried: bool = False) -> connection:
    """Connect as the agent `name`; an `unhurried` connection lets a statement take as long as it needs."""
    options = _options(settings, name, unhurried=unhurried)
    opened: BoundedConnection = psycopg2.connect(
        settings.dsn, connection_factory=BoundedConnection, cursor_factory=BoundedCursor, **options
    )
    opened.limit = None if unhurried else settings.statement_timeout + GRACE
    return opened


def _options(settings: TimescaleSettings, name: str, *, unhurried: bool) -> dict[str, Any]:
    """Return what bounds every wait: for a connection, a statement, a lock, and a peer that has vanished."""
    milliseconds = {
        "statement_timeout": 0.0 if unhurried else settings.statement_timeout,
        "lock_timeout": settings.lock_timeout,
        "idle_in_transaction_session_timeout": 2 * settings.statement_timeout,  # a frozen client holds up others
    }
    ours = [f"-c {name}={round(value * 1000)}" for name, value in milliseconds.items()]
    return {
        "connect_timeout": max(2, round(settings.connect_timeout)),
        "application_name": f"{settings.application_name} {name}",
        "client_encoding": "UTF8",
        "options": " ".join(
            [parse_dsn(settings.dsn).get("options", ""), *ours, f"-c {UNLIMITED}", "-c timezone=UTC"]
        ).strip(),
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": round(settings.statement_timeout * 1000),
    }
