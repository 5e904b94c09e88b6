"""Databases for tests of migrations: as releases left them, with data, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from dataplatform.base.database import Migrated, Storage, TimescaleSettings, migrate
from dataplatform.base.database.positions import POSITIONS_TABLE
from dataplatform.base.database.stale_candles import STALE_TABLE
from dataplatform.dsl.storage.tables import STORAGE, tables
from dataplatform.result import get_data

__all__ = ["FIRST", "candles", "difference", "first_release", "migrated", "query", "run"]

FIRST = datetime(2026, 9, 1, tzinfo=UTC)
COINS, STEP, ROWS = 3, timedelta(seconds=60), 600
PRICES = """
    INSERT INTO crypto_prices
    SELECT 'coin-' || coin, 'c' || coin, 'Coin ' || coin, 'aggregate', 100 * coin + mod(i, 7), NULL, NULL, 1e9 * coin,
        1e8 * coin, 1.5, -2.5, %(first)s::timestamptz + i * %(step)s, 'simulator', 'Simulated data'
    FROM generate_series(0, %(rows)s - 1) i, generate_series(1, %(coins)s) coin
"""


@contextmanager
def session(dsn: str) -> Iterator[Any]:
    with closing(psycopg2.connect(dsn, options="-c timezone=UTC")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def run(dsn: str, *statements: str, **parameters: Any) -> None:
    with session(dsn) as cursor:
        for statement in statements:
            cursor.execute(statement, parameters or None)


def query(dsn: str, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with session(dsn) as cursor:
        cursor.execute(sql, parameters or None)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def first_release(dsn: str) -> None:
    """Make the tables as the first release did when it first wrote to them, with ten hours of prices of three coins."""
    for spec in tables():
        for statement in spec.create:
            run(dsn, statement.replace(" REAL", " DOUBLE PRECISION").replace("KEY (id)", "KEY (id, time)"))
    run(dsn, *[f"ALTER TABLE dead_letters DROP COLUMN {name}" for name in ("record_kind", "source_kind", "source")])
    known = [f"ALTER COLUMN {name} SET NOT NULL" for name in ("btc_dominance", "market_cap_change_24h")]
    run(dsn, f"ALTER TABLE market_analytics {', '.join(known)}")
    run(dsn, PRICES, first=FIRST, step=STEP, rows=ROWS, coins=COINS)


def migrated(dsn: str, storage: Storage = STORAGE) -> Migrated:
    return get_data(migrate(TimescaleSettings(dsn), storage))


def candles(dsn: str, timeframe: str) -> list[tuple[Any, ...]]:
    """Return the candles of a coin."""
    return query(
        dsn,
        'SELECT "timestamp", open, high, low, close, prices, symbol, attribution'
        f" FROM crypto_prices_{timeframe} WHERE coin_id = 'coin-2' ORDER BY 1",
    )


def difference(dsn: str) -> list[Any]:
    """Return what Alembic would change to make the tables what the types say."""
    types = sa.MetaData()
    for spec in tables():
        spec.table.to_metadata(types)
    engine = sa.create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(dsn), poolclass=sa.NullPool)
    with engine.connect() as connection:
        options = {"compare_type": True, "include_name": lambda name, *_: name not in {POSITIONS_TABLE, STALE_TABLE}}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), types))
