"""What there is and how it does, as a caller is told: sources, agents, lags, dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from attrs import field, frozen

from dataplatform.base.agent import AgentStatus, Incident
from dataplatform.dsl.kinds import DEAD_LETTERS
from dataplatform.dsl.registry import READING, supported
from dataplatform.services.parts import Surroundings

__all__ = ["DeadLetters", "Lag", "Overview", "Places", "Status"]

MOST_INCIDENTS = 100


@frozen
class SourceView:
    """A source: what it can answer, where its data goes, and how it does. `readers` answer for it."""

    name: str
    technology: str
    operations: tuple[str, ...]
    targets: tuple[str, ...]
    state: str
    readers: tuple[str, ...] = ()


@frozen
class TargetView:
    """A target: the kinds of record it takes, and how it does."""

    name: str
    technology: str
    kinds: tuple[str, ...]
    state: str
    takes_dead_letters: bool = False


@frozen
class Places:
    """The sources and targets of the platform."""

    sources: tuple[SourceView, ...]
    targets: tuple[TargetView, ...]


@frozen
class AgentView:
    """An agent: its state, since when (UTC), and why it is degraded where it is."""

    name: str
    kind: str
    state: str
    since: datetime
    restarts: int
    reason: str | None = None
    next_try: datetime | None = None
    last_error: str | None = None


@frozen
class RouteView:
    """The account of a route in records: `read` is the sum of the others."""

    source: str
    target: str
    read: int
    written: int
    already_stored: int
    dead_lettered: int
    in_flight: int


@frozen
class ConsumerView:
    """How many messages of its topics a consumer has not read yet."""

    name: str
    lag: int


@frozen
class Status:
    """How the whole platform does; `troubled` are the agents that are not as they should be."""

    well: bool
    troubled: tuple[str, ...]
    agents: tuple[AgentView, ...]
    routes: tuple[RouteView, ...]
    rows: dict[str, int] = field(factory=dict)


@frozen
class Lag:
    """What is read and not yet written, and what consumers have not read yet."""

    records_in_flight: int
    messages_behind: int
    routes: tuple[RouteView, ...]
    consumers: tuple[ConsumerView, ...]


@frozen
class IncidentView:
    """Data that is missing or in doubt."""

    at: datetime
    agent: str
    kind: str
    records: int
    message: str


@frozen
class DeadLetters:
    """Input that was no record, and records that could not be written, and which target keeps them.

    `stored` are all rows of the table `dead_letters`, the others are of this run.
    """

    kept_by: str | None
    routes: tuple[RouteView, ...]
    total: int
    stored: int | None = None
    incidents: tuple[IncidentView, ...] = ()


@frozen
class Overview:
    """Looks at the platform without asking any agent, so it answers while some hang. Safe in any thread."""

    surroundings: Surroundings
    readers: dict[str, list[str]]
    status_of: Callable[[str], AgentStatus | None]
    names: Callable[[], list[str]]
    incidents: Callable[[], Sequence[Incident]]

    def places(self) -> Places:
        around = self.surroundings
        sources = [
            SourceView(
                name,
                source.cls.technology,
                tuple(one for one in supported(source.cls) if one in READING),
                around.routes.get(name, ()),
                self._state(name),
                tuple(self.readers.get(name, ())),
            )
            for name, source in around.sources.items()
        ]
        targets = [
            TargetView(
                name,
                target.cls.technology,
                tuple(kind.name for kind in target.cls.kinds(target.options)),
                self._state(name),
                name == around.dead_letters,
            )
            for name, target in around.targets.items()
        ]
        return Places(tuple(sources), tuple(targets))

    def status(self) -> Status:
        agents = [_agent(status) for status in self._statuses()]
        troubled = tuple(agent.name for agent in agents if agent.state != "running")
        return Status(not troubled, troubled, tuple(agents), self._routes(), dict(self.surroundings.counts.tables))

    def lag(self) -> Lag:
        routes = self._routes()
        consumers = [
            ConsumerView(status.name, status.counters["lag"]) for status in self._statuses() if "lag" in status.counters
        ]
        behind = sum(consumer.lag for consumer in consumers)
        return Lag(sum(route.in_flight for route in routes), behind, routes, tuple(consumers))

    def dead_letters(self) -> DeadLetters:
        routes = self._routes()
        stored = self.surroundings.counts.tables.get(DEAD_LETTERS.table)
        incidents = [
            IncidentView(one.at, one.agent, one.kind, one.records, one.message)
            for one in list(self.incidents())[-MOST_INCIDENTS:]
        ]
        total = sum(route.dead_lettered for route in routes)
        return DeadLetters(self.surroundings.dead_letters, routes, total, stored, tuple(incidents))

    def _state(self, name: str) -> str:
        status = self.status_of(name)
        return status.shown if status else "starting"

    def _statuses(self) -> list[AgentStatus]:
        return [status for name in self.names() if (status := self.status_of(name))]

    def _routes(self) -> tuple[RouteView, ...]:
        accounts = [account for outbox in self.surroundings.outboxes.values() for account in outbox.routes()]
        return tuple(
            RouteView(
                one.source,
                one.target,
                one.read,
                one.written,
                one.already_stored,
                one.dead_lettered,
                one.in_flight,
            )
            for one in accounts
        )


def _agent(status: AgentStatus) -> AgentView:
    degraded = status.degraded
    return AgentView(
        status.name,
        status.kind,
        status.shown,
        status.since,
        status.restarts,
        degraded.reason if degraded else None,
        degraded.next_try if degraded else None,
        status.last_error,
    )
