"""A PostgreSQL cluster that a test owns: on a socket without a password, on a loopback port with one."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from dataplatform.base.embedded.account import server_account
from dataplatform.base.embedded.postgres import postgres_binaries
from tests.support.waiting import DEADLINE

GRACE = DEADLINE
INITDB = ("--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C")
SETTINGS = {"listen_addresses": "127.0.0.1", "fsync": "off", "shared_buffers": "16MB", "max_connections": "20"}


class Cluster:
    """A cluster in `folder`, whose path is short enough for a socket."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._data, self._binaries = folder, folder / "data", postgres_binaries()
        self._account = server_account(self._data)
        if self._account is not None:
            self._account.own(folder)
            self._account.let_read(self._binaries.parent)
        self.port = free_port()

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"

    def tcp(self, user: str, password: str, database: str = "postgres") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def user(self) -> dict[str, Any]:
        """Say to `subprocess` as whom servers run, which is never root."""
        if self._account is None:
            return {}
        return {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}

    def make(self) -> None:
        self._run("initdb", *INITDB, "--no-sync")

    def copy_to(self, folder: Path) -> Cluster:
        subprocess.run(["cp", "-a", str(self._data), str(folder)], check=True)
        return Cluster(folder)

    def start(self) -> None:
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "immediate")

    def kill(self) -> None:
        """Kill every process of the server at once."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, GRACE)

    def run(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement beside the client under test."""
        with self.session() as session, session.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A session beside the client under test, in which each statement is a transaction of its own."""
        with closing(psycopg2.connect(self.dsn)) as connection:
            connection.autocommit = True
            yield connection

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self._data), *arguments]
        subprocess.run(command, check=True, timeout=GRACE, cwd="/", stdout=subprocess.DEVNULL, **self.user)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
