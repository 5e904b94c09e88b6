"""psycopg2's exceptions as failures that say what to do: by the server's SQLSTATE where it sent one."""

from __future__ import annotations

import re

import psycopg2

from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["TOO_MUCH", "explain"]

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
