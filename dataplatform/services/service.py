"""What a service is, and what it sees of the platform around it: its parts and its status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol

from attrs import define, evolve, field, frozen

from dataplatform.base.agent import Agent, AgentStatus, ChildSpec, Context, Incident, State
from dataplatform.dsl.flow import RouteAccount
from dataplatform.dsl.operations.parts import Connection
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.notebook import data_html, table_html

__all__ = [
    "BaseService",
    "Books",
    "LatestPrice",
    "Phase",
    "PlatformStatus",
    "PlatformView",
    "Service",
    "ServiceOptions",
    "SourceBinding",
    "TargetBinding",
]


@frozen(kw_only=True)
class ServiceOptions:
    """What every service is told: nothing, so far."""


class Phase(StrEnum):
    """Where a platform is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


@frozen
class LatestPrice:
    """The latest price of a coin in the price table, as the live view shows it."""

    coin_id: str
    usd_price: float
    change_24h: float | None
    last_updated: datetime
    source: str


@define(eq=False)
class Books:
    """What was counted last: rows per table, records per topic, the latest prices. Replaced whole, read by anybody."""

    tables: dict[str, int] = field(factory=dict)
    topics: dict[str, int] = field(factory=dict)
    prices: list[LatestPrice] = field(factory=list)


def _copied(books: Books) -> Books:
    return evolve(books)


@frozen
class PlatformStatus:
    """The platform's status at one moment; report, table, log lines, MCP and HTTP are renderings of it.

    - `phase`, and `uptime` in seconds
    - `agents`, `routes`, `incidents`: what the agents show of themselves, the accounts of the routes, data in doubt
    - `books`: a copy of what was counted last
    - `servers`: the embedded ones and their addresses
    """

    phase: Phase
    uptime: float
    agents: Sequence[AgentStatus]
    routes: Sequence[RouteAccount]
    books: Books = field(converter=_copied)
    incidents: Sequence[Incident]
    servers: Mapping[str, str] = field(factory=dict)

    def agent(self, name: str) -> AgentStatus | None:
        """Return the status of an agent; None for one that has not been started."""
        return next((one for one in self.agents if one.name == name), None)

    def counters(self, agent: str) -> Mapping[str, int]:
        """Return what an agent has counted: 0 for what it has not yet, nothing at all for one that there is not."""
        return Counter(*(one.counters for one in self.agents if one.name == agent))

    @property
    def ready(self) -> bool:
        """Whether every agent has been ready."""
        return self.phase is not Phase.STARTING

    @property
    def troubled(self) -> list[AgentStatus]:
        """The agents that are not well; one that is starting is well while the platform starts."""
        usual = {str(State.RUNNING)} if self.ready else {str(State.RUNNING), str(State.STARTING)}
        return [agent for agent in self.agents if agent.shown not in usual]

    def _repr_html_(self) -> str:
        """Return a table of agents and one of routes, for a notebook."""
        agents = [(one.name, one.kind, one.shown, one.restarts, one.last_error) for one in self.agents]
        return (
            f"<p><b>{self.phase}</b> for {self.uptime:,.0f} s, {len(self.incidents)} incidents</p>"
            + table_html(("agent", "kind", "state", "restarts", "last error"), agents)
            + (data_html(list(self.routes)) if self.routes else "")
        )


@frozen
class SourceBinding:
    """A source of the topology; `client` is the agent it talks to, which `connection` has unless it is its own."""

    cls: type[BaseReader]
    options: Any
    connection: Connection
    client: str


@frozen
class TargetBinding:
    """A target of the topology."""

    cls: type[BaseWriter]
    options: Any


@frozen(kw_only=True)
class PlatformView:
    """The platform as a service sees it.

    - `sources`, `targets`, `routes`: the topology, by name; a route's source and its targets
    - `dead_letters`: the target that takes dead letters
    - `connections`: the clients, by name, with the addresses of embedded servers
    - `data_dir`, `demo`: where its data is, and whether its prices are simulated
    - `status`: returns the status, without asking any agent; any thread may call it
    - `stop`: drains and stops the platform, and returns when it has stopped; no agent may wait for that
    """

    sources: Mapping[str, SourceBinding] = field(factory=dict)
    targets: Mapping[str, TargetBinding] = field(factory=dict)
    routes: Mapping[str, tuple[str, ...]] = field(factory=dict)
    dead_letters: str | None = None
    connections: Mapping[str, Connection] = field(factory=dict)
    data_dir: Path
    demo: bool = False
    status: Callable[[], PlatformStatus]
    stop: Callable[[], None]


class Service(Protocol):
    """A kind of service, as an entry point of the group `dataplatform.services` names it.

    `Options` extends `ServiceOptions`. `part` returns the agents of one service, of the kind `gateway`, itself the
    last; it raises `Permanent` for what the machine lacks.
    """

    Options: ClassVar[type[Any]]
    technology: ClassVar[str]

    @classmethod
    def part(cls, name: str, options: Any, platform_view: PlatformView) -> tuple[ChildSpec, ...]: ...


class BaseService(Agent):
    """A service that is one agent: it has `options`, knows the platform's other agents by name, and tells itself when.

    A subclass writes `receive`, and `_open` where it begins by itself.
    """

    kind: ClassVar[str] = "gateway"
    technology: ClassVar[str] = "this service"
    Options: ClassVar[type[Any]] = ServiceOptions

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context)
        self.options = options

    @classmethod
    def part(cls, name: str, options: Any, platform_view: PlatformView) -> tuple[ChildSpec, ...]:
        """Return the one agent."""
        del platform_view
        return (cls.child(name, options),)
