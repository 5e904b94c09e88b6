"""psycopg2's exceptions as failures that say what to do: by the server's SQLSTATE where it sent one."""

from __future__ import annotations

import re

import psycopg2

from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["explain"]

LONGEST = 300
UNDEFINED = {"42P01", "42703", "3F000"}  # table, column, schema
READ_ONLY = "25006"
ABOUT_RECORDS = ("22", "23")  # data exception, integrity constraint violation
SET_UP = {
    "28P01": "check the password in the DSN",
    "28000": "check the user in the DSN and the server's pg_hba.conf",
    "3D000": "create the database, or check its name in the DSN",
    "42501": "grant the user the right it lacks",
}
PASSWORD = re.compile(r"(password\s*=\s*)\S+|(://[^:/@\s]*:)[^@\s]*(@)", re.IGNORECASE)


def explain(error: psycopg2.Error) -> PlatformError:
    """Return what an exception of psycopg2 means.

    `Permanent("rejected")` is the data's fault. Rights, passwords and names that somebody has to mend are Permanent
    too, with another code. Everything else (no connection, restarts, locks, time-outs, full disks) is an outage.
    """
    state = error.pgcode or ""
    message = _message(error)
    if state[:2] in ABOUT_RECORDS:
        return Permanent("rejected", f"PostgreSQL refuses the data ({state}): {message}")
    if state in SET_UP:
        return Permanent("database", f"{message} ({state})", remedy=SET_UP[state])
    if state in UNDEFINED:
        return Transient("schema", f"{message} ({state}); the tables are made again on the next try")
    if state == READ_ONLY:
        return Transient("read_only", f"PostgreSQL accepts no writes now: {message}")
    if not state and (remedy := _refused_at_connect(message)):
        return Permanent("database", message, remedy=remedy)
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or state[:2] in {
        "08",
        "53",
        "55",
        "57",
        "40",
    }:
        return Transient("database", f"{message} ({state})" if state else message)
    if isinstance(error, psycopg2.DataError):
        return Permanent("rejected", message)  # refused by psycopg2 itself, before it was sent
    return Permanent("database", f"{message} ({state})" if state else message)


def _refused_at_connect(message: str) -> str:
    """Return the remedy where the server refused the connection itself; libpq gives no SQLSTATE then."""
    if "password authentication failed" in message or "no password supplied" in message:
        return SET_UP["28P01"]
    if "pg_hba.conf" in message or ("role" in message and "does not exist" in message):
        return SET_UP["28000"]
    if "database" in message and "does not exist" in message:
        return SET_UP["3D000"]
    return ""


def _message(error: psycopg2.Error) -> str:
    diagnostics = getattr(error, "diag", None)
    primary = getattr(diagnostics, "message_primary", None)
    text = " ".join((primary or str(error) or type(error).__name__).split())
    return PASSWORD.sub(lambda match: (match[1] or match[2]) + "***" + (match[3] or ""), text)[:LONGEST]
