"""The commands for a platform that already runs: `attach`, and the same functions for scripts."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from dataplatform.base.agent import State
from dataplatform.errors import PlatformError
from dataplatform.notebook import plain
from dataplatform.result import Failure, get_data
from dataplatform.services.gateway.client import RemotePlatform
from dataplatform.services.gateway.operations import operations
from dataplatform.services.gateway.requests import MOST_MESSAGES
from dataplatform.services.service import Phase
from dataplatform.system.console.prompt import Prompt, require_ipython
from dataplatform.system.console.shown import on_screen
from dataplatform.system.console.table import TableView
from dataplatform.system.platform.home import default_data_dir

__all__ = [
    "attach_command",
    "drain_command",
    "pause_command",
    "restart_command",
    "resume_command",
    "skip_command",
    "status_command",
    "tail_command",
    "top_command",
]

T = TypeVar("T")
FAILED, USAGE, NOBODY = 1, 2, 3
UNREACHABLE = ("not_running", "stale", "not_yours", "no_socket", "other_version")
STATUS_OF = {"not_installed": USAGE, **dict.fromkeys(UNREACHABLE, NOBODY)}
TIMEOUT = 20.0  # seconds
REFRESH = 1.0
WIDTH = 120  # of what is printed where there is no terminal
STATUSES = "Exit status: 0 done; 1 the platform answered with a failure; 2 wrong usage; 3 no platform was reached."
LEAVING = "Ctrl-D or exit leaves; the platform runs on."

Command = Callable[..., None]


def control_command(example: str) -> Callable[[Command], click.Command]:
    """Make a command that is given the platform of `--data-dir` or `--demo` as its first argument."""

    def make(run: Command) -> click.Command:
        def command(*, data_dir: Path | None, demo: bool, **options: Any) -> None:
            folder = (data_dir or default_data_dir(demo=demo)).expanduser().absolute()
            try:
                run(RemotePlatform(folder, demo), **options)
            except PlatformError as error:
                _fail(error)

        command.__doc__ = f"{run.__doc__}\n\n{STATUSES}"
        command.__click_params__ = getattr(run, "__click_params__", [])  # type: ignore[attr-defined]
        for option in (
            click.option(
                "--data-dir",
                type=click.Path(path_type=Path),
                metavar="DIR",
                help="The data directory of the platform; by default the user's, apart for --demo.",
            ),
            click.option("--demo", is_flag=True, help="The platform that was started with --demo."),
        ):
            command = option(command)
        name = run.__name__.removesuffix("_command")
        return click.command(name, epilog=f"\b\nExample:\n  python -m dataplatform.system {example}\n")(command)

    return make


@control_command("attach --demo")
def attach_command(platform: RemotePlatform) -> None:
    """Open a prompt on a platform that already runs."""
    require_ipython()
    Prompt(platform, platform, LEAVING).run()


@control_command("status --json")
@click.option("--json", "as_json", is_flag=True, help="Print one object of JSON, as in a report.")
def status_command(platform: RemotePlatform, *, as_json: bool) -> None:
    """Show the agents, routes and tables of a running platform."""
    if as_json:
        click.echo(json.dumps(platform.status_as_json(), indent=2))
    else:
        _show(platform.status())


@control_command("pause coingecko")
@click.argument("name")
def pause_command(platform: RemotePlatform, *, name: str) -> None:
    """Have a source read nothing, until it is resumed; what is in flight settles."""
    _operate(platform, "pause", source=name)
    click.echo(f"{name} is paused")


@control_command("resume coingecko")
@click.argument("name")
def resume_command(platform: RemotePlatform, *, name: str) -> None:
    """Have a paused source read on."""
    _operate(platform, "resume", source=name)
    click.echo(f"{name} reads on")


@control_command("restart coingecko")
@click.argument("name")
def restart_command(platform: RemotePlatform, *, name: str) -> None:
    """Stop an agent in good order, and start it anew; returns when it runs again."""
    _operate(platform, "restart", agent=name)
    paused = any(agent.name == name and agent.state is State.PAUSED for agent in platform.status().agents)
    click.echo(f"{name} was restarted{', and is still paused' if paused else ''}")


@control_command("skip crypto-prices/2")
@click.argument("partition", metavar="TOPIC/PARTITION", callback=lambda _context, _option, value: _partition(value))
def skip_command(platform: RemotePlatform, *, partition: tuple[str, int]) -> None:
    """Give up the batch that cannot be read and holds a partition up: it becomes a dead letter.

    Its bytes are kept there, with its offsets and codec. It is tried once more before; reading goes on behind it.
    """
    given_up = _operate(platform, "skip", topic=partition[0], partition=partition[1])
    click.echo(f"given up, unless it can be read by now: {given_up}")


@control_command("drain --demo")
def drain_command(platform: RemotePlatform) -> None:
    """Drain and stop a running platform; returns when it has stopped."""
    get_data(platform.drain())
    click.echo("drained and stopped")


@control_command("tail crypto-prices -n 3")
@click.argument("topic")
@click.option("-n", "most", type=click.IntRange(1, MOST_MESSAGES), default=10, show_default=True, help="How many.")
def tail_command(platform: RemotePlatform, *, topic: str, most: int) -> None:
    """Print the last messages of a topic, oldest first: time, partition/offset, key and value, divided by tabs."""
    for message in _operate(platform, "tail", topic=topic, most=most):
        where = f"{message.partition}/{message.offset}"
        when = message.time.isoformat() if isinstance(message.time, datetime) else str(message.time)
        click.echo("\t".join([when, where, plain(message.key or ""), plain(message.value or "")]))


@control_command("top --demo")
def top_command(platform: RemotePlatform) -> None:
    """Show a running platform as a live table, until Ctrl-C."""
    console = Console()
    if not console.is_terminal:
        raise click.UsageError("top needs a terminal; use status")
    status = platform.status()
    with suppress(KeyboardInterrupt):
        with TableView(console) as table:
            while status.phase is not Phase.STOPPED:
                table.show(status)
                time.sleep(REFRESH)
                answer = platform.look()
                if isinstance(answer, Failure):
                    break
                status = answer.data
        click.echo(
            f"the platform has ended: {answer.error}" if isinstance(answer, Failure) else "the platform has ended"
        )


def _partition(text: str) -> tuple[str, int]:
    topic, _, number = text.rpartition("/")
    if not topic or not number.isdecimal():
        raise click.BadParameter(f"expected a topic and the number of a partition, like crypto-prices/2, got {text!r}")
    return topic, int(number)


def _operate(platform: RemotePlatform, operation: str, **arguments: Any) -> Any:
    """Have an operation carried out, and return what it answers; raises `PlatformError`."""
    asked = operations()[operation].asked(TIMEOUT, **arguments)
    return get_data(platform.ask(asked.agent, asked.request, asked.timeout))


def _show(value: Any) -> None:
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else WIDTH
    click.echo(on_screen(value, width, colour=terminal))


def _fail(error: PlatformError) -> NoReturn:
    click.echo(str(error), err=True)
    sys.exit(STATUS_OF.get(error.code, FAILED))
