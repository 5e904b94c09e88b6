"""Writing rows over one connection: by `COPY` or `INSERT`, halved where the server refuses them.

Writing rows by `INSERT`, for servers and proxies without `COPY`: the same lines, values bound as arrays. Writing in
portions: halved where the server refuses one for what is in it, or takes too long over it.

A row that is refused though it stands alone can never be stored. One that takes too long is an outage: it is the server
that is slow, or the time it is given that is short.

Rows with a key go by `COPY` straight into their table, too, as long as none of them is there already; when one is, all
of the batch go through the staging table, and so do the next batches, which are likely to be like it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from itertools import chain
from typing import Any, TypeAlias

import psycopg2
from attrs import define, field, frozen
from psycopg2.errors import UniqueViolation
from psycopg2.extensions import connection
from sqlalchemy.dialects import postgresql

from dataplatform.base.database.connection import TOO_MUCH, explain, is_pooled
from dataplatform.base.database.positions import POSITIONS_TABLE, Place, advance, lock
from dataplatform.base.database.queries import RowsWritten, WriteRows
from dataplatform.base.database.stale_candles import STALE_TABLE, note
from dataplatform.base.database.tables import TableSpec, ensure_positions, ensure_stale_candles, ensure_table, quoted
from dataplatform.base.position import OffsetRange, PositionKey
from dataplatform.errors import Permanent, PlatformError

__all__ = ["Portions", "RowWriter", "insert_rows"]

PAGE = 2_000  # rows a statement
ESCAPED = {"\\n": "\n", "\\t": "\t", "\\r": "\r"}
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def insert_rows(cursor: Any, spec: TableSpec, lines: Sequence[str]) -> None:
    """Insert rows, given as lines of COPY text, or update those that are there, in statements of 2,000 rows.

    The server reads each value as it does in COPY, and takes the last of several rows with one key, so that the same
    is stored.
    """
    rows = [line.split("\t") for line in lines]
    for first in range(0, len(rows), PAGE):
        columns = zip(*rows[first : first + PAGE], strict=True)
        cursor.execute(_statement(spec), [[_text_or_null(field) for field in column] for column in columns])


@cache
def _statement(spec: TableSpec) -> str:
    """Return the upsert, from a query in place of the staging table: an array a column, a row's place as ctid."""
    names = ", ".join(map(quoted, spec.columns))
    arrays = ", ".join(["%s::text[]"] * len(spec.columns))
    values = ", ".join(f"{quoted(name)}::{spec.table.c[name].type.compile(DIALECT)}" for name in spec.columns)
    rows = f"SELECT {values}, place FROM unnest({arrays}) WITH ORDINALITY AS given ({names}, place)"  # noqa: S608
    insert = spec.upsert or f"INSERT INTO {spec.quoted_name} ({names}) SELECT {names} FROM {spec.staging}"  # noqa: S608
    return f"WITH {spec.staging} ({names}, ctid) AS ({rows}) {insert}"


def _text_or_null(field: str) -> str | None:
    """Return what a field of COPY text stands for."""
    if "\\" not in field:
        return field
    return None if field == "\\N" else "\\".join(map(_unescaped, field.split("\\\\")))


def _unescaped(part: str) -> str:
    for escape, character in ESCAPED.items():
        part = part.replace(escape, character)
    return part


QUICK = 0.5  # of the time that a statement may take: one that takes less may have more rows
GROWTH = 4  # a quarter more
LONGEST = 8.0  # seconds of halving without a row written

Write: TypeAlias = Callable[[Sequence[int]], None]


