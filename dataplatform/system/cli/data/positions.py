"""`python -m dataplatform.system positions list|forget`: up to where a group's records are stored in databases."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.base.position import ForgetPositions, Position, ReadPositions
from dataplatform.base.streaming.log import GroupOffsets, NoteRead, ReadGroupOffsets
from dataplatform.dsl.flow.target import reader_of
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, get_data
from dataplatform.suggestions import suggestion
from dataplatform.system.cli.data.partial import LOG, at_work, log_source, only
from dataplatform.system.cli.options import LEFT_OVER, Patience, common_options, framed
from dataplatform.system.cli.running import Signals
from dataplatform.system.config.topology import Topology
from dataplatform.system.platform.platform import Platform

__all__ = ["positions_command"]

T = TypeVar("T")
TIMEOUT = 15.0  # seconds
EXAMPLES = """\b
Examples:
  python -m dataplatform.system positions list dataplatform --topic crypto-prices my.toml
  python -m dataplatform.system positions forget dataplatform --topic crypto-prices my.toml
  python -m dataplatform.system positions forget dataplatform --topic crypto-prices --partition 2 --reread --demo
"""


@click.group("positions", epilog=EXAMPLES)
def positions_command() -> None:
    """Look at up to where the records of a consumer group are stored in databases, or forget it.

    A database keeps these positions beside the rows, and leaves out what they say it has. Where its rows are gone, and
    the group is set back to read them again, the positions have to be forgotten first.

    Exit status: 0 all went well; 1 there is nothing of the kind, or a server cannot be reached; 2 wrong usage or
    configuration, or the group is running.
    """


@positions_command.command("list", epilog=EXAMPLES)
@click.argument("group")
@common_options
@click.option("--topic", required=True, metavar="NAME", help="The topic.")
def list_command(
    topology: Path | None, *, group: str, demo: bool, data_dir: Path | None, patience: float, topic: str
) -> None:
    """Show up to which offset each partition is stored, by target."""
    with _open(topology, group, demo=demo, data_dir=data_dir, patience=patience) as stored:
        found = stored.find(stored.group_offsets(topic, idle=False).reader, topic)
    for target, positions in found.items():
        for one in positions:
            click.echo(f"{target}: {one.stream}/{one.partition} is stored up to offset {one.next}")
    _end(found, f"no positions of the group {group!r} in the topic {topic!r} are stored")


@positions_command.command("forget", epilog=EXAMPLES)
@click.argument("group")
@common_options
@click.option("--topic", required=True, metavar="NAME", help="The topic.")
@click.option("--partition", type=click.IntRange(min=0), metavar="N", help="This partition only; by default all.")
@click.option("--reread", is_flag=True, help="And set the group back, so that it reads all that the topic still holds.")
def forget_command(
    topology: Path | None,
    *,
    group: str,
    demo: bool,
    data_dir: Path | None,
    patience: float,
    topic: str,
    partition: int | None,
    reread: bool,
) -> None:
    """Forget up to where the records of a group are stored, in every target it writes to; refused while it runs.

    The group then stores whatever it reads: it goes on from its committed offsets, or with --reread from the beginning
    of the topic. Tables with a key have each row once all the same; one without a key has those that are still there
    twice, so empty it before.
    """
    with _open(topology, group, demo=demo, data_dir=data_dir, patience=patience) as stored:
        offsets = stored.group_offsets(topic, idle=True)
        chosen = [number for number in offsets.first if partition in {None, number}]
        if reread:
            stored.set_back(topic, {number: offsets.first[number] for number in chosen})
        found = stored.forget(offsets.reader, topic, partition)
    for target, positions in found.items():
        for one in positions:
            click.echo(f"{target}: {one.stream}/{one.partition} was stored up to offset {one.next}; forgotten")
    for number in chosen:
        begin = offsets.first[number] if reread else offsets.committed.get(number)
        where = "where its source says, as it has committed nothing" if begin is None else f"at offset {begin}"
        click.echo(f"{group} reads {topic}/{number} on {where}")
    _end(found, f"no positions of the group {group!r} in the topic {topic!r} were stored")


@frozen
class StoredPositions:
    """What a group has stored: the topology's agents that know it, and the client of each target it writes to."""

    platform: Platform
    targets: Mapping[str, str]
    patience: Patience

    def group_offsets(self, topic: str, *, idle: bool) -> GroupOffsets:
        """Return how far the group has committed; where it is to be `idle`, raises `Permanent` while it is running."""
        answer = self._ask(LOG, ReadGroupOffsets(topic, idle))
        if isinstance(answer, Failure) and answer.error.code == "group_in_use":
            remedy = (
                "stop every platform that reads with it; one that was killed is forgotten after its session_timeout"
            )
            raise Permanent("group_in_use", "the group is running, and would store on", remedy=remedy)
        return get_data(answer)

    def set_back(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Commit these offsets for the group."""
        get_data(self._ask(LOG, NoteRead(topic, tuple(offsets.items()))))

    def find(self, reader: str, topic: str) -> dict[str, list[Position]]:
        """Return the positions in a topic, by target."""
        found = {
            target: get_data(self._ask(client, ReadPositions(reader_of(reader, target))))
            for target, client in self.targets.items()
        }
        return {target: [one for one in positions if one.stream == topic] for target, positions in found.items()}

    def forget(self, reader: str, topic: str, partition: int | None) -> dict[str, list[Position]]:
        """Delete the positions in a topic, and return them by target."""
        return {
            target: list(get_data(self._ask(client, ForgetPositions(reader_of(reader, target), topic, partition))))
            for target, client in self.targets.items()
        }

    def _ask(self, agent: str, request: Request[T]) -> Result[T]:
        return self.patience.ask(partial(self.platform.address(agent).ask, request, TIMEOUT))


@contextmanager
def _open(
    path: Path | None, group: str, *, demo: bool, data_dir: Path | None, patience: float
) -> Iterator[StoredPositions]:
    """Yield what a group of the topology has stored; raises `Permanent` where it has no such group."""
    with framed(path) as topology, Signals.watch() as signals:
        cluster, targets = _written_by(topology, group)
        parts = only(topology, targets, log_source(cluster, group))
        with at_work(parts, demo=demo, data_dir=data_dir) as platform:
            clients = {name: platform.connections[topology.targets[name].options.client].agents[0] for name in targets}
            yield StoredPositions(platform, clients, Patience(patience, signals.came))


def _written_by(topology: Topology, group: str) -> tuple[str, list[str]]:
    """Return the client by which a group reads, and the targets that keep its positions."""
    groups = {name: own for name, spec in topology.sources.items() if (own := spec.cls.group(spec.options)) is not None}
    found = [name for name, own in groups.items() if own == group]
    if not found:
        known = sorted({*groups.values()})
        there = f"; there are {', '.join(known)}" if known else ""
        raise Permanent("unknown_group", f"no source reads as the group {group!r}{suggestion(group, known)}{there}")
    targets = [
        target
        for target in dict.fromkeys(target for name in found for target in topology.targets_of(name))
        if topology.targets[target].cls.keeps_positions
    ]
    if not targets:
        raise Permanent("no_positions", f"the group {group!r} writes to no database, so none keeps its positions")
    return topology.sources[found[0]].options.client, targets


def _end(found: Mapping[str, Sequence[Position]], otherwise: str) -> None:
    """Say so, with status 1, where nothing was found."""
    if not any(found.values()):
        click.echo(otherwise, err=True)
        sys.exit(LEFT_OVER)
