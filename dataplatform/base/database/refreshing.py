"""Refreshing the candles of one day after late rows, level by level: where that loses none of their prices."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import asdict, frozen
from psycopg2.extensions import connection

from dataplatform.base.database.hypertables import Candles
from dataplatform.base.database.requests import Query
from dataplatform.base.database.stale_candles import DAY, LATE_AFTER, STALE_TABLE
from dataplatform.base.database.tables import quoted

__all__ = ["STALE_DAYS", "Refresh", "StaleDay", "refresh"]

# The oldest first: whatever is after it and was never materialized is made when it is looked at, until then.
STALE_DAYS = Query(
    f"SELECT table_name, day, version FROM {STALE_TABLE} WHERE NOT incomplete ORDER BY day, table_name",  # noqa: S608
    instead=Query("SELECT NULL WHERE false"),
)
CONTINUOUS = """
SELECT view_name FROM timescaledb_information.continuous_aggregates WHERE view_schema = current_schema()
"""
# Candles that ended so long ago change by late rows alone, which are noted; later ones are left to the policies.
END = "SELECT least(%(end)s::timestamptz, time_bucket(%(every)s::interval, now() - %(late_after)s::interval))"
REFRESH = "CALL refresh_continuous_aggregate(%(name)s::regclass, %(start)s::timestamptz, %(end)s::timestamptz)"
FORGET = f"DELETE FROM {STALE_TABLE} WHERE table_name = %(table)s AND day = %(day)s AND version = %(version)s"  # noqa: S608
GIVE_UP = f"""
UPDATE {STALE_TABLE} SET incomplete = true WHERE table_name = %(table)s AND day = %(day)s AND version = %(version)s
"""  # noqa: S608


@frozen
class StaleDay:
    """A day (UTC) of a table whose candles are to be refreshed, and how often that has been noted."""

    table: str
    day: datetime
    version: int


class Refresh(StrEnum):
    """What became of a day."""

    DONE = "refreshed"
    NOTHING = "without prices, or without candles that are kept"
    INCOMPLETE = "left as it is: some of the prices of its candles were dropped"


def refresh(conn: connection, views: tuple[Candles, ...], stale: StaleDay) -> Refresh:
    """Refresh the candles of a day, finer ones first, and forget the day unless it was noted anew meanwhile.

    Where some candle is made of more prices than there are now, retention has dropped them, and to refresh would
    delete the candle: then the day is marked, and its candles stay. The connection is in autocommit mode; done twice,
    or broken off and done again, it comes to the same.
    """
    with conn.cursor() as cursor:
        cursor.execute(CONTINUOUS)
        known = {name for (name,) in cursor.fetchall()}
        levels = [view for view in views if view.of.table == stale.table and view.name in known]
        outcome = _possible(cursor, levels, stale)
        if outcome is Refresh.DONE:
            for view in levels:
                _refresh(cursor, view, stale)
        cursor.execute(GIVE_UP if outcome is Refresh.INCOMPLETE else FORGET, asdict(stale))
    return outcome


def _possible(cursor: Any, levels: list[Candles], stale: StaleDay) -> Refresh:
    if not levels:
        return Refresh.NOTHING
    day = {"start": stale.day, "end": stale.day + DAY}
    for query, otherwise in ((_any_price(levels[0]), Refresh.NOTHING), (_no_lost_price(levels[0]), Refresh.INCOMPLETE)):
        cursor.execute(query, day)
        if cursor.fetchall() != [(True,)]:
            return otherwise
    return Refresh.DONE


def _any_price(view: Candles) -> str:
    time = quoted(view.of.time)
    return f"SELECT EXISTS (SELECT FROM {quoted(view.of.table)} WHERE {time} >= %(start)s AND {time} < %(end)s)"  # noqa: S608


def _no_lost_price(view: Candles) -> str:
    """Return the query whether every candle is made of no more prices than there are."""
    keys = ", ".join(quoted(column) for column in view.of.key if column != view.of.time)
    time, seconds = quoted(view.of.time), int(view.every.total_seconds())
    return f"""
        SELECT NOT EXISTS (
            SELECT FROM (
                SELECT "timestamp", {keys}, prices FROM {quoted(view.name)}
                WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s
            ) AS kept
            LEFT JOIN (
                SELECT time_bucket(INTERVAL '{seconds} seconds', {time}) AS "timestamp", {keys}, count(*) AS there
                FROM {quoted(view.of.table)} WHERE {time} >= %(start)s AND {time} < %(end)s GROUP BY 1, {keys}
            ) AS made USING ("timestamp", {keys})
            WHERE kept.prices > coalesce(made.there, 0)
        )
    """  # noqa: S608  our own names


def _refresh(cursor: Any, view: Candles, stale: StaleDay) -> None:
    cursor.execute(END, {"end": stale.day + DAY, "every": view.every, "late_after": LATE_AFTER})
    ((end,),) = cursor.fetchall()
    if end > stale.day:
        cursor.execute(REFRESH, {"name": quoted(view.name), "start": stale.day, "end": end})
