"""TimescaleDB itself for tests, without Docker: PostgreSQL in WebAssembly, served by Node.js (`scripts/timescaledb`).

A conftest makes the fixtures its own by importing them: `from tests.support.timescaledb import timescaledb`.
What such a server cannot do is said in `scripts/lib/timescaledb/server.mjs`: above all, sessions take turns, so a test
that leaves a transaction open while it waits for another session waits for ever.
"""

from __future__ import annotations

import select
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import psycopg2
import pytest
from attrs import frozen

__all__ = ["Server", "new_server", "timescaledb", "timescaledb_server"]

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
UNUSABLE, FAILED = 3, 4  # exit statuses of scripts/timescaledb
INSTALL, START, STOP = 300.0, 60.0, 20.0  # seconds at most; usually 2, 2 and 0.1

# Everything but the extension, which one backend can create only once.
EMPTY = """
DO $$
DECLARE
    statement text;
BEGIN
    CREATE EXTENSION IF NOT EXISTS timescaledb;
    FOR statement IN
        SELECT format('DROP MATERIALIZED VIEW IF EXISTS %I.%I CASCADE', view_schema, view_name)
        FROM timescaledb_information.continuous_aggregates
        UNION ALL
        SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace AS schema
        WHERE nspname NOT LIKE ALL (ARRAY['pg\\_%', 'public', 'information\\_schema'])
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = schema.oid AND deptype = 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR statement IN
        SELECT format(
            'DROP %s IF EXISTS public.%I CASCADE',
            CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                ELSE 'TABLE' END,
            relname
        )
        FROM pg_class AS relation
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = relation.oid AND deptype = 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$
"""


@frozen
class Server:
    """A running server. `dsn` is its libpq URI."""

    dsn: str
    process: subprocess.Popen[str]

    def empty(self) -> None:
        """Drop all that tests have made; what remains is a database with the extension."""
        connection = psycopg2.connect(self.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(EMPTY)
        finally:
            connection.close()


@pytest.fixture(scope="session")
def timescaledb_server() -> Iterator[Server]:
    """One server for the whole run."""
    with new_server() as server:
        yield server


@pytest.fixture
def timescaledb(timescaledb_server: Server) -> str:
    """The DSN of a database with nothing in it but the extension."""
    timescaledb_server.empty()
    return timescaledb_server.dsn


@contextmanager
def new_server(data: Path | None = None) -> Iterator[Server]:
    """Run a server with its database in memory, or in the folder `data`; without the extension when it is new.

    Skips the test where Node.js is missing or the package cannot be installed.
    """
    server = SCRIPTS / "lib" / "timescaledb" / "server.mjs"
    command = ["node", str(server), str(installed()), *(["--data", str(data)] if data else [])]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            port = _first_line(process)
            if not port:
                raise AssertionError(f"TimescaleDB did not start: {_said(errors)}")
            yield Server(f"postgresql://postgres@127.0.0.1:{port}/template1?sslmode=disable", process)
        finally:
            status = _stop(process)
        assert status == 0, f"TimescaleDB ended with status {status}: {_said(errors)}"


def installed() -> Path:
    """Return where TimescaleDB is installed; install it first where it is not, or skip the test with the reason."""
    status, answer = _install()
    if status in {UNUSABLE, FAILED}:
        pytest.skip(f"no TimescaleDB here: {answer}")
    assert status == 0, answer
    return Path(answer)


@cache
def _install() -> tuple[int, str]:
    """Return the script's exit status, and the last line it wrote: the folder, or the reason."""
    try:
        done = subprocess.run([SCRIPTS / "timescaledb"], check=False, capture_output=True, text=True, timeout=INSTALL)
    except subprocess.TimeoutExpired:
        return FAILED, f"npm did not install it within {INSTALL:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines()
    return done.returncode, lines[-1].removeprefix("timescaledb: ") if lines else ""


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START)
    return process.stdout.readline().strip() if readable else ""


def _stop(process: subprocess.Popen[str]) -> int:
    """Close its standard input, upon which it ends; kill it where it does not."""
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()
    try:
        return process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _said(errors: IO[str]) -> str:
    errors.seek(0)
    return errors.read()[-2_000:].strip() or "it said nothing"
