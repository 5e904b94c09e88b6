"""Making tables where they are missing, one program at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from psycopg2.errors import DuplicateTable, UniqueViolation
from psycopg2.extensions import connection

from dataplatform.base.database.connecting import SCHEMA_LOCK
from dataplatform.base.database.positions import POSITIONS_DDL, POSITIONS_TABLE
from dataplatform.base.database.stale_candles import STALE_DDL, STALE_TABLE
from dataplatform.base.database.tables import TableSpec

__all__ = ["ensure_positions", "ensure_stale_candles", "ensure_table"]


def ensure_table(conn: connection, spec: TableSpec) -> None:
    """Make a table where it is missing; to ask for it takes no right, to try does."""
    _ensure(conn, spec.quoted_name, spec.create)


def ensure_positions(conn: connection) -> None:
    """Make the table of the positions where it is missing."""
    _ensure(conn, POSITIONS_TABLE, [POSITIONS_DDL])


def ensure_stale_candles(conn: connection) -> None:
    """Make the table of the days whose candles have to be refreshed where it is missing."""
    _ensure(conn, STALE_TABLE, [STALE_DDL])


def _ensure(conn: connection, name: str, create: Sequence[str]) -> None:
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", (name,))
        missing = cursor.fetchall() == [(None,)]
    if missing:
        with suppress(UniqueViolation, DuplicateTable), conn, conn.cursor() as cursor:  # another was faster, unlocked
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            for statement in create:
                cursor.execute(statement)
