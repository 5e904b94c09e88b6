"""A connection that waits for no answer without bound.

The server bounds its statements, and TCP what it cannot deliver. Neither helps where something in between takes in
every byte and passes none on: then the socket is shut down from here, and the wait ends as that of a lost connection.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any

import psycopg2
from psycopg2.extensions import connection, cursor

__all__ = ["BoundedConnection", "BoundedCursor"]


class BoundedConnection(connection):
    """A connection of psycopg2, on which the end of a transaction takes `limit` seconds at most.

    So does each statement of a `BoundedCursor`. Without a limit they are like any other.
    """

    limit: float | None = None

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
        line = None if limit is None else self._line()
        if limit is None or line is None:
            yield
            return
        with line:
            timer = Timer(limit, _shut_down, (line,))
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()

    def _line(self) -> socket.socket | None:
        """Return the socket, as a handle of its own, which stays good when the connection is closed."""
        try:
            return socket.socket(fileno=os.dup(self.fileno()))
        except (psycopg2.Error, OSError):
            return None  # it is closed already


class BoundedCursor(cursor):
    """A cursor of a bounded connection."""

    connection: BoundedConnection

    def execute(self, *args: Any, **kwargs: Any) -> None:
        with self.connection.bounded():
            super().execute(*args, **kwargs)

    def copy_expert(self, *args: Any, **kwargs: Any) -> None:
        with self.connection.bounded():
            super().copy_expert(*args, **kwargs)

    def fetchmany(self, *args: Any, **kwargs: Any) -> list[tuple[Any, ...]]:
        with self.connection.bounded():
            return super().fetchmany(*args, **kwargs)


def _shut_down(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
