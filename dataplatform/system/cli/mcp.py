"""`python -m dataplatform.system mcp`: a platform that AI agents may ask, and tokens for those who do so by network."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
from attrs import evolve

from dataplatform.base.net.serving import listen
from dataplatform.errors import PlatformError
from dataplatform.services.gateway.operations import RIGHTS
from dataplatform.services.gateway.options import GatewayOptions, digest
from dataplatform.services.gateway.service import Gateway
from dataplatform.system.cli.running import Run, Signals
from dataplatform.system.config.specs import ServiceSpec, Topology
from dataplatform.system.config.topology import DEFAULT, ConfigurationError, load_topology
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.console.view import LineView
from dataplatform.system.platform.platform import Platform

__all__ = ["mcp_command", "require_port", "with_server"]

USAGE = 2
NAME = "mcp"
LOOK = 0.2  # seconds between looks at whether the client is still there
EXAMPLES = """\b
Examples:
  python -m dataplatform.system mcp --demo
  python -m dataplatform.system mcp --transport stdio my.toml
  python -m dataplatform.system mcp token --name laptop --right read
"""


class ServeByDefault(click.Group):
    """A group whose command `serve` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group("mcp", cls=ServeByDefault, epilog=EXAMPLES)
def mcp_command() -> None:
    """Run a platform that AI agents may ask (MCP), over HTTP or as a child process of theirs.

    The command `serve` may be left out; its options are shown by `mcp serve --help`.
    """


@mcp_command.command("serve", epilog=EXAMPLES)
@click.argument("topology", required=False, type=click.Path(path_type=Path))
@click.option(
    "--transport",
    type=click.Choice(["http", "stdio"]),
    help="http, or stdio for a client that starts this command itself. By default what the topology says, else http.",
)
@click.option("--host", help="The address to listen on; 127.0.0.1 by default. Others need tokens, in the topology.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port; 8765 by default, 0 takes a free one.")
@click.option("--allow-writes", is_flag=True, help="Offer the writing operations and run_pipe too.")
@click.option("--demo", is_flag=True, help="Use the simulator as CoinGecko; needs no network.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where embedded servers keep their data; by default the user's data directory, apart for --demo.",
)
@click.option(
    "--log-format", type=click.Choice(["console", "json"]), default="console", help="Of the log, on standard error."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="The least important lines to show.",
)
def serve_command(
    topology: Path | None,
    *,
    transport: str | None,
    host: str | None,
    port: int | None,
    allow_writes: bool,
    demo: bool,
    data_dir: Path | None,
    log_format: str,
    log_level: str,
) -> None:
    """Run a topology with an MCP server: its own (a service of kind = "gateway"), or one with the options given.

    Over stdio nothing but the protocol goes to standard output, and the platform drains and stops when the input
    ends. Over HTTP the server is at /mcp; the log says where.

    Exit status: as for `run`.
    """
    given = {"transport": transport, "host": host, "port": port, "allow_writes": allow_writes or None}
    try:
        loaded, name = with_server(load_topology(topology or DEFAULT), given)
        require_port(loaded.services[name].options)
    except ConfigurationError as error:
        _refuse(error.lines)
    except (ValueError, PlatformError) as error:
        _refuse([str(error)])
    configure_logs(log_format, log_level)
    with Signals.watch() as signals:
        try:
            platform = Platform.start(loaded, demo=demo, data_dir=data_dir, wait=False)
        except PlatformError as error:
            _refuse([str(error)])
        until = partial(_while_served, platform, name, signals)
        status = Run(platform, LineView(), signals, prompt=until).run()
    sys.exit(status)


@mcp_command.command("token")
@click.option("--name", default="client", show_default=True, help="Who gets it, for the log.")
@click.option(
    "--right", "rights", type=click.Choice(RIGHTS), multiple=True, default=["read"], help="What it allows; repeatable."
)
def token_command(name: str, rights: tuple[str, ...]) -> None:
    """Make a token: print it, once, and the line of the topology that lets it in and holds only its hash.

    The client sends it as the header `Authorization: Bearer TOKEN`.
    """
    token = secrets.token_urlsafe(32)
    shown = ", ".join(f'"{right}"' for right in rights)
    click.echo(f"token, which is kept nowhere:  {token}")
    click.echo("in the topology, under the service's table:")
    click.echo(f'tokens = [{{ name = "{name}", sha256 = "{digest(token)}", rights = [{shown}] }}]')


def with_server(topology: Topology, given: dict[str, Any], called: str = NAME) -> tuple[Topology, str]:
    """Return the topology with an MCP server that has the options given, and the server's name.

    One that the topology lacks is `called` so.

    Raises `ValueError` for options that do not go together.
    """
    changes = {key: value for key, value in given.items() if value is not None}
    services = dict(topology.services)
    own = next((name for name, spec in services.items() if isinstance(spec.options, GatewayOptions)), None)
    name = own or called
    options = services[own].options if own else GatewayOptions()
    services[name] = ServiceSpec(services[own].cls if own else Gateway, evolve(options, **changes))
    return evolve(topology, services=services), name


def require_port(options: GatewayOptions) -> None:
    """Refuse, before anything runs, an address that cannot be listened on."""
    if options.transport == "stdio":
        return
    try:
        listen(options.host, options.port).close()
    except OSError as error:
        raise ValueError(f"cannot listen on {options.host}:{options.port}: {error.strerror}; choose another") from error


def _while_served(platform: Platform, name: str, signals: Signals) -> None:
    """Return when a signal came, the platform has ended, or the server has because its client has gone."""
    while not (signals.numbers or platform.wait_end(0)):
        entry = platform.runtime.directory.entry(name)
        if entry is not None and entry.ended:
            return
        signals.came.wait(LOOK)


def _refuse(lines: Iterable[str]) -> NoReturn:
    for line in lines:
        click.echo(line, err=True)
    sys.exit(USAGE)
