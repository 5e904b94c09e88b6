"""Where reading a stream stands, kept in the database itself: written in the transaction of the rows it is about.

A row of `stream_positions` says up to which offset the records of one partition are in the tables of one target. It is
locked first, so that of two who write the same records, the second one sees what the first has stored, and leaves it
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, define, frozen
from psycopg2.extras import Json

from dataplatform.base.position import ForgetPositions, Position, PositionKey

__all__ = ["POSITIONS_DDL", "POSITIONS_TABLE", "Place", "advance", "forget", "lock", "read"]

POSITIONS_TABLE = "stream_positions"
POSITIONS_DDL = f"""
CREATE TABLE IF NOT EXISTS {POSITIONS_TABLE} (
    reader text NOT NULL,
    stream text NOT NULL,
    partition integer NOT NULL,
    log integer NOT NULL,
    parted bigint NOT NULL,
    next bigint NOT NULL,
    seal text NOT NULL,
    refused jsonb NOT NULL DEFAULT '{{}}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (reader, stream, partition, log)
)
"""
LOCK = f"""
SELECT log, parted, next, refused FROM {POSITIONS_TABLE}
WHERE reader = %s AND stream = %s AND partition = %s AND log BETWEEN %s - 1 AND %s + 1
ORDER BY log FOR UPDATE
"""  # noqa: S608  the name of our own table
BEGIN = f"""
INSERT INTO {POSITIONS_TABLE} (reader, stream, partition, log, parted, next, refused, seal)
VALUES (%s, %s, %s, %s, %s, %s, %s, '')
ON CONFLICT DO NOTHING
"""  # noqa: S608
LATEST = f"""
SELECT DISTINCT ON (stream, partition) stream, partition, next, log, parted, seal FROM {POSITIONS_TABLE}
WHERE reader = %s ORDER BY stream, partition, log DESC
"""  # noqa: S608
FORGET = f"""
DELETE FROM {POSITIONS_TABLE} WHERE reader = %(reader)s AND stream = %(stream)s
AND (%(partition)s::integer IS NULL OR partition = %(partition)s)
RETURNING stream, partition, next, log, parted, seal
"""  # noqa: S608
ADVANCE = f"""
UPDATE {POSITIONS_TABLE} SET next = %s, seal = %s, refused = %s, updated_at = now()
WHERE reader = %s AND stream = %s AND partition = %s AND log = %s
"""  # noqa: S608


@frozen
class _Row:
    parted: int
    next: int
    refused: Mapping[str, str]


@define
class Place:
    """A position whose row is locked, and what of it is stored already: everything before `stored`.

    `refused` are the records before that which no table could hold, with the reasons, by offset. It is `behind` where
    not even all before the position is stored.
    """

    position: Position
    stored: int
    refused: dict[int, str]
    behind: bool = False

    def advance(self, cursor: Any, refused: Mapping[int, str]) -> None:
        """Move on to the position's end; the reasons of what nobody reads again are forgotten."""
        position = self.position
        kept = {str(o): why for o, why in (self.refused | dict(refused)).items() if o >= position.settled}
        if position.next > self.stored:
            cursor.execute(ADVANCE, (position.next, position.seal, Json(kept), *position.key))


def lock(cursor: Any, positions: Sequence[Position]) -> list[Place]:
    """Lock the rows of the positions, in one order for everybody; those that are missing are made."""
    places = {position.key: _lock(cursor, position) for position in sorted(positions, key=lambda one: one.key)}
    return [places[position.key] for position in positions]


def advance(cursor: Any, places: Sequence[Place], refused: Mapping[PositionKey, Mapping[int, str]]) -> None:
    """Note that all records of the positions are stored, but for those refused, given with the reasons by offset."""
    for place in places:
        place.advance(cursor, refused.get(place.position.key, {}))


def _lock(cursor: Any, position: Position) -> Place:
    rows = _rows(cursor, position)
    if position.log not in rows:
        begin, refused = _begin_of(position, rows.get(position.log - 1))
        cursor.execute(BEGIN, (*position.key, position.parted, begin, Json(refused)))
        rows = _rows(cursor, position)
    own, after = rows[position.log], rows.get(position.log + 1)
    stored = max(own.next, min(after.parted, after.next)) if after else own.next
    refusals = {int(offset): why for offset, why in own.refused.items()}
    return Place(position, stored, refusals, behind=stored < position.first)


def _begin_of(position: Position, before: _Row | None) -> tuple[int, dict[str, str]]:
    """Return up to where the records of a new log are stored: up to its parting, as far as the log before was."""
    if before is None:
        return position.first, {}
    refused = {offset: why for offset, why in before.refused.items() if int(offset) < position.parted}
    return min(position.parted, before.next), refused


def _rows(cursor: Any, position: Position) -> dict[int, _Row]:
    cursor.execute(LOCK, (*position.key, position.log))
    return {log: _Row(parted, next_, refused) for log, parted, next_, refused in cursor.fetchall()}


def read(cursor: Any, reader: str) -> tuple[Position, ...]:
    """Return how far each partition is stored for a reader, in its latest log."""
    cursor.execute(LATEST, (reader,))
    return tuple(_position(reader, *row) for row in cursor.fetchall())


def forget(cursor: Any, wanted: ForgetPositions) -> tuple[Position, ...]:
    """Delete the positions, and return how far each partition was stored in its latest log."""
    cursor.execute(FORGET, asdict(wanted))
    found = sorted((_position(wanted.reader, *row) for row in cursor.fetchall()), key=lambda one: one.key)
    return tuple({one.partition: one for one in found}.values())


def _position(reader: str, stream: str, partition: int, next_: int, log: int, parted: int, seal: str) -> Position:
    return Position(stream, partition, next_, next_, reader, log=log, parted=parted, seal=seal)