@define(eq=False)
class Portions:
    """How many rows a statement may have, by table: all there are until one takes too long, then half as many.

    After a statement of that many rows that took less than half of `statement_timeout` it is a quarter more. `halved`
    is told the table, and how many rows a statement of it has from now on.

    Halving that has nothing written for eight seconds ends as an outage, and the next try begins with as few rows as
    this one ended with. A write that gets on goes on for as long as it takes: cut off, it would never be done.
    """

    statement_timeout: float
    halved: Callable[[str, int], None]
    _now: Callable[[], float] = time.monotonic
    _most: dict[str, int] = field(factory=dict)

    def write(self, table: str, rows: Sequence[int], write: Write) -> dict[int, PlatformError]:
        """Have all rows written, given by index; return those that cannot be, with the reason.

        `write` leaves nothing behind of what it raises for.
        """
        refused: dict[int, PlatformError] = {}
        until = self._now() + LONGEST
        waiting = [rows] if rows else []
        while waiting:
            portion = waiting.pop()
            if len(portion) > (most := self._most.get(table, len(portion))):
                waiting.append(portion[most:])
                portion = portion[:most]
            begun = self._now()
            try:
                write(portion)
            except (psycopg2.Error, ValueError) as error:
                failure = self._explained(table, len(portion), error, until)
                if len(portion) == 1:
                    refused[portion[0]] = failure
                    continue
                middle = len(portion) // 2
                waiting += [portion[middle:], portion[:middle]]
            else:
                until = self._now() + LONGEST
                self._grow(table, len(portion), self._now() - begun)
        return refused

    def _explained(self, table: str, rows: int, error: psycopg2.Error | ValueError, until: float) -> PlatformError:
        """Return why rows are refused; raise what is an outage, unless fewer rows may get through until then."""
        if not isinstance(error, psycopg2.Error):
            return Permanent("rejected", f"not to be sent to PostgreSQL: {error}")  # half a surrogate pair
        failure = explain(error, writing=True)
        if error.pgcode in TOO_MUCH and rows > 1:
            self._most[table] = rows // 2
            self.halved(table, rows // 2)
            if self._now() >= until:
                raise error
        elif failure.code != "rejected":
            raise error
        return failure

    def _grow(self, table: str, rows: int, seconds: float) -> None:
        if rows == self._most.get(table) and seconds < QUICK * self.statement_timeout:
            self._most[table] = rows + max(1, rows // GROWTH)


BATCHES_BY_STAGING = 50  # after one with a row that was there already
TRANSACTION = "SELECT txid_current()"
COMMITTED = """
SELECT CASE WHEN %(id)s < txid_snapshot_xmax(txid_current_snapshot()) THEN txid_status(%(id)s) = 'committed' END
"""


@frozen
class Attempt:
    """A request, the transaction it was written in, and what is to be answered if that was committed."""

    request: WriteRows
    transaction: int
    answer: RowsWritten


@define(eq=False)
class RowWriter:
    """Writes over the connection it is given, and remembers what it has made and met there.

    The strategy `insert` does without COPY and the staging table.
    """

    _portions: Portions
    _strategy: str = "copy"
    _made: set[str] = field(factory=set)
    _by_staging: dict[str, int] = field(factory=dict)
    _last: Attempt | None = None

    def write(self, conn: connection, request: WriteRows) -> RowsWritten:
        """Write the rows and the positions of where they came from in one transaction.

        A row that is stored already, as its position says, is left out; one that cannot be stored is answered, with
        its error, and harms no other. Nothing is written where rows before these are missing.
        """
        self._prepare(conn, request)
        with conn, conn.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # at the commit nobody could tell which row breaks one
            places = lock(cursor, request.positions)
            if any(place.behind for place in places):
                return RowsWritten(request.spec.name, 0, behind=True)
            lines = request.lines
            wanted, refused_before = _untold(places, len(lines))
            if not (wanted and places) and (answer := self._answer_of_last(cursor, request)):
                return answer
            refused_now = self._portions.write(
                request.spec.name,
                wanted,
                lambda rows: self._copy(cursor, request.spec, [lines[row] for row in rows]),
            )
            refused = refused_before | refused_now
            if places:
                advance(cursor, places, _by_place(places, refused))
            answer = RowsWritten(
                request.spec.name,
                len(wanted) - len(refused_now),
                tuple(sorted(refused.items())),
                already_stored=len(lines) - len(wanted) - len(refused_before),
                left_out=_left_out(places),
            )
            if wanted and request.times is not None:
                note(cursor, request.spec.name, request.times)
            cursor.execute(TRANSACTION)
            self._last = Attempt(request, _value(cursor), answer)
        self._made.add(request.spec.name)
        if places:
            self._made.add(POSITIONS_TABLE)
        if request.times is not None:
            self._made.add(STALE_TABLE)
        return answer

    def forget(self) -> None:
        """Forget what was made over a connection that is gone."""
        self._made.clear()

    def _answer_of_last(self, cursor: Any, request: WriteRows) -> RowsWritten | None:
        """Return the answer to a request that comes again because nobody was told that it was committed."""
        if self._last is None or self._last.request is not request:
            return None
        cursor.execute(COMMITTED, {"id": self._last.transaction})
        return self._last.answer if _value(cursor) else None

    def _prepare(self, conn: connection, request: WriteRows) -> None:
        if request.positions and POSITIONS_TABLE not in self._made:
            ensure_positions(conn)
        if request.times is not None and STALE_TABLE not in self._made:
            ensure_stale_candles(conn)
        if request.spec.name not in self._made:
            ensure_table(conn, request.spec)
            if request.spec.upsert and self._strategy == "copy" and not is_pooled(conn):
                with conn, conn.cursor() as cursor:
                    cursor.execute(request.spec.stage)
                    cursor.execute(request.spec.upsert)  # of nothing: fails where the table has another key, or none

    def _copy(self, cursor: Any, spec: TableSpec, lines: Sequence[str]) -> None:
        """Store the rows, or none of them."""
        text = _encoded(lines)
        if self._strategy == "insert":
            with _savepoint(cursor):
                insert_rows(cursor, spec, lines)
            return
        left = self._by_staging.get(spec.name, 0)
        if left:
            self._by_staging[spec.name] = left - 1
            _merge(cursor, spec, lines)
            return
        try:
            with _savepoint(cursor):
                cursor.copy_expert(spec.append, BytesIO(text))
        except UniqueViolation:
            if not spec.upsert:
                raise
            self._by_staging[spec.name] = BATCHES_BY_STAGING
            _merge(cursor, spec, lines)


def _value(cursor: Any) -> Any:
    """Return the one value that was selected."""
    ((value,),) = cursor.fetchall()
    return value


def _encoded(lines: Sequence[str]) -> bytes:
    """Return what COPY reads; raises `ValueError` for half a surrogate pair."""
    return "".join([f"{line}\n" for line in lines]).encode()


def _merge(cursor: Any, spec: TableSpec, lines: Sequence[str]) -> None:
    """Insert or update rows through the staging table, which is of one session, or where that may change without it."""
    with _savepoint(cursor):
        if is_pooled(cursor.connection):
            insert_rows(cursor, spec, lines)
            return
        cursor.copy_expert(spec.copy, BytesIO(_encoded(lines)))
        cursor.execute(spec.upsert)
        cursor.execute(spec.clear)


@contextmanager
def _savepoint(cursor: Any) -> Iterator[None]:
    cursor.execute("SAVEPOINT rows")
    try:
        yield
    except psycopg2.Error:
        cursor.execute("ROLLBACK TO SAVEPOINT rows")
        cursor.execute(
            "RELEASE SAVEPOINT rows"
        )  # else the next one is nested in it, and they use up the server's memory
        raise
    cursor.execute("RELEASE SAVEPOINT rows")


def _untold(places: Sequence[Place], count: int) -> tuple[Sequence[int], dict[int, PlatformError]]:
    """Return the rows that are not stored yet, and those that were refused before, by index."""
    if all(place.stored <= place.position.first for place in places):
        return range(count), {}
    wanted: list[int] = []
    refused: dict[int, PlatformError] = {}
    for index, (place, offset) in enumerate(_origins(places)):
        if offset >= place.stored:
            wanted.append(index)
        elif reason := place.refused.get(offset):
            refused[index] = Permanent("rejected", reason)
    return wanted, refused


def _left_out(places: Sequence[Place]) -> tuple[OffsetRange, ...]:
    """Return the offsets that are stored of each partition of which the batch brought nothing new."""
    return tuple(
        OffsetRange(one.member.group if one.member else one.reader, one.stream, one.partition, one.first, place.stored)
        for place in places
        if (one := place.position).offsets and one.next <= place.stored
    )


def _by_place(places: Sequence[Place], refused: dict[int, PlatformError]) -> dict[PositionKey, dict[int, str]]:
    """Return the reasons by position and offset."""
    reasons: dict[PositionKey, dict[int, str]] = {}
    if refused:
        for index, (place, offset) in enumerate(_origins(places)):
            if index in refused:
                reasons.setdefault(place.position.key, {})[offset] = refused[index].message
    return reasons


def _origins(places: Sequence[Place]) -> Iterator[tuple[Place, int]]:
    return chain.from_iterable(((place, offset) for offset in place.position.offsets) for place in places)
