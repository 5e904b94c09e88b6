"""A connection that waits for no answer without bound.

The server bounds its statements, and TCP what it cannot deliver. Neither helps where something in between takes in
every byte and passes none on: then the socket is shut down from here, and the wait ends as that of a lost connection.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from threading import Condition, Thread
from typing import Any

import psycopg2
from attrs import define, field
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection, cursor

__all__ = ["BoundedConnection", "BoundedCursor"]

IDLE = 0.5  # seconds
CALL = re.compile(r"\s*CALL\b", re.IGNORECASE)  # of a procedure, which may commit, and so runs in no transaction


@define(eq=False)
class Watch:
    """One thread that shuts sockets down when their time is over; it ends after a while without sockets."""

    _changed: Condition = field(factory=Condition)
    _due: dict[int, tuple[float, socket.socket]] = field(factory=dict)
    _tokens: count[int] = field(factory=count)
    _thread: Thread | None = None

    def begin(self, line: socket.socket, seconds: float) -> int:
        """Have the socket shut down in so many seconds, unless `end` is called with what this returns."""
        with self._changed:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="database-watch", daemon=True)
                self._thread.start()
            token, due = next(self._tokens), time.monotonic() + seconds
            if all(due < other for other, _ in self._due.values()):
                self._changed.notify()
            self._due[token] = due, line
            return token

    def end(self, token: int) -> None:
        with self._changed:
            self._due.pop(token, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for token, (due, line) in list(self._due.items()):
                    if due <= now:
                        del self._due[token]
                        with suppress(OSError):
                            line.shutdown(socket.SHUT_RDWR)
                soonest = min((due - now for due, _ in self._due.values()), default=IDLE)
                if not (self._changed.wait(min(soonest, IDLE)) or self._due):
                    self._thread = None
                    return


WATCH = Watch()


class BoundedConnection(connection):
    """A connection of psycopg2, on which the end of a transaction takes `limit` seconds at most.

    So does each statement of a `BoundedCursor`; `waiting` is told how long, before each. Without a limit they are like
    any other. Where it is `pooled`, `first`
    is what each transaction begins with, also that of a single statement in autocommit mode: the server takes what
    comes in one message for a transaction.
    """

    limit: float | None = None
    waiting: Callable[[float], None] | None = None
    pooled: bool = False
    first: str = ""

    def begins(self) -> bool:
        """Tell whether a statement would be the first of a transaction that is to begin with `first`."""
        return bool(self.first) and self.info.transaction_status == TRANSACTION_STATUS_IDLE

    def commit(self) -> None:
        with self.bounded():
            super().commit()

    def rollback(self) -> None:
        with self.bounded():
            super().rollback()

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Shut the connection down if what is done within takes too long."""
        limit = self.limit
        if limit is not None and self.waiting is not None:
            self.waiting(limit)
        line = None if limit is None else self._line()
        if limit is None or line is None:
            yield
            return
        with line:
            token = WATCH.begin(line, limit)
            try:
                yield
            finally:
                WATCH.end(token)

    def _line(self) -> socket.socket | None:
        """Return the socket, as a handle of its own, which stays good when the connection is closed."""
        try:
            return socket.socket(fileno=os.dup(self.fileno()))
        except (psycopg2.Error, OSError):
            return None  # it is closed already


class BoundedCursor(cursor):
    """A cursor of a bounded connection."""

    connection: BoundedConnection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  psycopg2's name
        with self.connection.bounded():
            super().execute(self._begun(query), vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        for parameters in vars_list:
            self.execute(query, parameters)

    def copy_expert(self, sql: Any, *args: Any, **kwargs: Any) -> None:
        with self.connection.bounded():
            super().copy_expert(self._begun(sql), *args, **kwargs)

    def fetchmany(self, *args: Any, **kwargs: Any) -> list[tuple[Any, ...]]:
        with self.connection.bounded():
            return super().fetchmany(*args, **kwargs)

    def _begun(self, query: Any) -> Any:
        """Return the statement with what its transaction begins with, where it is the first of one."""
        if not self.connection.begins():
            return query
        if self.name is not None:  # psycopg2 puts its DECLARE before the query
            with self.connection.cursor() as plain:
                plain.execute("SELECT 1")
            return query
        return query if self.connection.autocommit and CALL.match(query) else self.connection.first + query
