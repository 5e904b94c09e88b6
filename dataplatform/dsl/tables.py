"""The table of each kind of record."""

from __future__ import annotations

from dataplatform.base.database import TableSpec, table_spec
from dataplatform.dsl.kinds import KINDS, Kind

__all__ = ["TABLES", "named_table"]

TABLES: dict[str, TableSpec] = {kind.name: table_spec(kind.type, kind.table, kind.key, kind.time) for kind in KINDS}


def named_table(kind: Kind, name: str) -> TableSpec:
    """Return a table for a kind of record that is called so: the kind's own one, or another like it."""
    return TABLES[kind.name] if name == kind.table else table_spec(kind.type, name, kind.key, kind.time)
