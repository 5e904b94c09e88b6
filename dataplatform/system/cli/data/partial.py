"""A platform for a command: some parts of a topology, at work without a route, also beside a running platform."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from attrs import evolve, field, frozen

from dataplatform.base.embedded import DataDirectory
from dataplatform.base.streaming.technology import Topics
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.operations.parts import Connection, Part, SourceOptions
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.registry import ability, plugins
from dataplatform.errors import Permanent
from dataplatform.sources.timescale import TimescaleSource, TimescaleSourceOptions
from dataplatform.system.config.topology import SourceSpec, Topology
from dataplatform.system.platform.home import default_data_dir
from dataplatform.system.platform.platform import Platform
from dataplatform.system.platform.servers import at_embedded

__all__ = ["LOG", "STORED", "at_work", "idle_sources", "log_source", "only", "stored_source"]

STORED = "command.stored"  # no name of a topology's own has a dot
READER = "command.topic"
ALONE = "command.client"
LOG = f"{READER}.log"


@frozen(kw_only=True)
class LogOptions(SourceOptions):
    """Options of a log source, which no topology has."""

    group: str | None = field(default=None, metadata={"help": "the group that notes how far the log was read"})


class IdleSource(BaseReader):
    """Reads nothing: by it a command has a client at work."""

    technology: ClassVar[str] = "a client alone"
    Options = SourceOptions

    @classmethod
    def client_kinds(cls) -> tuple[str, ...]:
        return tuple(plugin.kind for plugin in plugins("clients"))


class LogSource(IdleSource):
    """A client whose topics are read as logs: it brings the agent that does so, and reads nothing by itself."""

    technology: ClassVar[str] = "a log"
    Options = LogOptions

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection, outbox: Outbox | None) -> Part:
        """Bring along the log's agent."""
        topics = ability(connection.kind, Topics)
        assert topics is not None, "the command has looked for a client with topics"
        log = f"{name}.log"
        own = topics.log(log, connection.settings, options.group)
        return Part((own, cls.child(name, options, log, outbox)), log)


def idle_sources(clients: Iterable[str]) -> dict[str, SourceSpec]:
    """Return sources that have these clients at work, and nothing else."""
    return {f"{ALONE}.{client}": SourceSpec(IdleSource, SourceOptions(client=client)) for client in clients}


def log_source(client: str, group: str | None = None) -> dict[str, SourceSpec]:
    """Return the source by which an agent called `LOG` reads the topics of a client."""
    return {READER: SourceSpec(LogSource, LogOptions(client=client, group=group))}


def stored_source(client: str, *, demo: bool) -> dict[str, SourceSpec]:
    """Return the source called `STORED`, which answers from a database, in a demo from the simulator's rows."""
    return {STORED: SourceSpec(TimescaleSource, TimescaleSourceOptions(client=client, simulated=demo))}


def only(topology: Topology, targets: Collection[str], sources: Mapping[str, SourceSpec]) -> Topology:
    """Return these targets and sources with their clients, and no route: nothing moves by itself."""
    chosen = {name: topology.targets[name] for name in targets}
    used = {target.options.client for target in chosen.values()} | {spec.options.client for spec in sources.values()}
    return Topology(
        system=evolve(topology.system, dead_letters=None),
        clients={name: spec for name, spec in topology.clients.items() if name in used},
        sources=dict(sources),
        targets=chosen,
    )


@contextmanager
def at_work(topology: Topology, *, demo: bool, data_dir: Path | None, writing: bool = False) -> Iterator[Platform]:
    """Run the topology on the embedded servers of a data directory, whose kind of data is settled by `writing` only.

    They are started for it, unless a platform that works in the directory has them running: then those are used.
    Raises `PlatformError` where it cannot start.
    """
    home = DataDirectory(data_dir or default_data_dir(demo=demo))
    with ExitStack() as stack:
        yield stack.enter_context(_started(topology, home, stack, demo=demo, writing=writing))


def _started(topology: Topology, data: DataDirectory, stack: ExitStack, *, demo: bool, writing: bool) -> Platform:
    home = data.path
    if any(spec.embedded for spec in topology.clients.values()):
        data.require_kind(simulated=demo)
        try:
            return Platform.start(topology, demo=demo, data_dir=home, writing=writing)
        except Permanent as error:
            if error.code != "data_dir_in_use":
                raise
    apart = stack.enter_context(TemporaryDirectory(prefix="dataplatform-"))
    return Platform.start(_connected(topology, home), demo=demo, data_dir=Path(apart))


def _connected(topology: Topology, home: Path) -> Topology:
    """Tell clients where the embedded servers are that run already; a simulator is the command's own."""
    system = evolve(topology.system, simulator_port=None, broker_port=None)
    clients = {name: at_embedded(spec, topology, home) for name, spec in topology.clients.items()}
    return evolve(topology, system=system, clients=clients)
