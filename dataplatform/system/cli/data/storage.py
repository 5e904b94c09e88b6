"""`python -m dataplatform.system storage`: how much the databases of a topology hold, before and after compression."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from attrs import asdict
from rich.console import Console
from rich.table import Table

from dataplatform.base.agent import Request
from dataplatform.base.database import StorageSize, TableSize
from dataplatform.base.database.technology import Tables
from dataplatform.dsl.operations.registry import of_kinds
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure
from dataplatform.system.cli.data.partial import at_work, idle_sources, only
from dataplatform.system.cli.options import framed
from dataplatform.system.platform.platform import Platform

__all__ = ["storage_command", "table_of"]

TIMEOUT = 30.0  # seconds
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
COLUMNS = ("table", "rows", "bytes", "chunks", "compressed", "before", "after", "saved")
DEPRECATED = "storage: JSON without --json, where there is no terminal, ends with the next release; say --json"
EXAMPLE = """\b
Examples:
  python -m dataplatform.system storage my.toml
  python -m dataplatform.system storage --demo --json
"""


@click.command("storage", epilog=EXAMPLE)
@click.argument("topology", required=False, type=click.Path(path_type=Path))
@click.option("--demo", is_flag=True, help="The database that --demo keeps by default.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where embedded servers keep their data."
)
@click.option("--json", "json_", is_flag=True, help="Print one object of JSON, as status does.")
def storage_command(topology: Path | None, *, demo: bool, data_dir: Path | None, json_: bool) -> None:
    """Show how many rows and bytes each table takes, and what compression saved of them.

    `before` and `after` are the bytes of the compressed chunks, as they were and as they became. Candles that
    TimescaleDB keeps are shown as tables; a plain PostgreSQL has no chunks and compresses nothing. It works beside a
    running platform. JSON comes where --json asks for it; where there is no terminal, it does without for this release.

    Exit status: 0 all were measured; 1 a database cannot be reached; 2 wrong usage or configuration.
    """
    with framed(topology) as loaded:
        databases = {name: can for name, spec in loaded.clients.items() if (can := spec.technology.ability(Tables))}
        if not databases:
            raise Permanent("no_database", f"the topology has no client with tables{of_kinds(Tables)}")
        with at_work(only(loaded, (), idle_sources(databases)), demo=demo, data_dir=data_dir) as platform:
            sizes = {name: _measured(platform, name, can.measure()) for name, can in databases.items()}
    if not json_ and not sys.stdout.isatty():
        click.echo(DEPRECATED, err=True)
    if json_ or not sys.stdout.isatty():
        click.echo(json.dumps({name: _as_dict(size) for name, size in sizes.items()}, indent=2))
        return
    for name, size in sizes.items():
        Console().print(table_of(name, size))


def _measured(platform: Platform, name: str, question: Request[StorageSize]) -> StorageSize:
    """Ask a database client; raises `PlatformError` with its name when it fails."""
    answer = platform.address(platform.connections[name].agents[0]).ask(question, TIMEOUT)
    if isinstance(answer, Failure):
        failure = Transient if isinstance(answer.error, Transient) else Permanent
        raise failure(answer.error.code, f"{name}: {answer.error.message}")
    return answer.data


def _as_dict(size: StorageSize) -> dict[str, object]:
    return asdict(size) | {"tables": [{**asdict(table), "saved": table.saved} for table in size.tables]}


def table_of(name: str, size: StorageSize) -> Table:
    """Return what a person is shown of a database."""
    extension = f"TimescaleDB {size.timescaledb}" if size.timescaledb else "no TimescaleDB, so nothing is compressed"
    shown = Table(title=f"{name}: PostgreSQL {size.postgresql}, {extension}", title_justify="left")
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column == "table" else "right")
    for table in size.tables:
        shown.add_row(*_cells(table))
    return shown


def _cells(table: TableSize) -> tuple[str, ...]:
    saved = "" if table.saved is None else f"{table.saved:.1%}"
    chunks = (f"{table.chunks:,}", f"{table.compressed_chunks:,}") if table.chunks else ("", "")
    return (
        table.name,
        f"{table.rows:,}",
        _bytes(table.bytes),
        *chunks,
        _bytes(table.before),
        _bytes(table.after),
        saved,
    )


def _bytes(count: int | None) -> str:
    """Return a number of bytes as people write it.

    >>> _bytes(1536)
    '1.5 KiB'
    """
    if count is None:
        return ""
    power = min(max(count.bit_length() - 1, 0) // 10, len(UNITS) - 1)
    return f"{count / 1024**power:,.1f} {UNITS[power]}" if power else f"{count} B"
