"""How each kind of record is stored: its migrations, its layout in TimescaleDB, and the candles made of prices."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from dataplatform.base.database import Candles, Layout, Storage
from dataplatform.dsl.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES, Kind

__all__ = ["STORAGE"]

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
