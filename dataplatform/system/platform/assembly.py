"""From a topology to agents: which children there are, in which order, and who is told of whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

from attrs import define, evolve, field, frozen

from dataplatform.base.agent import Bulkhead, ChildSpec, Link, RestartLimit
from dataplatform.base.database.technology import Tables
from dataplatform.base.streaming.technology import Topics
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.operations.parts import Connection, Part
from dataplatform.dsl.records.kinds import DEAD_LETTERS, kinds
from dataplatform.dsl.storage.tables import STORAGE
from dataplatform.redaction import REDACTOR
from dataplatform.services.service import Books, PlatformView, SourceBinding
from dataplatform.system.config.specs import secrets_of
from dataplatform.system.config.topology import ClientSpec, Topology
from dataplatform.system.platform.accounts import Bookkeeper, Counting
from dataplatform.system.platform.servers import Servers

__all__ = ["Assembly", "add_services", "assemble", "assemble_parts"]


@frozen
class Stage:
    """When agents of a kind start and, in reverse, stop; how long they may drain and then stop, in seconds."""

    number: int
    drain: float
    stop: float

    def apply(self, spec: ChildSpec) -> ChildSpec:
        """Return the agent with these times."""
        return evolve(spec, stage=self.number, drain_timeout=self.drain, shutdown_timeout=self.stop)

    def split(self) -> tuple[Stage, Stage]:
        """Return the times of a bulkhead and those of its children: the bulkhead's drain is its children's whole end.

        >>> Stage(4, drain=0.5, stop=1.0).split()
        (Stage(number=4, drain=1.4, stop=0.1), Stage(number=4, drain=0.5, stop=0.8))
        """
        whole = self.drain + self.stop
        return evolve(self, drain=whole - LAST, stop=LAST), evolve(self, stop=self.stop - 2 * LAST)


LAST = 0.1  # seconds for a bulkhead to see that its children are gone, and to go

# A stop is promised within 10 s even if no server answers. Then every agent takes all of its time, so the times add
# up to less than that: most of it for the servers, which need 3.8 s to be ended by force, and for data in flight.
STAGES = {
    "control": Stage(0, drain=0.1, stop=1.0),
    "server": Stage(0, drain=0.1, stop=3.9),
    "client": Stage(1, drain=0.2, stop=0.9),
    "service": Stage(2, drain=1.0, stop=0.4),
    "target": Stage(3, drain=0.2, stop=0.2),
    "source": Stage(4, drain=2.0, stop=0.2),
    "gateway": Stage(4, drain=0.5, stop=1.2),  # what lets others in; with the sources, so that its times add nothing
}
START_TIMEOUT = 20.0  # seconds for what is apart; the platform as a whole takes up to 60


@define
class Assembly:
    """The agents of a platform and what stays with it when they restart."""

    restart_limit: RestartLimit = field(factory=RestartLimit)
    specs: list[ChildSpec] = field(factory=list)
    links: list[Link] = field(factory=list)
    outboxes: dict[str, Outbox] = field(factory=dict)
    books: Books = field(factory=Books)
    servers: Servers = field(factory=Servers)
    connections: dict[str, Connection] = field(factory=dict)
    sources: dict[str, SourceBinding] = field(factory=dict)

    def add(self, specs: Iterable[ChildSpec]) -> None:
        self.specs += [STAGES[spec.kind].apply(spec) for spec in specs]

    def add_apart(self, specs: Sequence[ChildSpec]) -> str:
        """Add agents whose crashes do not count as the flow's, and return the name of the bulkhead that keeps them."""
        around, within = STAGES[specs[-1].kind].split()
        children = [evolve(within.apply(spec), start_timeout=START_TIMEOUT) for spec in specs]
        bulkhead = Bulkhead.child(f"{specs[-1].name}.supervisor", children, self.restart_limit)
        self.specs.append(around.apply(bulkhead))
        return bulkhead.name

    def link(self, upstream: str, downstream: str) -> None:
        self.links.append(Link(upstream, downstream))

    def link_to_server(self, client: str, agent: str) -> None:
        """Tell an agent that holds a connection of the client when the server has restarted, where it is ours."""
        if client in self.servers.used_by:
            self.link(self.servers.used_by[client], agent)


def assemble(topology: Topology, data_dir: Path, *, demo: bool) -> Assembly:
    """Return the agents of a topology and the servers it needs; raises `Permanent` for what the machine lacks."""
    assembly = Assembly(_intensity(topology))
    topology = assembly.servers.join(topology, data_dir, demo=demo)
    assembly.add(assembly.servers.specs.values())
    connections = _add_parts(topology, assembly)
    _add_bookkeeper(topology, connections, assembly)
    return assembly


def assemble_parts(topology: Topology) -> Assembly:
    """Return the agents of a topology alone, whose servers run already."""
    assembly = Assembly(_intensity(topology))
    _add_parts(topology, assembly)
    return assembly


def _intensity(topology: Topology) -> RestartLimit:
    return RestartLimit(topology.system.restarts, topology.system.within)


