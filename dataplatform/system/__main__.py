"""The command line: `python -m dataplatform.system [run] [TOPOLOGY.toml] [--demo] …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from dataplatform.errors import PlatformError
from dataplatform.system.check import unreachable, wiring
from dataplatform.system.logs import configure_logs, secrets_of
from dataplatform.system.platform import Platform
from dataplatform.system.running import Run
from dataplatform.system.topology import ConfigurationError, Topology, default_topology, load_topology
from dataplatform.system.view import LineView, TableView, View

__all__ = ["main"]

EXIT_USAGE = 2


class RunByDefault(click.Group):
    """A group whose command `run` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in {"--help", "-h"}):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunByDefault, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Move cryptocurrency market data from sources to targets, and lose none of it.

    Without a command it runs: see `run --help`.
    """


@main.command(
    epilog="Example: python -m dataplatform.system --demo --run-for 20 --report report.json",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("topology", required=False, type=click.Path(path_type=Path))
@click.option("--demo", is_flag=True, help="Use the simulator as CoinGecko; needs no network.")
@click.option("--check", is_flag=True, help="Validate the topology, print its wiring, and run nothing.")
@click.option("--connect", is_flag=True, help="With --check: also reach every server that is not embedded.")
@click.option("--run-for", type=click.FloatRange(min=0), metavar="SECONDS", help="Drain and stop after so long.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=True),
    help="Where embedded servers keep their data; by default the user's data directory, apart for --demo.",
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the final account as JSON.")
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
def run(
    topology: Path | None,
    *,
    demo: bool,
    check: bool,
    connect: bool,
    run_for: float | None,
    data_dir: Path | None,
    report: Path | None,
    log_format: str,
    log_level: str,
) -> None:
    """Run a platform until it is interrupted; the built-in topology if no TOPOLOGY.toml is given.

    The built-in one reads CoinGecko, publishes to the topic crypto-prices, and stores in TimescaleDB, on embedded
    servers. The first Ctrl-C drains and stops, a second one stops at once.

    Exit status: 0 drained and stopped, 1 the supervisor gave up, 2 wrong usage or configuration.
    """
    if connect and not check:
        raise click.UsageError("--connect goes with --check")
    loaded = _load(topology)
    if check:
        _check(loaded, str(topology or "default topology"), connect=connect)
        return
    if report is not None and not report.absolute().parent.is_dir():
        _refuse([f"--report: there is no directory {report.absolute().parent}"])
    console = Console()
    live = console.is_terminal and log_format == "console"
    configure_logs(log_format, log_level, secrets_of(loaded), console.file if live else None)
    try:
        platform = Platform.start(loaded, demo=demo, data_dir=data_dir, wait=False)
    except PlatformError as error:
        _refuse([str(error)])
    view: View = TableView(console) if live else LineView()
    sys.exit(Run(platform, view, run_for, report).run())


def _load(path: Path | None) -> Topology:
    try:
        return load_topology(path) if path else default_topology()
    except ConfigurationError as error:
        _refuse(error.lines)


def _check(topology: Topology, name: str, *, connect: bool) -> None:
    for line in wiring(topology):
        click.echo(line)
    if connect:
        configure_logs("console", "error", secrets_of(topology))
        if problems := unreachable(topology):
            _refuse([f"{name}: client {client!r} cannot be reached: {reason}" for client, reason in problems])
    click.echo(f"{name}: ok")


def _refuse(lines: list[str]) -> NoReturn:
    """Print what is wrong, a line each, and exit with status 2."""
    for line in lines:
        click.echo(line, err=True)
    sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main(prog_name="python -m dataplatform.system")
