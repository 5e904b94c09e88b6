"""psycopg2's exceptions as failures that say what to do: by the server's SQLSTATE where it sent one."""

from __future__ import annotations

import re

import psycopg2

from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["explain"]

LONGEST = 300
UNDEFINED_TABLE = "42P01"
READ_ONLY = "25006"
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
AT_CONNECT = {  # libpq tells no SQLSTATE of a refused connection
    "password authentication failed": SET_UP["28P01"],
    "no password supplied": SET_UP["28P01"],
    "pg_hba.conf": SET_UP["28000"],
    "is not permitted to log in": SET_UP["28000"],
    "permission denied for database": SET_UP["42501"],
    "SSL": "check sslmode and the certificates in the DSN",
}
UNKNOWN_NAME = re.compile(r'FATAL: +(role|database) ".*" does not exist')
UNREADABLE = re.compile(r"(invalid|missing|unexpected|unterminated|end of string)\b")  # what libpq says of a DSN
QUOTED = re.compile(r'"[^"]*"')


def explain(error: psycopg2.Error, *, writing: bool) -> PlatformError:
    """Return what an exception of psycopg2 means.

    `Permanent("rejected")` is the fault of the data, or of a query. Rights, passwords and names that somebody has to
    mend are Permanent too, with another code. Everything else (no connection, restarts, locks, time-outs, full disks)
    is an outage.
    """
    state = error.pgcode or ""
    message = _message(error)
    if not state:
        return _without_state(error, message, writing=writing)
    message = f"{message} ({state})"
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
        return Transient("database", message)
    return Permanent("database", message, remedy=OTHER_SHAPE.get(state, ""))


def _without_state(error: psycopg2.Error, message: str, *, writing: bool) -> PlatformError:
    """Explain what libpq or psycopg2 found out for itself."""
    if UNREADABLE.match(message.removeprefix("invalid dsn: ")):
        return Permanent("database", message, remedy="check the DSN; special characters in it are written as %XX")
    if isinstance(error, psycopg2.OperationalError) and (remedy := _refused_at_connect(message)):
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


def _refused_at_connect(message: str) -> str:
    """Return the remedy where the server itself refused the connection, "" where it could not be reached."""
    if unknown := UNKNOWN_NAME.search(message):
        return SET_UP["28000" if unknown[1] == "role" else "3D000"]
    return next((remedy for words, remedy in AT_CONNECT.items() if words in message), "")


def _message(error: psycopg2.Error) -> str:
    """Return the message in one line, without any part of the DSN that may be a password.

    libpq never shows the password, but quotes what it cannot read of a DSN, or takes for the host's name.
    """
    primary = error.diag.message_primary if error.pgcode else None
    text = " ".join((primary or str(error) or type(error).__name__).split())
    if not error.pgcode:
        unreadable = UNREADABLE.match(text.removeprefix("invalid dsn: "))
        text = QUOTED.sub(lambda quoted: '"…"' if unreadable or "@" in quoted[0] else quoted[0], text)
    return text[:LONGEST]
