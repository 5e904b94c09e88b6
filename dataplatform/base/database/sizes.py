"""How much a database holds: rows, counted or estimated, and bytes, before and after compression.

How many rows tables hold: counted while that is quick, else by the server's own estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import evolve, frozen

from dataplatform.base.agent import Request
from dataplatform.base.database.queries import Query, Rows
from dataplatform.base.database.tables import quoted

__all__ = ["CountRows", "MeasureStorage", "StorageSize", "TableSize", "counted", "measured"]

Ask: TypeAlias = Callable[[Query], Rows]
MOST = 1_000
COUNTED = 256 * 1024**2  # bytes of a table whose rows are counted; of a larger one that takes too long
VERSIONS = """
    SELECT current_setting('server_version'),
        (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')
"""
PLAIN = """
    SELECT relname, greatest(n_live_tup, 0), pg_total_relation_size(relid) FROM pg_stat_user_tables
    WHERE schemaname = current_schema() AND relname <> ALL (%(known)s) ORDER BY 1
"""
HYPERTABLES = """
    SELECT name, greatest(approximate_row_count(relation), 0), hypertable_size(relation),
        (SELECT count(*) FROM show_chunks(relation)), coalesce(number_compressed_chunks, 0),
        before_compression_total_bytes, after_compression_total_bytes
    FROM (
        SELECT hypertable_name AS name, format('%I.%I', hypertable_schema, hypertable_name)::regclass AS relation
        FROM timescaledb_information.hypertables WHERE hypertable_schema = current_schema()
        UNION ALL
        SELECT view_name, format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
        FROM timescaledb_information.continuous_aggregates WHERE view_schema = current_schema()
    ) AS tables
    LEFT JOIN LATERAL hypertable_columnstore_stats(relation) ON true
    ORDER BY 1
"""


@frozen
class TableSize:
    """What a table, or the candles of a timeframe, take now, in bytes with indexes.

    `rows` is an estimate by the server's statistics where there are more than 256 MiB of them. `before` and `after`
    are the bytes of its compressed chunks, as they were and as they became when compressed.
    """

    name: str
    rows: int
    bytes: int
    chunks: int = 0
    compressed_chunks: int = 0
    before: int | None = None
    after: int | None = None

    @property
    def saved(self) -> float | None:
        """The share of the bytes that compression saved, from 0 to 1; None where nothing is compressed.

        >>> TableSize("readings", 1000, 5000, 1, 1, before=100_000, after=5_000).saved
        0.95
        """
        return None if not self.before or self.after is None else 1 - self.after / self.before


@frozen
class StorageSize:
    """The tables of a database; `timescaledb` is the extension's version, None on a plain PostgreSQL."""

    postgresql: str
    timescaledb: str | None
    tables: tuple[TableSize, ...]


@frozen
class MeasureStorage(Request[StorageSize]):
    """Answers how much the tables of a database take."""


def measured(ask: Ask) -> StorageSize:
    """Return the sizes, from the answers to some queries."""
    postgresql, timescaledb = ask(Query(VERSIONS)).rows[0]
    kept = [_table(*row) for row in ask(Query(HYPERTABLES, most=MOST)).rows] if timescaledb else []
    known = [table.name for table in kept]
    plain = [TableSize(*row) for row in ask(Query(PLAIN, {"known": known}, MOST)).rows]
    tables = sorted([*kept, *plain], key=lambda table: table.name)
    return StorageSize(postgresql, timescaledb, tuple(_counted(ask, table) for table in tables))


def _table(name: str, rows: int, size: int, chunks: int, compressed: int, *stats: int | None) -> TableSize:
    before, after = (None if value is None else int(value) for value in stats)
    return TableSize(name, rows, size, chunks, compressed, before, after)


def _counted(ask: Ask, table: TableSize) -> TableSize:
    if table.bytes > COUNTED:
        return table
    count = f"SELECT count(*) FROM {quoted(table.name)}"  # noqa: S608  as the server calls it
    return evolve(table, rows=ask(Query(count)).rows[0][0])


MANY = 5_000_000  # rows that PostgreSQL knows of, from which on its estimate stands for a count
EXISTING = """
    SELECT relname, reltuples::bigint FROM pg_class
    WHERE relname = ANY(%(names)s) AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)
"""


@frozen
class CountRows(Request[dict[str, int]]):
    """Answers how many rows each of the tables holds that there are."""

    tables: tuple[str, ...]


def counted(ask: Ask, tables: tuple[str, ...]) -> dict[str, int]:
    """Return the rows by table, from the answers to some queries; of more than five million, about how many."""
    known: dict[str, int] = dict(ask(Query(EXISTING, {"names": list(tables)})).rows)
    return {name: rows if rows > MANY else _count_of(ask, name) for name, rows in known.items()}


def _count_of(ask: Ask, table: str) -> int:
    rows: int = ask(Query(f"SELECT count(*) FROM {quoted(table)}")).rows[0][0]  # noqa: S608  quoted
    return rows
