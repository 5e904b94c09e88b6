"""The table of each kind of record, derived from it: its columns, its layout in TimescaleDB, its migrations.

How each kind of record is stored: its migrations, its layout in TimescaleDB, and the candles made of prices.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from dataplatform.base.database import Candles, Layout, Storage, TableSpec, table_spec
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES, Kind, kinds

__all__ = ["STORAGE", "named_table", "table_of", "tables"]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def _layout(kind: Kind, **how: Any) -> Layout:
    return Layout(kind.table, kind.key, kind.time, **how)


PRICE_ROWS = _layout(PRICES, chunk=DAY, compress_after=6 * HOUR, keep=90 * DAY)
# Dead letters have none: a hypertable's key holds its time, and a letter that comes again comes at another time.
LAYOUTS = (
    PRICE_ROWS,
    _layout(OHLCV, chunk=30 * DAY, compress_after=7 * DAY),
    _layout(ANALYTICS, chunk=30 * DAY, compress_after=7 * DAY),
    _layout(LEVEL1, chunk=DAY, compress_after=6 * HOUR, keep=30 * DAY),
)


def _candles(
    timeframe: str, every: timedelta, finer: Candles | None, refresh_from: timedelta, chunk: timedelta
) -> Candles:
    return Candles(
        of=PRICE_ROWS,
        price="usd_price",
        kept=("symbol", "attribution"),
        timeframe=timeframe,
        every=every,
        finer=finer,
        refresh_from=refresh_from,
        chunk=chunk,
    )


M1 = _candles("1m", timedelta(minutes=1), None, refresh_from=2 * HOUR, chunk=DAY)
M5 = _candles("5m", timedelta(minutes=5), M1, refresh_from=6 * HOUR, chunk=7 * DAY)
H1 = _candles("1h", HOUR, M5, refresh_from=2 * DAY, chunk=30 * DAY)
D1 = _candles("1d", DAY, H1, refresh_from=7 * DAY, chunk=365 * DAY)
STORAGE = Storage(Path(__file__).parent / "migrations", LAYOUTS, (M1, M5, H1, D1))


@cache
def table_of(kind: Kind) -> TableSpec:
    """Return the table of a kind."""
    return table_spec(kind.type, kind.table, kind.key, kind.time)


def tables() -> tuple[TableSpec, ...]:
    """Return the tables of all kinds."""
    return tuple(map(table_of, kinds()))


def named_table(kind: Kind, name: str) -> TableSpec:
    """Return a table for a kind of record that is called so: the kind's own one, or another like it."""
    return table_of(kind) if name == kind.table else table_spec(kind.type, name, kind.key, kind.time)
