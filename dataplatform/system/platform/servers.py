"""The servers a platform brings along: embedded ones where a client asks for them, the simulator for a demo."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, evolve, field

from dataplatform.base.agent import ChildSpec
from dataplatform.base.http.technology import HttpTechnology
from dataplatform.base.mcp.technology import McpTechnology
from dataplatform.base.net.ports import HOST, free_port, require_free
from dataplatform.base.technology import Technology, Web
from dataplatform.errors import Permanent
from dataplatform.simulator import SimulatorSettings
from dataplatform.simulator.server import SimulatorAgent
from dataplatform.sources.coingecko import CoinGeckoSource
from dataplatform.system.config.topology import ClientSpec, Topology

__all__ = ["Servers", "at_embedded", "require_installed", "simulated"]

SIMULATED: Mapping[type[Technology], str] = {HttpTechnology: "/api/v3", McpTechnology: "/mcp/code/mcp"}
"""Where the simulator is asked through which kind of client; of its MCP servers it is that like CoinGecko's present."""
COINGECKO = "coingecko.com"
SLOWEST_DEMO_POLL = 5.0  # seconds; the simulator has no rate limit, so nobody need wait for its prices


@define
class Servers:
    """The agents of the servers, which client uses which of them, and where the embedded ones are."""

    specs: dict[str, ChildSpec] = field(factory=dict)
    used_by: dict[str, str] = field(factory=dict)
    addresses: dict[str, str] = field(factory=dict)

    def join(self, topology: Topology, data_dir: Path, *, demo: bool) -> Topology:
        """Add what the topology needs, and return it with the servers' addresses in its clients.

        Raises `Permanent` for a package that is not installed and for a port that is in use.
        """
        require_installed(topology)
        if demo:
            topology = self._with_simulator(topology)
        clients = {name: self._placed(name, spec, topology, data_dir) for name, spec in topology.clients.items()}
        return evolve(topology, clients=clients)

    def _with_simulator(self, topology: Topology) -> Topology:
        """Put the simulator in CoinGecko's place, where somebody asks CoinGecko."""
        if not (in_demo := simulated(topology)):
            return topology
        system, clients, sources = topology.system, dict(topology.clients), dict(topology.sources)
        wanted = system.simulator_port
        port = free_port() if wanted is None else require_free(wanted, "simulator_port")
        self.specs["simulator"] = SimulatorAgent.child(
            "simulator", SimulatorSettings(host=HOST, port=port, seed=system.simulator_seed)
        )
        for name in in_demo:
            clients[name] = _simulated(clients[name], f"http://{HOST}:{port}")  # without a key
            self.used_by[name] = "simulator"
        for name, source in topology.sources.items():
            if issubclass(source.cls, CoinGeckoSource):
                feeds = tuple(evolve(feed, every=min(feed.every, SLOWEST_DEMO_POLL)) for feed in source.options.feeds)
                sources[name] = evolve(source, options=evolve(source.options, feeds=feeds))
        return evolve(topology, clients=clients, sources=sources)

    def _placed(self, name: str, spec: ClientSpec, topology: Topology, data_dir: Path) -> ClientSpec:
        """Add the embedded server that the client asks for, and tell the client where it is."""
        if (able := spec.embedded) is None:
            return spec
        port = topology.system.ports.get(able.server)
        if port is not None and not able.is_running(data_dir):  # that of an earlier run which is just ending has it
            require_free(port, f"{able.server}_port")
        self.addresses[able.server] = address = able.address(data_dir, port)
        self.specs[able.server] = able.child(data_dir, address)
        self.used_by[name] = able.server
        return evolve(spec, settings=able.settings_at(spec.settings, address))


def at_embedded(spec: ClientSpec, topology: Topology, data_dir: Path) -> ClientSpec:
    """Return a client that is told where the embedded server is that it asks for, and which runs already."""
    if (able := spec.embedded) is None:
        return spec
    address = able.address(data_dir, topology.system.ports.get(able.server))
    return evolve(spec, settings=able.settings_at(spec.settings, address))


def _simulated(client: ClientSpec, server: str) -> ClientSpec:
    """Lead a client to the simulator."""
    web = client.technology.ability(Web)
    assert web is not None, "it is one of those that the simulator answers"
    return evolve(client, settings=web.settings_at(client.settings, f"{server}{SIMULATED[client.technology]}"))


def simulated(topology: Topology) -> set[str]:
    """Return the clients that lead to CoinGecko, by their source or their host: to the simulator in a demo."""
    used = {spec.options.client for spec in topology.sources.values() if issubclass(spec.cls, CoinGeckoSource)}
    return {
        name
        for name, spec in topology.clients.items()
        if spec.technology in SIMULATED and (name in used or _is_at_coingecko(spec))
    }


def _is_at_coingecko(spec: ClientSpec) -> bool:
    web = spec.technology.ability(Web)
    host = urlsplit((web and web.url(spec.settings)) or "").hostname or ""
    return host == COINGECKO or host.endswith(f".{COINGECKO}")


def require_installed(topology: Topology) -> None:
    """Raise `Permanent` when the packages of the embedded servers that the topology needs are not installed."""
    needed = {package for spec in topology.clients.values() if (able := spec.embedded) and (package := able.package())}
    missing = sorted(name for name in needed if importlib.util.find_spec(name.replace("-", "_")) is None)
    if missing:
        raise Permanent(
            "not_installed",
            f"embedded servers need {' and '.join(missing)}, which this Python has not installed",
            remedy="pip install 'dataplatform[embedded]', or name servers of your own in a topology",
        )
