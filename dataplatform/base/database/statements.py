"""SQLAlchemy Core statements as requests: parameters stay bound all the way."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg2

from dataplatform.base.database.queries import Query
from dataplatform.base.database.tables import TableSpec

__all__ = ["as_query"]

DIALECT = psycopg2.dialect()  # type: ignore[no-untyped-call]


def as_query(
    statement: sa.Select[Any], *, most: int = 10_000, needs: tuple[TableSpec, ...] = (), instead: Query | None = None
) -> Query:
    """Return the request that runs a SELECT on the tables it needs, and answers at most `most` rows.

    `instead` is what to run on a server that lacks what the statement names.

    >>> as_query(sa.select(sa.literal("x").label("one"))).parameters
    {'param_1': 'x'}
    """
    compiled = statement.compile(dialect=DIALECT)
    return Query(str(compiled), dict(compiled.params), most, needs, instead)
