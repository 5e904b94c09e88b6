"""Connections that wait for no answer without bound, also through a pooling proxy; their errors in words.

A connection that waits for no answer without bound.

The server bounds its statements, and TCP what it cannot deliver. Neither helps where something in between takes in
every byte and passes none on: then the socket is shut down from here, and the wait ends as that of a lost connection.

Connections that wait for nothing without bound, also through a proxy that pools transactions.

Such a proxy (PgBouncer) refuses settings at start-up, and leads each transaction to another session. So nothing is left
in a session there: settings are made anew in each transaction, in the message of its first statement. So they are for a
single statement in autocommit mode, but for the CALL of a procedure: it may commit, and so takes nothing before it.

psycopg2's exceptions as failures that say what to do: by the server's SQLSTATE where it sent one.
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

from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["SCHEMA_LOCK", "TOO_MUCH", "BoundedConnection", "BoundedCursor", "connect", "explain", "is_pooled"]

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


SCHEMA_LOCK = 0x64617461  # an advisory lock of our own, so that two connections do not create one table at once

GRACE = 2.0  # seconds that an answer may take on its way, after the server has cut its statement off

# Upserts into compressed chunks unpack rows of many coins. TimescaleDB's limit on that would look like an outage and
# be retried for ever. The extension refuses names of its own that it does not know, so it is asked first.
UNLIMITED = "timescaledb.max_tuples_decompressed_per_dml_transaction"
LOOK = "SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_settings WHERE name = %s)"


def connect(settings: TimescaleSettings, name: str, *, unhurried: bool = False) -> BoundedConnection:
    """Connect as the agent `name`; an `unhurried` connection lets a statement take as long as it needs."""
    opened: BoundedConnection = psycopg2.connect(
        settings.dsn, connection_factory=BoundedConnection, cursor_factory=BoundedCursor, **_options(settings, name)
    )
    try:
        opened.limit = settings.statement_timeout + GRACE
        with opened, opened.cursor() as cursor:
            cursor.execute(LOOK, (UNLIMITED,))
            ((backend, decompresses),) = cursor.fetchall()
        opened.pooled = backend != opened.info.backend_pid
        _set(opened, _session_settings(settings, unhurried=unhurried) | ({UNLIMITED: "0"} if decompresses else {}))
        opened.limit = None if unhurried else opened.limit
    except BaseException:
        opened.close()
        raise
    return opened


def is_pooled(conn: Any) -> bool:
    """Tell whether a connection leads to a proxy, which may give each transaction another session."""
    return isinstance(conn, BoundedConnection) and conn.pooled


def _set(opened: BoundedConnection, settings: dict[str, str]) -> None:
    """Make settings: of the session where it is this connection's own, else of each transaction."""
    if opened.pooled:
        opened.first = "".join(f"SET LOCAL {name} = '{value}'; " for name, value in settings.items())
        return
    with opened, opened.cursor() as cursor:
        cursor.execute("; ".join(f"SET SESSION {name} = '{value}'" for name, value in settings.items()))


def _session_settings(settings: TimescaleSettings, *, unhurried: bool) -> dict[str, str]:
    """Return what bounds the waits at the server: for a statement, for a lock, and for a client that has vanished."""
    seconds = {
        "statement_timeout": 0.0 if unhurried else settings.statement_timeout,
        "lock_timeout": settings.lock_timeout,
        "idle_in_transaction_session_timeout": 2 * settings.statement_timeout,  # a frozen client holds up others
    }
    return {name: f"{round(value * 1000)}ms" for name, value in seconds.items()} | {"timezone": "UTC"}


def _options(settings: TimescaleSettings, name: str) -> dict[str, Any]:
    """Return what bounds the waits here: for a connection, and for a peer that has vanished."""
    return {
        "connect_timeout": max(2, round(settings.connect_timeout)),
        "application_name": f"{settings.application_name} {name}",
        "client_encoding": "UTF8",
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": round(settings.statement_timeout * 1000),
    }


