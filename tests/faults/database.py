"""PostgreSQL that a test owns, a database in it for each scenario, and a witness of every row that arrives there."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from attrs import define

from tests.base.database.cluster import Cluster
from tests.faults.subjects import Identity, Subject
from tests.faults.waiting import until

__all__ = ["Database", "Postgres"]

USER, PASSWORD = "postgres", "never-shown"
WITNESS = """
CREATE SCHEMA witness;
CREATE TABLE witness.arrivals (serial bigserial, key text, number double precision);
CREATE FUNCTION witness.arrived() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO witness.arrivals (key, number) SELECT {key}, {number} FROM arrived;
    RETURN NULL;
END $$;
CREATE TRIGGER witness_of_inserts AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT EXECUTE FUNCTION witness.arrived();
CREATE TRIGGER witness_of_updates AFTER UPDATE ON {table}
    REFERENCING NEW TABLE AS arrived FOR EACH STATEMENT EXECUTE FUNCTION witness.arrived();
"""


class Postgres:
    """The server; reached over TCP, as a proxy can stand there."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self._cluster = Cluster(folder)
        self._cluster.make()
        self.start()
        self._cluster.run(f"ALTER USER {USER} PASSWORD '{PASSWORD}'")

    @property
    def port(self) -> int:
        return self._cluster.port

    def start(self) -> None:
        self._cluster.start()

    def stop(self) -> None:
        self._cluster.stop()

    def runs(self) -> bool:
        """Tell whether its first process is there."""
        with suppress(OSError, ValueError, psutil.Error):
            pid = int((self.home / "data" / "postmaster.pid").read_text().split()[0])
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return False

    def kill(self) -> None:
        """SIGKILL every process of the server at once."""
        self._cluster.kill()
        (self.home / "data" / "postmaster.pid").unlink()  # nobody is left whose it could be

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement in the server's own database."""
        return self._cluster.run(sql)

    def database(self, name: str) -> Database:
        """Make an empty database."""
        self._cluster.run(f'CREATE DATABASE "{name}"')
        return Database(self, name)

    def drop(self, name: str) -> None:
        self._cluster.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@define(eq=False)
class Database:
    """One database. The witness notes every row that a transaction brings, again for a row that is written again.

    So it shows what a table without a natural key would hold, also where an upsert hides a repeated row.
    """

    server: Postgres
    name: str
    _connection: Any = None

    def dsn(self, port: int | None = None) -> str:
        """Return the URI of the database, at the server's port or at a proxy's."""
        return f"postgresql://{USER}:{PASSWORD}@localhost:{port or self.server.port}/{self.name}"

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement in a transaction of its own; raises `psycopg2.Error`."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self.dsn(), connect_timeout=3, application_name="oracle")
            self._connection.autocommit = True
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.OperationalError:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def end_sessions(self) -> None:
        """Have the server end every session in the database, the one used here as well."""
        self.disconnect()
        self.server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")

    def back(self, timeout: float = 30.0) -> None:
        """Wait until the server answers."""
        until(self._answers, "PostgreSQL answers", timeout)

    def freeze_in_copy(self) -> bool:
        """Freeze a session in the middle of a COPY, where one is; tell whether it was caught in it."""
        for pid in self._copying():
            os.kill(pid, signal.SIGSTOP)
            if pid in self._copying():
                return True
            os.kill(pid, signal.SIGCONT)
        return False

    def _copying(self) -> list[int]:
        """Return the server processes that are in a COPY which has brought bytes already."""
        rows = self.query(
            "SELECT pid FROM pg_stat_progress_copy WHERE datname = current_database() AND bytes_processed > 0"
        )
        return [pid for (pid,) in rows]

    # What arrives

    def watch(self, subject: Subject) -> None:
        """Have the table's rows witnessed from now on."""
        if subject.make:
            self.query(subject.make)
        self.query(WITNESS.format(table=subject.table, key=subject.key, number=subject.number))

    def begun(self) -> int:
        """Return how many rows arrived, those of transactions under way or rolled back included."""
        ((count, called),) = self.query("SELECT last_value, is_called FROM witness.arrivals_serial_seq")
        return int(count) if called else 0

    def arrivals(self) -> list[Identity]:
        """Return whose row each was, in the order of arrival."""
        rows = self.query("SELECT key, number FROM witness.arrivals ORDER BY serial")
        return [Subject.identity(key, number) for key, number in rows]

    def stored(self, subject: Subject) -> list[Identity]:
        """Return whose row each row of the table is."""
        rows = self.query(f"SELECT {subject.key}, {subject.number} FROM {subject.table}")
        return [Subject.identity(key, number) for key, number in rows]

    def accounted(self, subject: Subject) -> int:
        """Count the different records in the table, and the different inputs in the dead letters."""
        different = f"SELECT DISTINCT {subject.key}, {subject.number} FROM {subject.table}"
        ((rows,),) = self.query(f"SELECT count(*) FROM ({different}) AS found")
        ((letters,),) = self.query("SELECT count(DISTINCT id) FROM dead_letters")
        return int(rows) + int(letters)

    def unsound(self, subject: Subject) -> int:
        """Count the rows with other columns than those that were sent."""
        ((count,),) = self.query(f"SELECT count(*) FROM {subject.table} WHERE ({subject.sound}) IS NOT TRUE")
        return int(count)

    def letters(self) -> list[tuple[int | None, int | None, bytes]]:
        """Return partition, offset and bytes of each dead letter; None where it was decoded and then refused."""
        rows = self.query('SELECT partition, "offset", raw FROM dead_letters')
        return [(partition, offset, bytes(raw)) for partition, offset, raw in rows]

    def _answers(self) -> bool:
        try:
            return self.query("SELECT true") == [(True,)]
        except psycopg2.Error:
            return False
