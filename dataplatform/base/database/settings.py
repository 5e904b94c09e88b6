"""How a database is reached: its settings, and libpq's connection strings, read by libpq itself.

libpq's connection strings, read and checked by libpq itself, before anything connects. How a database is reached.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import psycopg2
from attrs import Attribute, field, frozen, validators
from psycopg2.extensions import make_dsn, parse_dsn

__all__ = ["TimescaleSettings", "check_dsn", "secrets_in"]

EMBEDDED = "embedded"
QUOTED = re.compile(r'".*"', re.DOTALL)  # to the last quote, as a password may hold one
NOWHERE = "/dev/null"  # a folder of sockets that cannot be: libpq checks every option before it looks there
LAST_PORT = 65_535
CONNECTING = "connection to server"  # what libpq says begins with, when it has found nothing wrong with the options
SECRET_OPTIONS = ("password", "sslpassword")
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
SYSTEM = "system"  # as sslrootcert: the certificates that this machine trusts
FORM = "USER:PASSWORD@HOST:5432/DATABASE after postgresql://"
ESCAPE = "in a URI write special characters of the password as %XX (@ as %40, / as %2F), elsewhere put it in quotes"


def check_dsn(dsn: str) -> None:
    """Raise `ValueError` for a connection string that libpq would refuse, without any part that may be a password."""
    if dsn == EMBEDDED:
        return
    options = _parsed(dsn)
    if any("@" in options.get(name, "") for name in ("host", "hostaddr", "port", "dbname")):
        raise ValueError(f"dsn: libpq takes a part of the password for the host; {ESCAPE}")
    if not all(map(_is_port, options.get("port", "").split(","))):
        raise ValueError(f"dsn: its port is not a number from 1 to {LAST_PORT}; write {FORM}")
    if problem := _refused_options(options):
        raise ValueError(f"dsn: {problem}")
    for name in FILES:
        _check_file(name, options.get(name, ""))


def secrets_in(dsn: str) -> set[str]:
    """Return the passwords of a connection string, as they are and as they are written there; all of an unreadable one.

    >>> sorted(secrets_in("postgresql://ada:hunt%2Fer2@db/market"))
    ['hunt%2Fer2', 'hunt/er2']
    >>> secrets_in("postgresql://ada:hunt/er2@db/market")  # where libpq takes it for a port and a database
    {'hunt/er2'}
    """
    if dsn == EMBEDDED:
        return set()
    written = set(_as_written(dsn))
    try:
        options = _parsed(dsn)
    except ValueError:
        return {dsn} | written
    return {options[name] for name in SECRET_OPTIONS if name in options} | written


def _as_written(dsn: str) -> Iterator[str]:
    """Yield the passwords of a URI with their escapes, also one in which characters should be escaped and are not."""
    _, is_uri, rest = dsn.partition("://")
    if is_uri:
        user, at, _ = rest.partition("@")
        if at and "/" not in user and ":" in user:
            yield user.partition(":")[2]
        if password := rest.rpartition("@")[0].partition(":")[2]:
            yield password
        for name in SECRET_OPTIONS:
            yield from parse_qs(rest.partition("?")[2].replace("%", "%25")).get(name, ())


def _parsed(dsn: str) -> dict[str, str]:
    try:
        if "\0" in dsn:
            raise ValueError("it holds a null character")
        options: dict[str, str] = parse_dsn(dsn)
    except (psycopg2.Error, ValueError) as error:
        said = QUOTED.sub('"…"', str(error).strip().removeprefix("invalid dsn: "))  # it may be a part of the password
        raise ValueError(f"dsn: libpq cannot read it: {said}; {ESCAPE}") from None
    return options


def _refused_options(options: dict[str, str]) -> str:
    """Return what libpq says of an option's value, "" if nothing, by having it connect to where no server can be."""
    hosts = options.get("hostaddr") or options.get("host") or ""
    nowhere = {"host": ",".join([NOWHERE] * (hosts.count(",") + 1))}
    kept = {name: value for name, value in options.items() if name not in {"hostaddr", "host", *SECRET_OPTIONS}}
    try:
        psycopg2.connect(make_dsn(**kept, **nowhere)).close()
    except psycopg2.Error as error:
        said = str(error).strip()
        return "" if said.startswith(CONNECTING) else " ".join(_without_values(said, options).split())
    return ""


def _is_port(text: str) -> bool:
    text = text.strip()
    return not text or (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= LAST_PORT)


def _without_values(said: str, options: dict[str, str]) -> str:
    """Return what libpq says without the values that it quotes, whole or an item of them."""
    values = {part for value in options.values() for part in (value, *value.split(","))}
    for value in sorted(values, key=len, reverse=True):
        said = said.replace(f'"{value}"', '"…"')
    return said


def _check_file(name: str, path: str) -> None:
    if not path or (name == "sslrootcert" and path == SYSTEM):
        return
    if not Path(path).is_file():
        raise ValueError(f"dsn: {name}: there is no file {path}")
    if not os.access(path, os.R_OK):
        raise ValueError(f"dsn: {name}: this user may not read {path}")


positive = validators.gt(0.0)


def _is_dsn(_settings: TimescaleSettings, _option: Attribute[str], dsn: Any) -> None:
    if not isinstance(dsn, str):
        raise TypeError("dsn: expected text")
    check_dsn(dsn)


@frozen
class TimescaleSettings:
    """A PostgreSQL or TimescaleDB server. Times in seconds, all shorter than a stop may take.

    `dsn` is libpq's connection string or URI (with `sslmode=…` for TLS), best given as `${DATABASE_URL}`; it is never
    shown. `pool` is how many connections, and so agents, there are.
    """

    dsn: str = field(
        repr=False,
        validator=_is_dsn,
        metadata={"help": "libpq connection string or URI, or 'embedded'", "secrets": secrets_in},
    )
    pool: int = field(
        default=2,
        validator=[validators.ge(1), validators.le(32)],
        metadata={"help": "how many connections, and so agents, there are"},
    )
    connect_timeout: float = field(default=3.0, validator=positive, metadata={"help": "seconds for connecting"})
    statement_timeout: float = field(default=4.0, validator=positive, metadata={"help": "seconds for one statement"})
    lock_timeout: float = field(
        default=3.0, validator=positive, metadata={"help": "seconds to wait for a lock that somebody else holds"}
    )
    application_name: str = field(
        default="dataplatform", metadata={"help": "how the connections are called at the server"}
    )
    write_strategy: str = field(
        default="copy",
        validator=validators.in_(["copy", "insert"]),
        metadata={"help": "how rows are written: 'insert' is for servers and proxies without COPY, and slower"},
    )