LONGEST = 300
UNDEFINED_TABLE = "42P01"
READ_ONLY = "25006"
TOO_MUCH = {  # for one statement; of fewer rows it may succeed
    "57014": "raise statement_timeout of the client, or ask for less at a time",
    "53200": "give the server more memory, or write less at a time",
}
ABOUT_QUERIES = ("0A", "42", READ_ONLY)  # unsupported, syntax and names, writing
ABOUT_RECORDS = ("22", "23", "44", "54", "P0")  # bad value, constraint, view's check, too large, a trigger's veto
OUTAGES = ("08", "40", "53", "55", "57", "58", "F0")  # connection, rollback, resources, locks, operator, system
TIMED_OUT = {"25P03", "25P04"}  # the session idle, or the transaction as a whole
SET_UP = {
    "28P01": "check the password in the DSN",
    "28000": "check the user in the DSN and the server's pg_hba.conf",
    "3D000": "create the database, or check its name in the DSN",
    "3F000": "create the schema, or check search_path",
    "42501": "grant the user the right it lacks",
}
OTHER_SHAPE = dict.fromkeys(
    ("42703", "42P10", "42804", "42809"),  # column, key, type, not a table
    "the table was made by another program or version: migrate or rename it, or use another database",
)
TLS_REFUSED = re.compile(  # of what libpq says with SSL in it, all else is a connection that broke
    r"""
    SSL\ error:\ .*(
        certificate\ verify\ failed | wrong\ version\ number | unsupported\ protocol | no\ protocols\ available
        | no\ shared\ cipher
        | alert\ (certificate|bad\ certificate|unsupported\ certificate|unknown\ ca|access\ denied|handshake\ failure
            |protocol\ version|insufficient\ security|unrecognized\ name|no\ application\ protocol)
    )
    | does\ not\ support\ SSL | invalid\ response\ to\ SSL\ negotiation | channel\ binding\ (is\ )?required
    | SSL\ (connection\ is\ )?required | connection\ is\ insecure | valid\ client\ certificate
    | does\ not\ match\ host\ name | server's\ host\ name\ from | host\ name\ must\ be\ specified
    | (certificate|private\ key)\ file | certificate\ present | locate\ root\ certificate
    """,
    re.VERBOSE,
)
AT_CONNECT = {  # libpq tells no SQLSTATE of a refused connection, only what the server, or a proxy, said
    re.compile(r"password authentication failed|no password supplied"): SET_UP["28P01"],
    re.compile(r'pg_hba\.conf|role ".*" (does not exist|is not permitted)|no such user'): SET_UP["28000"],
    re.compile(r'FATAL: +database ".*" does not exist|no such database'): SET_UP["3D000"],
    re.compile(r"permission denied for database"): SET_UP["42501"],
    re.compile(r"unsupported startup parameter"): "leave options out of the DSN: the proxy refuses what is set there",
    TLS_REFUSED: "check sslmode and the certificates in the DSN",
}
QUESTION = re.compile(r" Is the server running (?:there|locally|on that host)[^?]*\?")  # our remedies say more
ATTEMPT = re.compile(r"(?=connection to server (?:at|on) )")
WITHOUT_TLS = re.compile(r"no encryption|SSL off")
UNUSABLE = re.compile(r"invalid (port number|integer value|\w+ value)|could not match \d+ |definition of service ")


def explain(error: psycopg2.Error, *, writing: bool) -> PlatformError:
    """Return what an exception of psycopg2 means.

    `Permanent("rejected")` is the fault of the data, or of a query. Rights, passwords and names that somebody has to
    mend are Permanent too, with another code. Everything else (no connection, restarts, locks, time-outs, full disks)
    is an outage.
    """
    state = error.pgcode or ""
    said = _said(error)
    if not state:
        return _without_state(error, said, writing=writing)
    message = f"{said[:LONGEST]} ({state})"
    if state in SET_UP:
        return Permanent("database", message, remedy=SET_UP[state])
    if state == UNDEFINED_TABLE:
        return Transient("schema", message, remedy="a table is made when it is next written to")
    if state.startswith(ABOUT_RECORDS):
        return Permanent("rejected", f"PostgreSQL refuses the {'data' if writing else 'query'}: {message}")
    if state == READ_ONLY and writing:
        return Transient("read_only", f"PostgreSQL accepts no writes now: {message}")
    if not writing and state.startswith(ABOUT_QUERIES):
        return Permanent("rejected", f"PostgreSQL refuses the query: {message}")
    if state.startswith(OUTAGES) or state in TIMED_OUT:
        return Transient("database", message, remedy=TOO_MUCH.get(state, ""))
    return Permanent("database", message, remedy=OTHER_SHAPE.get(state, ""))


def _without_state(error: psycopg2.Error, said: str, *, writing: bool) -> PlatformError:
    """Explain what libpq or psycopg2 found out for itself."""
    message = said[:LONGEST]
    if isinstance(error, psycopg2.OperationalError) and (remedy := _refused_at_connect(said)):
        return Permanent("database", message, remedy=remedy)
    if isinstance(error, psycopg2.DataError | psycopg2.IntegrityError) or (
        isinstance(error, psycopg2.ProgrammingError) and not writing
    ):
        return Permanent("rejected", message)
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or type(error) in {
        psycopg2.DatabaseError,  # of a connection that broke within a COPY
        psycopg2.Error,
    }:
        return Transient("database", message)
    return Permanent("database", message)


def _refused_at_connect(said: str) -> str:
    """Return the remedy where a server, or a check of ours on it, refused the connection, "" for an outage.

    libpq tries one address after the other, and tells of all; the last one is where it stopped. Where it had broken
    off with TLS, and the server lets nobody in without, the last but one is of the same address and tells more.
    """
    if UNUSABLE.match(said):
        return "check the DSN, and the variables PG… in the environment"
    *before, last = [attempt for attempt in ATTEMPT.split(said) if attempt]
    if before and WITHOUT_TLS.search(last) and before[-1].startswith(last.partition(" failed: ")[0]):
        last = before[-1]
    return next((remedy for words, remedy in AT_CONNECT.items() if words.search(last)), "")


def _said(error: psycopg2.Error) -> str:
    """Return what was said in one line, without libpq's question; it never shows the password."""
    primary = error.diag.message_primary if error.pgcode else None
    return QUESTION.sub("", " ".join((primary or str(error) or type(error).__name__).split()))
