"""Writing in portions: halved where the server refuses one for what is in it, or takes too long over it.

A row that is refused though it stands alone can never be stored. One that takes too long is an outage: it is the
server that is slow, or the time it is given that is short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import psycopg2
from attrs import define, field

from dataplatform.base.database.errors import TOO_MUCH, explain
from dataplatform.errors import Permanent, PlatformError

__all__ = ["Portions"]

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
