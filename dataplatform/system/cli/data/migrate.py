"""`python -m dataplatform.system migrate`: the databases of a topology, brought up to date without a run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn

import click
from attrs import field, frozen

from dataplatform.base.agent import ChildSpec, Context, Entry, Ready, Runtime
from dataplatform.base.database.technology import Tables
from dataplatform.base.embedded import DataDirectory
from dataplatform.base.technology import Embedded
from dataplatform.dsl.storage.tables import STORAGE
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure
from dataplatform.system.config.topology import DEFAULT, ClientSpec, ConfigurationError, Topology, load_topology
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform.home import default_data_dir
from dataplatform.system.platform.servers import at_embedded, require_installed

__all__ = ["migrate_command"]

START_TIMEOUT, STOP_TIMEOUT = 60.0, 9.4  # seconds
NOT_MIGRATED, USAGE = 1, 2
EXAMPLE = """\b
Examples:
  python -m dataplatform.system migrate my.toml
  python -m dataplatform.system migrate --demo --data-dir ./data
"""


@click.command("migrate", epilog=EXAMPLE)
@click.argument("topology", required=False, type=click.Path(path_type=Path))
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the embedded PostgreSQL keeps its data; by default the user's data directory, apart for --demo.",
)
@click.option("--demo", is_flag=True, help="Migrate the database that --demo keeps by default.")
def migrate_command(topology: Path | None, *, data_dir: Path | None, demo: bool) -> None:
    """Bring the databases of a topology up to date, with the data in them; then print what was done.

    Tables are changed by migrations, each in one transaction. Where a server has TimescaleDB, tables become compressed
    hypertables that drop what is old, and candles are kept up to date; else it is said what is lacking. An embedded
    PostgreSQL is started for it, unless a platform has it running. To do it again changes nothing. A run does the same
    at its start, unless the topology says `migrate = false` under `[system]`.

    Exit status: 0 all are up to date; 1 a database could not be migrated; 2 wrong usage or configuration.
    """
    try:
        loaded = load_topology(topology or DEFAULT)
        require_installed(loaded)
    except ConfigurationError as error:
        _exit(USAGE, *error.lines)
    except PlatformError as error:
        _exit(USAGE, str(error))
    configure_logs("console", "warning")
    try:
        with _databases(loaded, data_dir or default_data_dir(demo=demo), demo=demo) as databases:
            failed = [name for name, spec in databases.items() if not _migrate(name, spec)]
    except PlatformError as error:
        _exit(NOT_MIGRATED if isinstance(error, Transient) else USAGE, str(error))
    sys.exit(NOT_MIGRATED if failed else 0)


def _migrate(name: str, spec: ClientSpec) -> bool:
    """Migrate one database, print how that went, and return whether it went well."""
    tables = spec.technology.ability(Tables)
    assert tables is not None, "it is one of those with tables"
    answer = tables.migrate(spec.settings, STORAGE)
    if isinstance(answer, Failure):
        click.echo(f"{name}: not migrated: {answer.error}", err=True)
        return False
    for line in answer.data.done or ("all was up to date",):
        click.echo(f"{name}: {line}")
    if answer.data.lacks:
        click.echo(f"{name}: the server has {answer.data.lacks}")
    return True


@contextmanager
def _databases(topology: Topology, data_dir: Path, *, demo: bool) -> Iterator[dict[str, ClientSpec]]:
    """Yield each client with tables, with the embedded servers running that they ask for."""
    clients = {name: spec for name, spec in topology.clients.items() if spec.technology.ability(Tables)}
    servers = {able.server: able for spec in clients.values() if (able := spec.embedded)}
    if not servers:
        yield clients
        return
    data = DataDirectory(data_dir)
    data.require_kind(simulated=demo)
    with _served(data, servers.values()):
        yield {name: at_embedded(spec, topology, data.path) for name, spec in clients.items()}


@contextmanager
def _served(data: DataDirectory, servers: Iterable[Embedded]) -> Iterator[None]:
    """Run embedded servers in a data directory, unless a platform that works there does so."""
    try:
        data.open()
    except Permanent as error:
        if error.code != "data_dir_in_use":
            raise
        yield
        return
    with data, ExitStack() as stack:
        for server in servers:
            stack.enter_context(_running(server.child(data.path, server.address(data.path, None))))
        yield


@contextmanager
def _running(server: ChildSpec) -> Iterator[None]:
    """Run an embedded server; raises `Transient` when it does not start."""
    runtime, parent = Runtime.start(), _Parent()
    context = Context(server.name, runtime, parent)
    entry = Entry(server.kind, 1, context.vitals)
    runtime.directory.enter(context.name, entry)
    ref = server.factory(context)
    try:
        if not parent.wait_ready() or context.vitals.degraded:
            reason = context.vitals.last_error or f"not ready within {START_TIMEOUT:g} s"
            raise Transient("server_failed", f"the embedded server {server.name!r} did not start: {reason}")
        yield
    finally:
        context.stopping.set()
        ref.stop(block=False)
        entry.gone.wait(STOP_TIMEOUT)
        runtime.stop()


@frozen
class _Parent:
    """Stands where a supervisor would, and hears whether the server is ready."""

    _told: SimpleQueue[object] = field(factory=SimpleQueue)

    def tell(self, message: object, /) -> None:
        self._told.put(message)

    def wait_ready(self) -> bool:
        try:
            return isinstance(self._told.get(timeout=START_TIMEOUT), Ready)
        except Empty:
            return False


def _exit(status: int, *lines: str) -> NoReturn:
    for line in lines:
        click.echo(line, err=True)
    sys.exit(status)
