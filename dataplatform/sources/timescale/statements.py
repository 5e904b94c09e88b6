"""The SELECT statements of the TimescaleDB source, one per question, on tables derived from the types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP, aggregate_order_by, distinct_on

from dataplatform.base.database import Candles
from dataplatform.base.database.stale_candles import DAY, STALE_TABLE
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.records.queries import Level1Query
from dataplatform.dsl.records.timeframes import EPOCH, length
from dataplatform.dsl.storage.tables import STORAGE, table_of

__all__ = ["candles_of_prices", "coins_by_market_cap", "hidden", "history", "in_order", "kept_candles", "latest",
           "latest_analytics", "latest_level1", "latest_prices", "latest_records", "latest_stored_candles",
           "stored_candles", "there_is"]  # fmt: skip

SIMULATOR = "simulator"
AGGREGATE = "aggregate"
KEPT = ("timestamp", "coin_id", "exchange_id", "source", "symbol", "attribution", "open", "high", "low", "close")
STALE = sa.table(
    STALE_TABLE,
    sa.column("table_name", sa.Text),
    sa.column("day", TIMESTAMP(timezone=True)),
    sa.column("incomplete", sa.Boolean),
)
Select: TypeAlias = sa.Select[Any]


def latest_prices(coin_ids: Sequence[str], until: datetime, *, simulated: bool) -> Select:
    """Select the latest row of each coin until a time, beyond which none can be right."""
    table = _table(PRICES)
    conditions = (table.c.last_updated <= until, _made(table, simulated=simulated))
    return _latest_of_each(_those(coin_ids), table, table.c.last_updated, *conditions)


def latest_records(kind: Kind, keys: Sequence[str], *, simulated: bool) -> Select:
    """Select the latest row of each message key of any kind; simulated and real ones apart where they say so."""
    table = _table(kind)
    key, time = table.c[kind.message_key], table.c[kind.time]
    labelled = [_made(table, simulated=simulated)] if "source" in table.c else []
    rows = sa.select(*table.c).where(_any_of(key, keys), *labelled)
    return rows.ext(distinct_on(key)).order_by(key, time.desc())


def coins_by_market_cap(limit: int | None, until: datetime, *, simulated: bool) -> Select:
    """Select the ids of all coins with a price, however old, the largest market cap of their latest prices first."""
    table = _table(PRICES)
    conditions = (table.c.last_updated <= until, _made(table, simulated=simulated))
    latest = _latest_of_each(_coins(table), table, table.c.last_updated, *conditions).subquery()
    return sa.select(latest.c.coin_id).order_by(latest.c.market_cap.desc().nulls_last(), latest.c.coin_id).limit(limit)


def latest_analytics(until: datetime, *, simulated: bool) -> Select:
    """Select the latest state of the market until a time, beyond which none can be right."""
    table = _table(ANALYTICS)
    found = sa.select(*table.c).where(table.c.timestamp <= until, _made(table, simulated=simulated))
    return found.order_by(table.c.timestamp.desc()).limit(1)


def history(coin_id: str, since: datetime, until: datetime, *, simulated: bool) -> Select:
    """Select the prices of a coin in (since, until], oldest first."""
    table = _table(PRICES)
    return (
        sa.select(*table.c)
        .where(
            table.c.coin_id == coin_id,
            table.c.last_updated > since,
            table.c.last_updated <= until,
            _made(table, simulated=simulated),
        )
        .order_by(table.c.last_updated)
    )


def there_is(coin_ids: Sequence[str], *, simulated: bool) -> Select:
    """Select what there is of coins: those with prices, the timeframes of their candles, those with hidden rows.

    Hidden are the simulated rows where real ones are wanted, or the real ones. All but the timeframes are coins' ids.
    """
    candles = _table(OHLCV)
    timeframes = sa.select(sa.func.array_agg(sa.distinct(candles.c.timeframe))).where(
        _any_of(candles.c.coin_id, coin_ids), _made(candles, simulated=simulated)
    )
    return sa.select(
        _with_rows(PRICES, coin_ids, simulated=simulated),
        timeframes.scalar_subquery(),
        sa.func.array_cat(*[_with_rows(kind, coin_ids, simulated=not simulated) for kind in (PRICES, OHLCV)]),
    )


def hidden(kind: Kind, of: str | None, *, simulated: bool) -> Select:
    """Select what of a kind is hidden as simulated, or as real: the coin asked for, or anybody's where none is."""
    if of is not None:
        return sa.select(sa.func.unnest(_with_rows(kind, [of], simulated=not simulated)))
    table = _table(kind)
    return sa.select(table.c[kind.key[0]]).where(_made(table, simulated=not simulated)).limit(1)


def stored_candles(coin_id: str, timeframe: str, start: datetime, end: datetime, *, simulated: bool) -> Select:
    """Select the candles of a coin that were written as such, whose open lies in [start, end)."""
    table = _table(OHLCV)
    return sa.select(*table.c).where(
        table.c.coin_id == coin_id,
        table.c.timeframe == timeframe,
        table.c.timestamp >= start,
        table.c.timestamp < end,
        _made(table, simulated=simulated),
    )


