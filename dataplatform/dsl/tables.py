"""The table of each kind of record."""

from __future__ import annotations

from dataplatform.base.database import TableSpec, table_spec
from dataplatform.dsl.kinds import KINDS

__all__ = ["TABLES"]

TABLES: dict[str, TableSpec] = {kind.name: table_spec(kind.type, kind.table, kind.key, kind.time) for kind in KINDS}
