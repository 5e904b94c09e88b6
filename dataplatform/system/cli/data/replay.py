"""`python -m dataplatform.system replay`: what a topic held at some time, read once more into a target."""

from __future__ import annotations

import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import click
from attrs import frozen

from dataplatform.base.streaming.log import FindStretches
from dataplatform.base.streaming.technology import Topics
from dataplatform.dsl.operations.registry import of_kinds
from dataplatform.dsl.records.kinds import Kind, kind_named, kinds
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import get_data
from dataplatform.suggestions import suggestion
from dataplatform.system.cli.data.dead_letter_store import kinds_of_topics
from dataplatform.system.cli.data.partial import LOG, at_work, log_source, only
from dataplatform.system.cli.data.reading import Pace, Reread, Rereading, Topic, length
from dataplatform.system.cli.options import LEFT_OVER, Moment, Patience, common_options, counted, framed
from dataplatform.system.cli.running import Signals
from dataplatform.system.config.topology import SourceSpec, Topology
from dataplatform.system.console.progress import log_level, progress

__all__ = ["replay_command"]

TIMEOUT = 15.0  # seconds
EXAMPLES = """\b
Examples:
  python -m dataplatform.system replay --topic crypto-prices --from 2026-11-01 --to 2026-11-02 my.toml
  python -m dataplatform.system replay --topic crypto-prices --from 1h --speed 10 --to-target database --demo
"""


@frozen
class Job:
    """What is replayed, from which client's cluster, into which targets."""

    topic: Topic
    client: str
    targets: tuple[str, ...]
    letters: str


@click.command("replay", epilog=EXAMPLES)
@common_options
@click.option("--topic", "name", required=True, metavar="NAME", help="The topic.")
@click.option("--kind", type=click.Choice([kind.name for kind in kinds()]), help="What is in it, if it is not known.")
@click.option("--from", "since", type=Moment(), required=True, metavar="TIME", help="Since when (UTC), or 2h (ago).")
@click.option("--to", "until", type=Moment(), metavar="TIME", help="Until when; by default what is there by now.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="N",
    help="So many times as fast as the messages were made; by default as fast as can be.",
)
@click.option("--to-target", "to", metavar="NAME", help="The target; by default those of the topic's own route.")
@click.option("--group", metavar="NAME", help="Note in this group how far it came, and go on there the next time.")
def replay_command(
    topology: Path | None,
    *,
    demo: bool,
    data_dir: Path | None,
    patience: float,
    name: str,
    kind: str | None,
    since: datetime,
    until: datetime | None,
    speed: float | None,
    to: str | None,
    group: str | None,
) -> None:
    """Read what a topic held between two times once more, and write it to a target; then end.

    No group of the platform is touched. What is no record, or is refused, becomes a dead letter. Interrupted or
    killed, it goes on where it was if it has a group; a batch may then be written again, which a table has once, by
    its key. It works beside a running platform.

    Exit status: 0 all of it was replayed, or became dead letters, which are kept; 1 some is left, and why; 2 wrong
    usage or configuration.
    """
    if until is not None and since >= until:
        raise click.UsageError(f"--from {since.isoformat()} is not before --to {until.isoformat()}")
    with framed(topology, level=log_level()) as loaded, Signals.watch() as signals, progress() as shown:
        job = _job(loaded, name, kind, to, group)
        patient = Patience(patience, signals.came, lambda _, why: shown.say(f"waiting: {why}"))
        parts = only(loaded, dict.fromkeys([*job.targets, job.letters]), log_source(job.client, group))
        with at_work(parts, demo=demo, data_dir=data_dir, writing=True) as platform:
            clock = platform.runtime.clock
            rereading = Rereading(
                job.topic,
                platform.address(LOG),
                {target: platform[target] for target in job.targets},
                platform[job.letters],
                patient,
                clock,
                Pace(speed, clock),
                shown,
                notes=group is not None,
            )
            stopped = _run(rereading, since, until)
    _tell(rereading.done, stopped)
    sys.exit(LEFT_OVER if stopped else 0)


def _run(rereading: Rereading, since: datetime, until: datetime | None) -> str:
    """Replay, and return what kept it from going on to the end."""
    try:
        find = FindStretches(rereading.topic.name, since, until)
        stretches = get_data(rereading.patience.ask(partial(rereading.log.ask, find, TIMEOUT)))
        if not stretches:
            return f"there is no topic {rereading.topic.name!r}"
        rereading.progress.begin(f"replaying {rereading.topic.name}", total=length(stretches))
        rereading.run(stretches)
    except PlatformError as error:
        return str(error)
    return ""


def _job(topology: Topology, name: str, kind: str | None, to: str | None, group: str | None) -> Job:
    """Return what is to be done; raises `Permanent` for what does not fit together."""
    known = kinds_of_topics(topology)
    found = kind_named(kind) if kind else known.get(name)
    if found is None:
        raise Permanent("unknown_topic", f"what is in {name!r} is not known{suggestion(name, known)}; or give --kind")
    _refuse_live(topology, group)
    origin = next((source for source, spec in topology.sources.items() if _reads(spec, name)), None)
    client = topology.sources[origin].options.client if origin else _first_cluster(topology)
    targets = (to,) if to else topology.targets_of(origin) if origin else ()
    if not targets or topology.dead_letters is None:
        raise Permanent("no_target", f"no route leads on from {name!r}", remedy="name a target with --to-target")
    for target in targets:
        _refuse_circle(topology, target, name, found, client)
    return Job(Topic(name, found, origin or "replay"), client, targets, topology.dead_letters)


def _reads(spec: SourceSpec, topic: str) -> bool:
    return topic in spec.cls.places(spec.options).values()


def _first_cluster(topology: Topology) -> str:
    names = [name for name, spec in topology.clients.items() if spec.technology.ability(Topics)]
    if not names:
        raise Permanent("no_topics", f"the topology has no client with topics{of_kinds(Topics)}")
    return names[0]


def _refuse_live(topology: Topology, group: str | None) -> None:
    """Keep away from the groups by which sources read: what is noted there they would not read any more."""
    if group is not None and group in {spec.cls.group(spec.options) for spec in topology.sources.values()}:
        raise Permanent("live_group", f"--group: a source of the topology reads as {group!r}", remedy="choose another")


def _refuse_circle(topology: Topology, target: str, name: str, kind: Kind, client: str) -> None:
    """Refuse a target that there is not, and one that would write the topic that is read."""
    spec = topology.targets.get(target)
    if spec is None:
        raise Permanent("unknown_target", f"no target is called {target!r}{suggestion(target, topology.targets)}")
    if spec.options.client == client and spec.cls.places(spec.options).get(kind.name) == name:
        raise Permanent("circle", f"{target!r} writes to {name!r} itself, which would have it all twice")


def _tell(done: Reread, stopped: str) -> None:
    """Print the summary."""
    where = ", ".join(f"{count} in {target}" for target, count in sorted(done.written.items()))
    read, letters = counted(done.read, "message"), counted(done.letters, "dead letter")
    click.echo(f"replayed {read}{f' ({where})' if where else ''}, {letters}")
    if stopped:
        click.echo(f"stopped: {stopped}", err=True)
