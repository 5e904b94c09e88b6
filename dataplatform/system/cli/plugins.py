"""`python -m dataplatform.system plugins`: what is installed, what it can do, and how it is told to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
import msgspec

from dataplatform.dsl.records.kinds import kinds, refused_kinds
from dataplatform.errors import Permanent
from dataplatform.system.cli.options import USAGE, leave
from dataplatform.system.config.catalogue import Entry, Option, catalogue, markdown

__all__ = ["plugins_command"]

EXAMPLE = """\b
Examples:
  python -m dataplatform.system plugins
  python -m dataplatform.system plugins --json
"""


@click.command("plugins", epilog=EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects, one per source, target or client.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the tables of operations that the README has.")
def plugins_command(*, as_json: bool, as_markdown: bool) -> None:
    """List the sources, targets, kinds of client and of record that are installed: what they can do, and their options.

    They come from the entry points dataplatform.sources, dataplatform.targets and dataplatform.clients of all installed
    packages, and the kinds of record, of dataplatform.kinds, come after them. One that cannot be used is listed with
    the reason, and harms no other.
    """
    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    try:
        entries = catalogue()
    except Permanent as error:
        leave(USAGE, str(error))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(entries), indent=2))
    elif as_markdown:
        click.echo(markdown(entries))
    else:
        click.echo("\n\n".join(["\n".join(_lines(entry)) for entry in entries] + list(map("\n".join, _kinds()))))


def _kinds() -> Iterator[list[str]]:
    """Return what is to be said of the kinds of record, those that cannot be used with the reason."""
    for kind in kinds():
        yield [
            f"kind of record {kind.name} ({kind.type.__module__}:{kind.type.__qualname__})",
            f"  table {kind.table}, topic {kind.topic}, by {kind.message_key}",
            f"  operations: {', '.join(kind.operations) or 'none of its own'}",
        ]
    for point, reason in refused_kinds().items():
        yield [f"kind of record {point}", f"  cannot be used: {reason}"]


def _lines(entry: Entry) -> Iterator[str]:
    package = f"{entry.package} {entry.version}" if entry.package else "unknown package"
    yield f"{entry.side.removesuffix('s')} {entry.kind} ({package})"
    if entry.error is not None:
        yield f"  cannot be used: {entry.error}"
        return
    through = f", through a client of kind {' or '.join(entry.clients)}" if entry.clients else ""
    yield f"  {entry.technology}{through}: {entry.summary}"
    what, able = ("abilities", entry.abilities) if entry.side == "clients" else ("operations", entry.operations)
    yield f"  {what}: {', '.join(able) or 'none'}"
    yield "  options:"
    yield from _table(entry.options, "    ")


def _table(options: Sequence[Option], indent: str) -> Iterator[str]:
    keys = max((len(option.key) for option in options), default=0)
    types = max((len(option.type) for option in options), default=0)
    for option in options:
        default = "required" if option.default is None else f"default {option.default}"
        yield f"{indent}{option.key:{keys}}  {option.type:{types}}  {option.help} ({default})"
        yield from _table(option.options, indent + "    ")
