"""The SELECT statements of the TimescaleDB source, one per question, on tables derived from the types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, distinct_on

from dataplatform.dsl.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.queries import Level1Query
from dataplatform.dsl.tables import TABLES
from dataplatform.dsl.timeframes import EPOCH, length

__all__ = ["candles_of_prices", "coins_by_market_cap", "history", "latest_analytics", "latest_candles", "latest_level1",
           "latest_prices", "stored_candles"]  # fmt: skip

SIMULATOR = "simulator"
RECENT = timedelta(days=2)
Select: TypeAlias = sa.Select[Any]


def latest_prices(coin_ids: Sequence[str], *, simulated: bool) -> Select:
    """Select the latest row of each coin."""
    table = _table(PRICES)
    latest = sa.select(*table.c).where(_any_of(table.c.coin_id, coin_ids), _made(table, simulated=simulated))
    return latest.ext(distinct_on(table.c.coin_id)).order_by(table.c.coin_id, table.c.last_updated.desc())


def coins_by_market_cap(limit: int | None, now: datetime, *, simulated: bool) -> Select:
    """Select the ids of the coins with a price of the last two days, the largest market cap first."""
    table = _table(PRICES)
    recent = sa.select(table.c.coin_id, table.c.market_cap).where(
        table.c.last_updated > now - RECENT, _made(table, simulated=simulated)
    )
    latest = recent.ext(distinct_on(table.c.coin_id)).order_by(table.c.coin_id, table.c.last_updated.desc()).subquery()
    return sa.select(latest.c.coin_id).order_by(latest.c.market_cap.desc().nulls_last(), latest.c.coin_id).limit(limit)


def latest_analytics(*, simulated: bool) -> Select:
    """Select the latest state of the market."""
    table = _table(ANALYTICS)
    return sa.select(*table.c).where(_made(table, simulated=simulated)).order_by(table.c.timestamp.desc()).limit(1)


def history(coin_id: str, since: datetime, *, simulated: bool) -> Select:
    """Select the prices of a coin since a time, oldest first."""
    table = _table(PRICES)
    return (
        sa.select(*table.c)
        .where(table.c.coin_id == coin_id, table.c.last_updated > since, _made(table, simulated=simulated))
        .order_by(table.c.last_updated)
    )


def stored_candles(coin_id: str, timeframe: str, start: datetime, end: datetime, *, simulated: bool) -> Select:
    """Select the candles that were written as such, whose open lies in [start, end)."""
    table = _table(OHLCV)
    return (
        sa.select(*table.c)
        .where(
            table.c.coin_id == coin_id,
            table.c.timeframe == timeframe,
            table.c.timestamp >= start,
            table.c.timestamp < end,
            _made(table, simulated=simulated),
        )
        .order_by(table.c.timestamp)
    )


def candles_of_prices(
    coin_ids: Sequence[str], timeframe: str, start: datetime, end: datetime, *, simulated: bool
) -> Select:
    """Select candles made of the stored prices with a time in [start, end); they have no volume."""
    table = _table(PRICES)
    opened = sa.func.date_bin(sa.literal(length(timeframe)), table.c.last_updated, sa.literal(EPOCH))
    ordered = _array(table.c.usd_price, table.c.last_updated)
    return (
        sa.select(
            table.c.coin_id,
            sa.func.max(table.c.symbol).label("symbol"),
            table.c.exchange_id,
            opened.label("timestamp"),
            ordered[1].label("open"),
            sa.func.max(table.c.usd_price).label("high"),
            sa.func.min(table.c.usd_price).label("low"),
            ordered[sa.func.count()].label("close"),
            sa.null().label("volume"),
            sa.literal(timeframe).label("timeframe"),
            table.c.source,
            sa.func.max(table.c.attribution).label("attribution"),
        )
        .where(
            _any_of(table.c.coin_id, coin_ids),
            table.c.last_updated >= start,
            table.c.last_updated < end,
            _made(table, simulated=simulated),
        )
        .group_by(table.c.coin_id, table.c.exchange_id, table.c.source, opened)
        .order_by(opened)
    )


def latest_candles(coin_ids: Sequence[str], timeframe: str, *, simulated: bool) -> Select:
    """Select the latest stored candle of each coin."""
    table = _table(OHLCV)
    stored = sa.select(*table.c).where(
        _any_of(table.c.coin_id, coin_ids), table.c.timeframe == timeframe, _made(table, simulated=simulated)
    )
    return stored.ext(distinct_on(table.c.coin_id)).order_by(table.c.coin_id, table.c.timestamp.desc())


def latest_level1(query: Level1Query, *, simulated: bool) -> Select:
    """Select the latest bid and ask of a coin, on the exchange and market where they are named."""
    table = _table(LEVEL1)
    found = sa.select(*table.c).where(table.c.ticker == query.ticker, _made(table, simulated=simulated))
    if query.exchange:
        found = found.where(table.c.exchange == query.exchange)
    if query.market:
        found = found.where(table.c.market == query.market)
    return found.order_by(table.c.timestamp.desc()).limit(1)


def _array(value: sa.ColumnElement[Any], order: sa.ColumnElement[Any]) -> Any:
    """Return `array_agg(value ORDER BY order)`, whose elements are counted from 1."""
    return sa.func.array_agg(aggregate_order_by(value, order), type_=ARRAY(sa.Double))


def _table(kind: Kind) -> sa.Table:
    return TABLES[kind.name].table


def _made(table: sa.Table, *, simulated: bool) -> sa.ColumnElement[bool]:
    """Keep simulated and real data apart, also where one table holds both."""
    return table.c.source == SIMULATOR if simulated else table.c.source != SIMULATOR


def _any_of(column: sa.ColumnElement[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.literal(list(values), ARRAY(sa.Text)))
