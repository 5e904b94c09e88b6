"""How much a database holds: tables, candles and the bytes they take, before and after compression."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.base.database.requests import Query, Rows

__all__ = ["MeasureStorage", "StorageSize", "TableSize", "measured"]

Ask: TypeAlias = Callable[[Query], Rows]
MOST = 1_000
VERSIONS = """
    SELECT current_setting('server_version'),
        (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')
"""
# Rows are what the server's statistics say: to count them all would take as long as to read them.
PLAIN = """
    SELECT relname, greatest(n_live_tup, 0), pg_total_relation_size(relid) FROM pg_stat_user_tables
    WHERE schemaname = current_schema() AND relname <> ALL (%(known)s) ORDER BY 1
"""
HYPERTABLES = """
    SELECT name, rows, hypertable_size(relation), num_chunks,
        coalesce(number_compressed_chunks, 0), before_compression_total_bytes, after_compression_total_bytes
    FROM (
        SELECT hypertable_name AS name, num_chunks,
            format('%I.%I', hypertable_schema, hypertable_name)::regclass AS relation
        FROM timescaledb_information.hypertables WHERE hypertable_schema = current_schema()
        UNION ALL
        SELECT a.view_name, h.num_chunks,
            format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass
        FROM timescaledb_information.continuous_aggregates a
        JOIN timescaledb_information.hypertables h ON h.hypertable_schema = a.materialization_hypertable_schema
            AND h.hypertable_name = a.materialization_hypertable_name
        WHERE a.view_schema = current_schema()
    ) AS tables
    CROSS JOIN LATERAL (SELECT approximate_row_count(relation) AS rows) AS counted
    LEFT JOIN LATERAL hypertable_columnstore_stats(relation) ON true
    ORDER BY 1
"""


@frozen
class TableSize:
    """What a table, or the candles of a timeframe, take now, in bytes with indexes; `rows` is an estimate.

    `before` and `after` are the bytes of its compressed chunks, as they were and as they became when compressed.
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
    return StorageSize(postgresql, timescaledb, tuple(sorted([*kept, *plain], key=lambda table: table.name)))


def _table(name: str, rows: int, size: int, chunks: int, compressed: int, *stats: int | None) -> TableSize:
    before, after = (None if value is None else int(value) for value in stats)
    return TableSize(name, max(rows, 0), size, chunks, compressed, before, after)
