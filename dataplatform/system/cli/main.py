"""The command line: `dataplatform [run] [TOPOLOGY.toml] [--demo] …`; each command is loaded when it is called.

`python -m dataplatform` and `python -m dataplatform.system` are the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from attrs import frozen
from click.shell_completion import CompletionItem

from dataplatform.output import take_any_text
from dataplatform.redaction import redact_tracebacks, redacted
from dataplatform.suggestions import suggestion

__all__ = ["COMMANDS", "Named", "main"]

NAME = re.compile(r"[a-z][a-z-]*")  # of a command; no option, and no file with an ending


@frozen
class Named:
    """A command that is not loaded yet: its module below `dataplatform.system.cli`, and its line in the list."""

    module: str
    about: str

    def within(self, room: int) -> str:
        """Return its line, shortened to that many characters."""
        return click.Command(None, help=self.about).get_short_help_str(room)

    def load(self, name: str) -> click.Command:
        """Import the command, which its module calls `dead_letters_command` where its name is `dead-letters`."""
        found = getattr(import_module(f"dataplatform.system.cli.{self.module}"), f"{name.replace('-', '_')}_command")
        assert isinstance(found, click.Command)
        return found


COMMANDS = {
    "attach": Named("operate", "Open a prompt on a platform that already runs."),
    "backfill": Named(
        "data.backfill", "Find what is missing in the stored history of coins, and fill it from CoinGecko."
    ),
    "dead-letters": Named(
        "data.dead_letters", "Look at what could not be decoded or written, and write it after a fix, or drop it."
    ),
    "drain": Named("operate", "Drain and stop a running platform; returns when it has stopped."),
    "mcp": Named("mcp", "Run a platform that AI agents may ask (MCP), over HTTP or as a child process of theirs."),
    "migrate": Named(
        "data.migrate", "Bring the databases of a topology up to date, with the data in them; then print what was done."
    ),
    "pause": Named("operate", "Have a source read nothing, until it is resumed; what is in flight settles."),
    "plugins": Named(
        "plugins",
        "List the sources, targets, kinds of client and of record that are installed: what they can do, and their"
        " options.",
    ),
    "positions": Named(
        "data.positions",
        "Look at up to where the records of a consumer group are stored in databases, or forget it.",
    ),
    "replay": Named(
        "data.replay", "Read what a topic held between two times once more, and write it to a target; then end."
    ),
    "restart": Named("operate", "Stop an agent in good order, and start it anew; returns when it runs again."),
    "resume": Named("operate", "Have a paused source read on."),
    "run": Named("run", "Run a platform until it is interrupted; the built-in topology if no TOPOLOGY.toml is given."),
    "skip": Named(
        "operate", "Give up the batch that cannot be read and holds a partition up: it becomes a dead letter."
    ),
    "status": Named("operate", "Show the agents, routes and tables of a running platform."),
    "storage": Named(
        "data.storage", "Show how many rows and bytes each table takes, and what compression saved of them."
    ),
    "tail": Named(
        "operate",
        "Print the last messages of a topic, oldest first: time, partition/offset, key and value, divided by tabs.",
    ),
    "top": Named("operate", "Show a running platform as a live table, until Ctrl-C."),
}
OPTIONS = ["-h", "--help", "--version"]
HELP: Mapping[str, Any] = {"help_option_names": OPTIONS[:2], "max_content_width": 100}  # every command inherits it
EXAMPLES = """\b
Examples:
  python -m dataplatform.system                CoinGecko, a topic, a database
  python -m dataplatform.system --demo         the same on simulated prices
  python -m dataplatform.system my.toml --check
"""


class Commands(click.Group):
    """The commands, each loaded when it is called; `run` may be left out."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        return COMMANDS[cmd_name].load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading any."""
        del ctx
        room = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.within(room)) for name, one in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without loading any, and options."""
        if not incomplete.startswith("-"):
            return [CompletionItem(name, help=COMMANDS[name].about) for name in COMMANDS if name.startswith(incomplete)]
        return click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = redacted(error.message)  # it may repeat an argument
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in COMMANDS or args[0] in OPTIONS)
        if not (
            named or (ctx.resilient_parsing and not args)
        ):  # a shell that completes has all commands to choose from
            if args and NAME.fullmatch(args[0]) and not Path(args[0]).exists():
                raise click.UsageError(
                    f"no command and no file is called {args[0]!r}{suggestion(args[0], COMMANDS)}", ctx
                )
            args = ["run", *args]
        return super().parse_args(ctx, args)


def _print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:  # noqa: FBT001  click's form
    if asked and not ctx.resilient_parsing:
        from dataplatform.version import __version__  # noqa: PLC0415  reads the installed metadata

        click.echo(f"dataplatform {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings=HELP, epilog=EXAMPLES)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version, and exit.",
)
def main() -> None:
    """Move cryptocurrency market data from sources to targets, and lose none of it.

    The command `run` may be left out; its options are shown by `run --help`.
    """


def console(name: str = "dataplatform") -> None:
    """Be the program of that name; `python -m dataplatform` is `dataplatform` as well."""
    take_any_text()
    redact_tracebacks()
    main(prog_name=name)
