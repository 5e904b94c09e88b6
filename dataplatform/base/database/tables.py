"""Tables from attrs classes: SQLAlchemy Core tables, their DDL and statements, and COPY lines made column by column.

Making tables where they are missing, one program at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import sqlalchemy as sa
from attrs import fields, frozen
from psycopg2.errors import DuplicateTable, UniqueViolation
from psycopg2.extensions import connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from dataplatform.base.database.connection import SCHEMA_LOCK
from dataplatform.base.database.positions import POSITIONS_DDL, POSITIONS_TABLE
from dataplatform.base.database.stale_candles import STALE_DDL, STALE_TABLE

__all__ = ["TableSpec", "ensure_positions", "ensure_stale_candles", "ensure_table", "quoted", "table_spec"]

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
COLUMN_TYPES: dict[type, type[sa.types.TypeEngine[Any]]] = {
    str: sa.Text,
    float: sa.Double,
    int: sa.BigInteger,
    bool: sa.Boolean,
    bytes: sa.LargeBinary,
    datetime: postgresql.TIMESTAMP,
}
LEAST, GREATEST = 1.2e-38, 3.4e38  # what single precision holds with all its digits


@frozen
class TableSpec:
    """A table, the statements that make it and write to it, and the lines that COPY takes for its rows.

    `append` copies rows that are new straight into the table. Others go through a temporary staging table, so that a
    row whose key is there already is updated, and one that stands twice in a batch is written once, the later one.
    A table without a key has no `upsert`.
    """

    table: sa.Table
    columns: tuple[str, ...]
    create: tuple[str, ...]
    append: str
    stage: str
    copy: str
    upsert: str
    clear: str
    _formats: tuple[Callable[[Any], str], ...]

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def quoted_name(self) -> str:
        return quoted(self.table.name)

    @property
    def staging(self) -> str:
        return quoted(_staging(self.table))

    def copy_lines(self, records: Iterable[Any]) -> list[str]:
        """Return the records as lines of COPY text, columns separated by tabs, without the newlines."""
        rows = list(records)
        columns = [
            map(format_, map(attrgetter(name), rows)) for name, format_ in zip(self.columns, self._formats, strict=True)
        ]
        return list(map("\t".join, zip(*columns, strict=True)))


def table_spec(cls: type[Any], name: str, key: Sequence[str], time: str) -> TableSpec:
    """Derive a table from an attrs class: a column a field, `key` its primary key, an index on `time`.

    With an empty `key` every row is a new one.

    A field of type float may ask for four bytes instead of eight: `field(metadata={"sql": "real"})`.
    """
    hints = get_type_hints(cls)
    columns, formats = [], []
    for attribute in fields(cls):
        kind, optional = _unwrap(hints[attribute.name])
        single = attribute.metadata.get("sql") == "real"
        columns.append(sa.Column(attribute.name, sa.REAL() if single else _column_type(kind), nullable=optional))
        format_ = _single if single else _FORMATS[kind]
        formats.append(_or_null(format_) if optional else format_)
    table = sa.Table(name, sa.MetaData(), *columns, *([sa.PrimaryKeyConstraint(*key)] if key else []))
    index = sa.Index(f"{name}_{time}_idx", table.c[time].desc())
    names = tuple(column.name for column in columns)
    return TableSpec(
        table=table,
        columns=names,
        create=(
            _sql(CreateTable(table, if_not_exists=True)),
            _sql(CreateIndex(index, if_not_exists=True)),
        ),
        append=_copy(name, names),
        stage=_stage(table),
        copy=_copy(_staging(table), names),
        upsert=_upsert(table, names, tuple(key)) if key else "",
        clear=f"TRUNCATE {quoted(_staging(table))}",
        formats=tuple(formats),
    )


def _unwrap(hint: Any) -> tuple[type, bool]:
    if isinstance(hint, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        return kinds[0], True
    return hint, False


def _column_type(kind: type) -> sa.types.TypeEngine[Any]:
    return postgresql.TIMESTAMP(timezone=True) if kind is datetime else COLUMN_TYPES[kind]()


def _copy(table: str, columns: Sequence[str]) -> str:
    return f"COPY {quoted(table)} ({', '.join(map(quoted, columns))}) FROM STDIN"


def _staging(table: sa.Table) -> str:
    return f"staging_{table.name}"


def _stage(table: sa.Table) -> str:
    return (
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {quoted(_staging(table))}"
        f" (LIKE {quoted(table.name)} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
    )


def _upsert(table: sa.Table, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    staging = sa.table(_staging(table), *[sa.column(name) for name in names], sa.column("ctid"))
    latest = (
        sa.select(*[staging.c[name] for name in names])
        .ext(postgresql.distinct_on(*[staging.c[name] for name in key]))
        .order_by(*[staging.c[name] for name in key], staging.c.ctid.desc())
    )
    insert = postgresql.insert(table).from_select(list(names), latest)
    rest = {name: insert.excluded[name] for name in names if name not in key}
    if not rest:
        return _sql(insert.on_conflict_do_nothing(index_elements=list(key)))
    return _sql(insert.on_conflict_do_update(index_elements=list(key), set_=rest))


def _sql(statement: Any) -> str:
    return str(statement.compile(dialect=DIALECT)).strip()


def quoted(name: str) -> str:
    """Return a name as SQL has it, in quotes where it needs them."""
    return DIALECT.identifier_preparer.quote(name)


def _text(value: str) -> str:
    if "\\" in value or "\n" in value or "\t" in value or "\r" in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return value


def _single(value: float) -> str:
    """Return a number within single precision: PostgreSQL refuses one that is too great or too near to zero."""
    return repr(max(-GREATEST, min(GREATEST, value))) if abs(value) >= LEAST else "0.0"


def _bytes(value: bytes) -> str:
    return "\\\\x" + value.hex()


def _or_null(format_: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "\\N" if value is None else format_(value)


_FORMATS: dict[type, Callable[[Any], str]] = {
    str: _text,
    float: repr,
    int: repr,
    bool: repr,
    bytes: _bytes,
    datetime: datetime.isoformat,
}


def ensure_table(conn: connection, spec: TableSpec) -> None:
    """Make a table where it is missing; to ask for it takes no right, to try does."""
    _ensure(conn, spec.quoted_name, spec.create)


def ensure_positions(conn: connection) -> None:
    """Make the table of the positions where it is missing."""
    _ensure(conn, POSITIONS_TABLE, [POSITIONS_DDL])


def ensure_stale_candles(conn: connection) -> None:
    """Make the table of the days whose candles have to be refreshed where it is missing."""
    _ensure(conn, STALE_TABLE, [STALE_DDL])


def _ensure(conn: connection, name: str, create: Sequence[str]) -> None:
    with conn, conn.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", (name,))
        missing = cursor.fetchall() == [(None,)]
    if missing:
        with suppress(UniqueViolation, DuplicateTable), conn, conn.cursor() as cursor:  # another was faster, unlocked
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            for statement in create:
                cursor.execute(statement)
