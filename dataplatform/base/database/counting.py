"""How many rows tables hold: counted while that is quick, else by the server's own estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.base.database.requests import Query, Rows
from dataplatform.base.database.tables import quoted

__all__ = ["CountRows", "counted"]

Ask: TypeAlias = Callable[[Query], Rows]
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
    return {name: rows if rows > MANY else _counted(ask, name) for name, rows in known.items()}


def _counted(ask: Ask, table: str) -> int:
    rows: int = ask(Query(f"SELECT count(*) FROM {quoted(table)}")).rows[0][0]  # noqa: S608  quoted
    return rows