def latest_stored_candles(coin_ids: Sequence[str], timeframe: str, now: datetime, *, simulated: bool) -> Select:
    """Select the latest candle of each coin, among those that were written as such and are complete."""
    table = _table(OHLCV)
    complete = table.c.timestamp <= now - length(timeframe)
    conditions = (table.c.timeframe == timeframe, complete, _made(table, simulated=simulated))
    return _latest_of_each(_those(coin_ids), table, table.c.timestamp, *conditions)


def kept_candles(coin_ids: Sequence[str], timeframe: str, start: datetime, end: datetime, *, simulated: bool) -> Select:
    """Select candles made of those that TimescaleDB keeps, also when it keeps their prices no longer.

    They are made of the longest ones that fit into them. In [start, end) lie whole candles; they have no volume. On
    days whose candles wait to be refreshed, each is made of the prices instead, where these are all still there.
    """
    longest = _longest(timeframe)
    view = sa.table(longest.name, *map(sa.column, (*KEPT, "prices")))
    stale = sa.select(STALE).where(
        STALE.c.table_name == PRICES.table, STALE.c.day > start - DAY, STALE.c.day < end
    ).subquery()  # fmt: skip
    kept = sa.select(*view.c).where(
        _any_of(view.c.coin_id, coin_ids),
        view.c.timestamp >= start,
        view.c.timestamp < end,
        _made(view, simulated=simulated),
    )
    fresh = kept.where(~sa.exists().where(_in_day(view.c.timestamp, stale)))
    made = candles_of_prices(coin_ids, longest.timeframe, start, end, simulated=simulated)
    found = sa.union_all(fresh, _of_stale_days(kept, view, made, stale)).subquery()
    opened = sa.func.time_bucket(sa.literal(length(timeframe)), found.c.timestamp, sa.literal(EPOCH))
    return _grouped(
        found,
        opened,
        timeframe,
        open_=sa.func.first(found.c.open, found.c.timestamp),
        close=sa.func.last(found.c.close, found.c.timestamp),
    )


def _of_stale_days(kept: Select, view: sa.TableClause, made: Select, stale: sa.Subquery) -> Select:
    """Select of the kept candles of stale days, and of those made of the prices, the ones made of more prices.

    Of two that are made of equally many, the prices may have been corrected since, unless some were dropped.
    """
    added = sa.func.count().label("prices"), sa.func.bool_or(stale.c.incomplete).label("incomplete")
    late = made.add_columns(*added).where(_in_day(_table(PRICES).c.last_updated, stale)).subquery()
    both = sa.union_all(
        kept.add_columns(stale.c.incomplete, sa.false().label("of_prices")).where(_in_day(view.c.timestamp, stale)),
        sa.select(*[late.c[name] for name in (*KEPT, "prices", "incomplete")], sa.true()),
    ).subquery()
    keys = (both.c.timestamp, both.c.coin_id, both.c.exchange_id, both.c.source)
    order = (*keys, both.c.prices.desc(), both.c.of_prices == both.c.incomplete)
    return sa.select(*[both.c[name] for name in (*KEPT, "prices")]).ext(distinct_on(*keys)).order_by(*order)


def _in_day(moment: sa.ColumnElement[Any], stale: sa.Subquery) -> sa.ColumnElement[bool]:
    return sa.and_(moment >= stale.c.day, moment < stale.c.day + DAY)


def candles_of_prices(
    coin_ids: Sequence[str], timeframe: str, start: datetime, end: datetime, *, simulated: bool
) -> Select:
    """Select candles made of the stored prices with a time in [start, end); they have no volume.

    For a server without TimescaleDB, whose views of candles would read all prices of a coin whatever the range.
    """
    table = _table(PRICES)
    opened = sa.func.date_bin(sa.literal(length(timeframe)), table.c.last_updated, sa.literal(EPOCH))
    ordered = _array(table.c.usd_price, table.c.last_updated)
    return _grouped(
        table, opened, timeframe, open_=ordered[1], close=ordered[sa.func.count()], high="usd_price", low="usd_price"
    ).where(
        _any_of(table.c.coin_id, coin_ids),
        table.c.last_updated >= start,
        table.c.last_updated < end,
        _made(table, simulated=simulated),
    )


def in_order(candles: Select) -> Select:
    """Select one candle for each time, oldest first: the aggregate of all exchanges where there are several."""
    found = candles.subquery()
    return sa.select(*found.c).ext(distinct_on(found.c.timestamp)).order_by(found.c.timestamp, *_preferred(found))


def latest(candles: Select) -> Select:
    """Select the latest candle of each coin, the aggregate of all exchanges where there are several."""
    found = candles.subquery()
    order = (found.c.coin_id, found.c.timestamp.desc(), *_preferred(found))
    return sa.select(*found.c).ext(distinct_on(found.c.coin_id)).order_by(*order)