def _add_parts(topology: Topology, assembly: Assembly) -> dict[str, Connection]:
    REDACTOR.learn(secrets_of(topology))
    connections = {name: _connect(name, spec, topology, assembly) for name, spec in topology.clients.items()}
    assembly.connections = connections
    _add_keepers(topology, assembly)
    _add_targets(topology, connections, assembly)
    _add_sources(topology, connections, assembly)
    return connections


def _connect(name: str, spec: ClientSpec, topology: Topology, assembly: Assembly) -> Connection:
    """Add the agents that hold a client's connections."""
    specs = spec.technology.agents(name, spec.settings, written=name in _written(topology))
    assembly.add(specs)
    for agent in specs:
        assembly.link_to_server(name, agent.name)
    return Connection(name, spec.kind, spec.settings, tuple(agent.name for agent in specs))


def _written(topology: Topology) -> set[str]:
    """Return the clients through which targets write."""
    return {target.options.client for target in topology.targets.values()}


def _add_targets(topology: Topology, connections: Mapping[str, Connection], assembly: Assembly) -> None:
    """Add the targets; each takes the next connection of its client's pool."""
    pools = {name: cycle(connection.agents) for name, connection in connections.items() if connection.agents}
    for name, spec in topology.targets.items():
        connection = connections[spec.options.client]
        part = spec.cls.part(name, spec.options, evolve(connection, agents=(next(pools[connection.name]),)))
        _add_part(part, connection, assembly)
        assembly.link(name, part.client)


def _add_sources(topology: Topology, connections: Mapping[str, Connection], assembly: Assembly) -> None:
    letters = topology.dead_letters
    for name, spec in topology.sources.items():
        targets = topology.targets_of(name)
        if targets and letters is not None:
            assembly.outboxes[name] = Outbox(name, targets, letters, exclusive=_is_exclusive(topology, name))
            for target in dict.fromkeys([*targets, letters]):
                assembly.link(name, target)
        connection = connections[spec.options.client]
        part = spec.cls.part(name, spec.options, connection, assembly.outboxes.get(name))
        _add_part(part, connection, assembly)
        assembly.link(part.client, name)
        assembly.sources[name] = SourceBinding(spec.cls, spec.options, connection, part.client)


def _is_exclusive(topology: Topology, source: str) -> bool:
    """Tell whether a source's one target can commit its positions for it: both are of the same cluster then."""
    spec, names = topology.sources[source], topology.targets_of(source)
    target = topology.targets[names[0]]
    shared = spec.options.client == target.options.client
    return len(names) == 1 and spec.cls.replayable and target.cls.commits and shared


def add_services(topology: Topology, platform_view: PlatformView, assembly: Assembly) -> None:
    """Add the services, which see everything else."""
    for name, spec in topology.services.items():
        assembly.add_apart(spec.cls.part(name, spec.options, platform_view))


def _add_part(part: Part, connection: Connection, assembly: Assembly) -> None:
    """Add the agents of a source or target."""
    assembly.add(part.specs)
    for own in part.specs[:-1]:  # clients that the part has brought along
        assembly.link_to_server(connection.name, own.name)
    if part.apart:
        assembly.link_to_server(connection.name, assembly.add_apart(part.apart))


def _add_bookkeeper(topology: Topology, connections: Mapping[str, Connection], assembly: Assembly) -> None:
    """Add the agent that counts what is in the tables and topics written to."""
    tables: dict[str, set[str]] = {}
    topics: dict[str, set[str]] = {}
    for name, spec in topology.targets.items():
        wanted = [kind.name for kind in kinds() if kind is not DEAD_LETTERS or name == topology.dead_letters]
        of_kinds = spec.cls.tables(spec.options)
        tables.setdefault(spec.options.client, set()).update(of_kinds[kind] for kind in wanted if kind in of_kinds)
        topics.setdefault(spec.options.client, set()).update(spec.cls.places(spec.options).values())
    databases, streams = (
        [
            Counting(connections[name].agents[-1], able.count(tuple(sorted(names))))
            for name, names in sorted(written.items())
            if names and (able := _able(topology.clients[name], kind)) is not None
        ]
        for written, kind in ((tables, Tables), (topics, Topics))
    )
    assembly.add_apart([Bookkeeper.child("bookkeeper", assembly.books, databases, streams)])


def _able(spec: ClientSpec, kind: type[Tables | Topics]) -> Tables | Topics | None:
    return spec.technology.ability(kind)


def _add_keepers(topology: Topology, assembly: Assembly) -> None:
    """Add who migrates each client with tables that is written to, and who keeps up what is made of its rows.

    One that is only read from is its writers' to look after.
    """
    written = _written(topology)
    for name, spec in topology.clients.items():
        tables = spec.technology.ability(Tables)
        if tables is None or name not in written:
            continue
        if topology.system.migrate:
            migrator = tables.migrator(name, spec.settings, STORAGE)
            assembly.add([migrator])
            assembly.link_to_server(name, migrator.name)
        assembly.add_apart([tables.keeper(name, spec.settings, STORAGE)])
