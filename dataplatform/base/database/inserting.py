"""Writing rows by `INSERT`, for servers and proxies without `COPY`: the same text, its values bound as arrays."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy.dialects import postgresql

from dataplatform.base.database.tables import TableSpec, quoted

__all__ = ["insert_rows"]

PAGE = 2_000  # rows a statement
ESCAPED = {"\\n": "\n", "\\t": "\t", "\\r": "\r"}
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def insert_rows(cursor: Any, spec: TableSpec, text: str) -> None:
    """Insert rows, given as COPY text, or update those that are there, in statements of 2,000 rows.

    The server reads each value as it does in COPY, and takes the last of several rows with one key, so that the same
    is stored.
    """
    rows = [line.split("\t") for line in text.split("\n")[:-1]]
    for first in range(0, len(rows), PAGE):
        columns = zip(*rows[first : first + PAGE], strict=True)
        cursor.execute(_statement(spec), [[_value(field) for field in column] for column in columns])


@cache
def _statement(spec: TableSpec) -> str:
    """Return the upsert, from a query in place of the staging table: an array a column, a row's place as ctid."""
    names = ", ".join(map(quoted, spec.columns))
    arrays = ", ".join(["%s::text[]"] * len(spec.columns))
    values = ", ".join(f"{quoted(name)}::{spec.table.c[name].type.compile(DIALECT)}" for name in spec.columns)
    rows = f"SELECT {values}, place FROM unnest({arrays}) WITH ORDINALITY AS given ({names}, place)"  # noqa: S608
    insert = spec.upsert or f"INSERT INTO {spec.quoted_name} ({names}) SELECT {names} FROM {spec.staging}"  # noqa: S608
    return f"WITH {spec.staging} ({names}, ctid) AS ({rows}) {insert}"


def _value(field: str) -> str | None:
    """Return what a field of COPY text stands for."""
    if "\\" not in field:
        return field
    return None if field == "\\N" else "\\".join(map(_unescaped, field.split("\\\\")))


def _unescaped(part: str) -> str:
    for escape, character in ESCAPED.items():
        part = part.replace(escape, character)
    return part
