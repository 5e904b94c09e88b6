"""The command `run`: a platform runs until it is interrupted, or its topology is only checked."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from dataplatform.errors import PlatformError
from dataplatform.system.cli.check import unreachable, wiring
from dataplatform.system.cli.mcp import require_port, with_server
from dataplatform.system.cli.options import Duration, HostAndPort
from dataplatform.system.cli.running import Run, Signals
from dataplatform.system.config.topology import DEFAULT, ConfigurationError, Topology, load_topology, locate
from dataplatform.system.console.logs import LogFile, configure_logs
from dataplatform.system.console.prompt import PromptView, open_prompt, require_ipython
from dataplatform.system.console.table import TableView
from dataplatform.system.console.view import LineView, View
from dataplatform.system.platform.home import default_data_dir
from dataplatform.system.platform.platform import Platform
from dataplatform.system.platform.servers import require_installed

__all__ = ["run_command"]

EXIT_USAGE = 2
GATEWAY = "gateway"  # the service of `--http`, where the topology has none
EXAMPLE = """\b
Example:
  python -m dataplatform.system --demo --run-for 20 --report report.json
"""


@click.command("run", epilog=EXAMPLE)
@click.argument("topology", required=False, type=click.Path(path_type=Path))
@click.option("--demo", is_flag=True, help="Use the simulator as CoinGecko; needs no network.")
@click.option("--check", is_flag=True, help="Validate the topology, print its wiring, and run nothing.")
@click.option("--connect", is_flag=True, help="With --check: also reach every server that is not embedded.")
@click.option(
    "--run-for",
    type=Duration(),
    metavar="SECONDS",
    help="Drain and stop so long after everything was ready; 30s and 5m will do too.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where embedded servers keep their data; by default the user's data directory, apart for --demo.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the final account as JSON, whatever the end is.",
)
@click.option(
    "--http",
    type=HostAndPort(),
    metavar="HOST:PORT",
    help="Let AI agents in (MCP) at http://HOST:PORT/mcp; hosts other than this one need tokens, in the topology.",
)
@click.option("--repl", is_flag=True, help="Open a prompt on the running platform; its log then goes to a file.")
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    default="console",
    show_default=True,
    help="For people, with a live table on a terminal, or an object of JSON a line, on standard error.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least important lines to show.",
)
def run_command(
    topology: Path | None,
    *,
    demo: bool,
    check: bool,
    connect: bool,
    run_for: float | None,
    data_dir: Path | None,
    report: Path | None,
    http: tuple[str, int] | None,
    repl: bool,
    log_format: str,
    log_level: str,
) -> None:
    """Run a platform until it is interrupted; the built-in topology if no TOPOLOGY.toml is given.

    The built-in one reads CoinGecko, publishes to the topic crypto-prices, and stores in TimescaleDB, on embedded
    servers. The first Ctrl-C drains and stops, a second one stops at once.

    Exit status: 0 drained and stopped; 1 the supervisor gave up, records that cannot be read again were left, or the
    report could not be written; 2 wrong usage or configuration; 130 or 143 stopped at once by a signal
    that came while it drained.
    """
    if connect and not check:
        raise click.UsageError("--connect goes with --check")
    if repl and run_for is not None:
        raise click.UsageError("--run-for does not go with --repl, which ends when you leave it")
    file = topology or DEFAULT
    loaded = _load(file)
    if http is not None:
        loaded = _with_gateway(loaded, *http, taken=not check)
    if check:
        _check(loaded, file, connect=connect, demo=demo)
        return
    if report is not None:
        _require_folder(report)
    log = _log_file(data_dir or default_data_dir(demo=demo)) if repl else None
    view = _view(log_format, log_level, log)
    with Signals.watch() as signals:
        try:
            platform = Platform.start(loaded, demo=demo, data_dir=data_dir, wait=False)
        except PlatformError as error:
            _refuse([str(error)])
        prompt = (
            None if log is None else partial(open_prompt, platform, log.path, click.echo, lambda: bool(signals.numbers))
        )
        status = Run(platform, view, signals, run_for, report, prompt).run()
        if repl and platform.reason:
            click.echo(f"gave up: {platform.reason}", err=True)  # the promised last line; its log is in a file
    sys.exit(status)


def _load(path: Path) -> Topology:
    try:
        return load_topology(path)
    except ConfigurationError as error:
        _refuse(error.lines)


def _with_gateway(topology: Topology, host: str, port: int, *, taken: bool) -> Topology:
    """Return the topology with a gateway at that address, which is free where it is to be `taken`."""
    try:
        served, name = with_server(topology, {"host": host, "port": port, "transport": "http"}, GATEWAY)
        if taken:
            require_port(served.services[name].options)
    except ValueError as error:
        _refuse([f"--http: {error}"])
    return served


def _check(topology: Topology, file: Path, *, connect: bool, demo: bool) -> None:
    for line in wiring(topology, demo=demo):
        click.echo(line)
    try:
        require_installed(topology)
    except PlatformError as error:
        _refuse([str(error)])
    if connect:
        configure_logs("console", "error")
        if problems := unreachable(topology, demo=demo):
            _refuse(locate(file, problems))
    click.echo(f"{file}: ok")


def _require_folder(report: Path) -> None:
    """Refuse, before anything runs, a report that could not be written in the end."""
    folder = report.absolute().parent
    if not folder.is_dir():
        _refuse([f"--report: there is no directory {folder}; create it, or choose another"])
    if not os.access(folder, os.W_OK | os.X_OK):
        _refuse([f"--report: the directory {folder} cannot be written; choose another"])


def _log_file(data_dir: Path) -> LogFile:
    """Return where the log goes while somebody types; refuse where there can be neither log nor prompt."""
    try:
        require_ipython()
        return LogFile.open(data_dir.expanduser())
    except PlatformError as error:
        _refuse([str(error)])
    except OSError as error:
        _refuse([f"--repl: no log can be kept in {data_dir}: {error.strerror}; choose another with --data-dir"])


def _view(log_format: str, log_level: str, log: LogFile | None) -> View:
    """Return the live table on a terminal, else lines; and send the log where it does not disturb either."""
    if log is not None:
        configure_logs(log_format, log_level, stream=log)
        return PromptView(click.echo)
    console = Console()
    if log_format == "console" and console.is_terminal and not console.is_dumb_terminal:
        table = TableView(console)
        configure_logs(log_format, log_level, stream=table if sys.stderr.isatty() else None)
        return table
    configure_logs(log_format, log_level)
    return LineView()


def _refuse(lines: Any) -> NoReturn:
    """Print what is wrong, a line each, and exit with status 2."""
    for line in lines:
        click.echo(line, err=True)
    sys.exit(EXIT_USAGE)