def latest_level1(query: Level1Query, until: datetime, *, simulated: bool) -> Select:
    """Select the latest bid and ask of a coin, on the exchange and market where they are named."""
    table = _table(LEVEL1)
    found = sa.select(*table.c).where(
        table.c.ticker == query.ticker, table.c.timestamp <= until, _made(table, simulated=simulated)
    )
    if query.exchange:
        found = found.where(table.c.exchange == query.exchange)
    if query.market:
        found = found.where(table.c.market == query.market)
    return found.order_by(table.c.timestamp.desc()).limit(1)


def _those(coin_ids: Sequence[str]) -> sa.FromClause:
    return sa.func.unnest(_texts(coin_ids)).table_valued("coin_id").render_derived()


def _coins(table: sa.Table) -> sa.FromClause:
    """Select the ids of all coins from the key, a step for each coin: DISTINCT would read a row for each price."""
    ids = sa.select(_least(table).scalar_subquery().label("coin_id")).cte("coins", recursive=True)
    following = _least(table).where(table.c.coin_id > ids.c.coin_id).scalar_subquery()
    return ids.union_all(sa.select(following).where(ids.c.coin_id.is_not(None)))


def _least(table: sa.Table) -> Select:
    return sa.select(table.c.coin_id).order_by(table.c.coin_id).limit(1)


def _latest_of_each(
    coins: sa.FromClause, table: sa.Table, time: sa.Column[Any], *conditions: sa.ColumnElement[bool]
) -> Select:
    """Select the latest row of each of the coins; one that has none costs a look at the key, not at the whole table."""
    rows = (table.c.coin_id == coins.c.coin_id, *conditions)
    latest = sa.select(*table.c).where(*rows).order_by(time.desc()).limit(1).lateral()
    return sa.select(*latest.c).select_from(coins.join(latest, sa.true())).where(_any(table, *rows))


def _with_rows(kind: Kind, coin_ids: Sequence[str], *, simulated: bool) -> sa.ScalarSelect[Any]:
    """Return those of the coins that have rows, by a look at the key for each: EXISTS may read the whole table."""
    table, coins = _table(kind), _those(coin_ids)
    rows = sa.select(sa.true()).where(table.c[kind.key[0]] == coins.c.coin_id, _made(table, simulated=simulated))
    look = rows.order_by(table.c[kind.key[1]]).limit(1).lateral()
    return sa.select(sa.func.array_agg(coins.c.coin_id)).select_from(coins.join(look, sa.true())).scalar_subquery()


def _any(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> Any:
    """Return true where there is such a row, by a look at the key: EXISTS may read the whole table."""
    return sa.select(sa.true()).where(*conditions).order_by(table.c.exchange_id).limit(1).scalar_subquery()


def _grouped(
    rows: sa.FromClause,
    opened: sa.ColumnElement[Any],
    timeframe: str,
    *,
    open_: sa.ColumnElement[Any],
    close: sa.ColumnElement[Any],
    high: str = "high",
    low: str = "low",
) -> Select:
    """Return the columns of candles that are made of rows, one for each coin, exchange, source and time of opening."""
    keys = (rows.c.coin_id, rows.c.exchange_id, rows.c.source)
    return sa.select(
        *keys,
        sa.func.max(rows.c.symbol).label("symbol"),
        opened.label("timestamp"),
        open_.label("open"),
        sa.func.max(rows.c[high]).label("high"),
        sa.func.min(rows.c[low]).label("low"),
        close.label("close"),
        sa.null().label("volume"),
        sa.literal(timeframe).label("timeframe"),
        sa.func.max(rows.c.attribution).label("attribution"),
    ).group_by(*keys, opened)


def _preferred(found: sa.Subquery) -> tuple[sa.ColumnElement[Any], ...]:
    return (found.c.exchange_id != AGGREGATE, found.c.exchange_id, found.c.source)


def _longest(timeframe: str) -> Candles:
    """Return the longest kept candles of which those of the timeframe can be made."""
    fitting = [view for view in STORAGE.candles if not length(timeframe) % view.every]
    return max(fitting, key=lambda view: view.every)


def _array(value: sa.ColumnElement[Any], order: sa.ColumnElement[Any]) -> Any:
    """Return `array_agg(value ORDER BY order)`, whose elements are counted from 1."""
    return sa.func.array_agg(aggregate_order_by(value, order), type_=ARRAY(sa.Double))


def _table(kind: Kind) -> sa.Table:
    return table_of(kind).table


def _made(table: sa.FromClause, *, simulated: bool) -> sa.ColumnElement[bool]:
    """Keep simulated and real data apart, also where one table holds both."""
    return table.c.source == SIMULATOR if simulated else table.c.source != SIMULATOR


def _any_of(column: sa.ColumnElement[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
    return column == sa.any_(_texts(values))


def _texts(values: Sequence[str]) -> sa.ColumnElement[Any]:
    return sa.literal(list(values), ARRAY(sa.Text))
