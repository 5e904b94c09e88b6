"""The table of each kind of record, derived from it."""

from __future__ import annotations

from functools import cache

from dataplatform.base.database import TableSpec, table_spec
from dataplatform.dsl.kinds import Kind, kinds

__all__ = ["named_table", "table_of", "tables"]


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
