"""How tables lie in TimescaleDB, and the DDL for it: chunks, columnstore, retention, candles. From 2.18 on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from attrs import field, frozen

from dataplatform.base.database.tables import quoted

__all__ = ["Candles", "Layout", "Storage", "candles_ddl", "candles_index_ddl", "columnstore_ddl", "hypertable_ddl"]

ORIGIN = "TIMESTAMPTZ '2000-01-03 00:00:00Z'"  # time_bucket's own, a Monday


@frozen
class Layout:
    """A table of rows with a time.

    It is cut into chunks by `time`; what is older than `compress_after` is compressed, the rows of one `segment`
    together, and what is older than `keep` is dropped.

    >>> Layout("readings", ("sensor", "time"), "time", timedelta(days=1), timedelta(hours=6)).segment
    ('sensor',)
    """

    table: str
    key: tuple[str, ...]
    time: str
    chunk: timedelta
    compress_after: timedelta
    keep: timedelta | None = None
    segment: tuple[str, ...] = field()

    @segment.default
    def _key_without_time(self) -> tuple[str, ...]:
        return tuple(column for column in self.key if column != self.time)

    @property
    def order(self) -> tuple[str, ...]:
        """The time, newest first, then what of the key is in no segment, as TimescaleDB wants it."""
        rest = [column for column in self.key if column not in {self.time, *self.segment}]
        return (f"{quoted(self.time)} DESC", *map(quoted, rest))


@frozen(kw_only=True)
class Candles:
    """A view of candles over the `price` column of a table, made of the next shorter `finer` ones where those are kept.

    The columns `kept` take the last value of each candle. `refresh_from` is how far back late rows are looked for: two
    candles at least, and less than the rows of the table are kept, or their candles would be deleted after them.
    """

    of: Layout
    price: str
    kept: tuple[str, ...]
    timeframe: str
    every: timedelta
    finer: Candles | None = None
    refresh_from: timedelta
    chunk: timedelta

    @property
    def name(self) -> str:
        return f"{self.of.table}_{self.timeframe}"

    @property
    def index(self) -> str:
        """The name of the index by which the candles of one key are found, where they are kept."""
        return f"{self.name}_{self.of.key[0]}_idx"


@frozen
class Storage:
    """What a database is to hold: tables by the migrations in the folder `scripts`, and what TimescaleDB adds to them.

    Finer candles stand before those that are made of them.
    """

    scripts: Path
    layouts: tuple[Layout, ...] = ()
    candles: tuple[Candles, ...] = ()


def hypertable_ddl(layout: Layout) -> str:
    """Return the statement that cuts a table into chunks, with the rows it has."""
    return (
        f"SELECT create_hypertable({_literal(quoted(layout.table))},"
        f" by_range({_literal(layout.time)}, {_interval(layout.chunk)}),"
        " migrate_data => true, create_default_indexes => false, if_not_exists => true)"
    )


def columnstore_ddl(layout: Layout) -> str:
    """Return the statement that says how chunks are compressed."""
    segment = ", ".join(map(quoted, layout.segment))
    return (
        f"ALTER TABLE {quoted(layout.table)} SET (timescaledb.enable_columnstore,"
        f" timescaledb.segmentby = {_literal(segment)}, timescaledb.orderby = {_literal(', '.join(layout.order))})"
    )


def candles_ddl(view: Candles, *, continuous: bool) -> str:
    """Return the view: a continuous aggregate over the finer candles, or a plain view over the rows themselves."""
    keys = [quoted(column) for column in view.of.key if column != view.of.time]
    groups = ", ".join(str(number) for number in range(1, len(keys) + 2))
    select = _continuous(view, keys) if continuous else _plain(view, keys)
    if not continuous:
        return f"CREATE VIEW {quoted(view.name)} AS {select} GROUP BY {groups}"
    return (
        f"CREATE MATERIALIZED VIEW {quoted(view.name)} WITH (timescaledb.continuous,"
        " timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,"
        f" timescaledb.chunk_interval = '{_seconds(view.chunk)}') AS {select} GROUP BY {groups} WITH NO DATA"
    )


def candles_index_ddl(view: Candles) -> str:
    """Return the statement that makes kept candles quick to find by the first column of the key and their time."""
    return f'CREATE INDEX {quoted(view.index)} ON {quoted(view.name)} ({quoted(view.of.key[0])}, "timestamp" DESC)'


def _continuous(view: Candles, keys: list[str]) -> str:
    table, time = (view.finer.name, '"timestamp"') if view.finer else (view.of.table, quoted(view.of.time))
    names = ("open", "high", "low", "close") if view.finer else (quoted(view.price),) * 4
    opens, highs, lows, closes = names
    columns = [
        f'time_bucket({_interval(view.every)}, {time}) AS "timestamp"',
        *keys,
        *[f"last({quoted(column)}, {time}) AS {quoted(column)}" for column in view.kept],
        f"first({opens}, {time}) AS open",
        f"max({highs}) AS high",
        f"min({lows}) AS low",
        f"last({closes}, {time}) AS close",
        f"{'sum(prices)::bigint' if view.finer else 'count(*)'} AS prices",
    ]
    return f"SELECT {', '.join(columns)} FROM {quoted(table)}"  # noqa: S608  our own names


def _plain(view: Candles, keys: list[str]) -> str:
    time, price = quoted(view.of.time), quoted(view.price)
    columns = [
        f'date_bin({_interval(view.every)}, {time}, {ORIGIN}) AS "timestamp"',
        *keys,
        *[f"(array_agg({quoted(column)} ORDER BY {time} DESC))[1] AS {quoted(column)}" for column in view.kept],
        f"(array_agg({price} ORDER BY {time}))[1] AS open",
        f"max({price}) AS high",
        f"min({price}) AS low",
        f"(array_agg({price} ORDER BY {time} DESC))[1] AS close",
        "count(*) AS prices",
    ]
    return f"SELECT {', '.join(columns)} FROM {quoted(view.of.table)}"  # noqa: S608  our own names


def _seconds(length: timedelta) -> str:
    return f"{int(length.total_seconds())} seconds"


def _interval(length: timedelta) -> str:
    return f"INTERVAL '{_seconds(length)}'"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
