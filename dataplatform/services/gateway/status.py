"""The platform's status as JSON: whole, as reports and `GET /status` have it, and by question, as AI agents ask."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import field, frozen

from dataplatform.base.agent import AgentStatus, Incident, Request
from dataplatform.dsl.flow import RouteAccount
from dataplatform.dsl.operations.operations import reading
from dataplatform.dsl.records.kinds import DEAD_LETTERS
from dataplatform.services.service import PlatformStatus, PlatformView

__all__ = [
    "DeadLetters",
    "GetDeadLetters",
    "GetLag",
    "Lag",
    "ListSources",
    "Overview",
    "Places",
    "Status",
    "account_as_json",
    "status_as_json",
]

VERSION = 1  # of the account's form
MOST_INCIDENTS = 100


def status_as_json(status: PlatformStatus) -> dict[str, Any]:
    """Return the status of a running platform, as `status --json` prints it."""
    return {"phase": status.phase, "servers": dict(status.servers), "version": VERSION, **account_as_json(status)}


def account_as_json(status: PlatformStatus) -> dict[str, Any]:
    """Return what agents and routes have done; counts are records, times ISO 8601 in UTC, `uptime_s` seconds."""
    books = status.books
    return {
        "uptime_s": round(status.uptime, 3),
        "agents": [_agent_as_json(agent) for agent in status.agents],
        "routes": [_route_as_json(route) for route in status.routes],
        "tables": [{"name": name, "rows": rows} for name, rows in sorted(books.tables.items())],
        "topics": [{"name": name, "records": records} for name, records in sorted(books.topics.items())],
        "incidents": [_incident_as_json(incident) for incident in status.incidents],
    }


def _agent_as_json(agent: AgentStatus) -> dict[str, Any]:
    return {
        "name": agent.name,
        "kind": agent.kind,
        "state": agent.shown,
        "restarts": agent.restarts,
        "last_error": agent.last_error,
        "counters": agent.counters,
    }


def _route_as_json(route: RouteAccount) -> dict[str, Any]:
    return {
        "source": route.source,
        "target": route.target,
        "records_read": route.read,
        "records_written": route.written,
        "records_already_stored": route.already_stored,
        "records_dead_lettered": route.dead_lettered,
        "batches_in_flight": route.batches_in_flight,
    }


def _incident_as_json(incident: Incident) -> dict[str, Any]:
    return {
        "at": incident.at.isoformat(),
        "agent": incident.agent,
        "kind": incident.kind,
        "stream": incident.stream,
        "partition": incident.partition,
        "first": incident.first,
        "next": incident.next,
        "records": incident.records,
        "message": incident.message,
    }


@frozen
class SourceView:
    """A source: what it can answer, where its data goes, and its state; `readers` is the source itself."""

    name: str
    technology: str
    operations: tuple[str, ...]
    targets: tuple[str, ...]
    state: str
    readers: tuple[str, ...] = ()


@frozen
class TargetView:
    """A target: the kinds of record it takes, and its state."""

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
    """The whole platform's state; `troubled` are the names of the agents that are not well."""

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
class ListSources(Request[Places]):
    """The sources and targets of the platform, what each can do, and its state."""


@frozen
class GetLag(Request[Lag]):
    """What is read and not yet written, and what consumers have not read yet."""


@frozen
class GetDeadLetters(Request[DeadLetters]):
    """How many dead letters there are, which target keeps them, and data that is missing or in doubt."""


@frozen
class Overview:
    """Answers questions out of the platform's status, so that it does while agents hang. Safe in any thread."""

    platform_view: PlatformView

    def places(self) -> Places:
        around, status = self.platform_view, self.platform_view.status()
        sources = [
            SourceView(
                name,
                source.cls.technology,
                operations := tuple(one for one in source.cls.supported() if one in reading()),
                around.routes.get(name, ()),
                _state(status, name),
                (name,) if operations else (),
            )
            for name, source in around.sources.items()
        ]
        targets = [
            TargetView(
                name,
                target.cls.technology,
                tuple(kind.name for kind in target.cls.kinds(target.options)),
                _state(status, name),
                name == around.dead_letters,
            )
            for name, target in around.targets.items()
        ]
        return Places(tuple(sources), tuple(targets))

    def status(self) -> Status:
        status = self.platform_view.status()
        troubled = tuple(agent.name for agent in status.troubled)
        agents = tuple(map(_agent, status.agents))
        return Status(not troubled, troubled, agents, _routes(status), dict(status.books.tables))

    def lag(self) -> Lag:
        status = self.platform_view.status()
        routes = _routes(status)
        consumers = [ConsumerView(one.name, one.counters["lag"]) for one in status.agents if "lag" in one.counters]
        behind = sum(consumer.lag for consumer in consumers)
        return Lag(sum(route.in_flight for route in routes), behind, routes, tuple(consumers))

    def dead_letters(self) -> DeadLetters:
        status = self.platform_view.status()
        routes = _routes(status)
        stored = status.books.tables.get(DEAD_LETTERS.table)
        incidents = [
            IncidentView(one.at, one.agent, one.kind, one.records, one.message)
            for one in list(status.incidents)[-MOST_INCIDENTS:]
        ]
        total = sum(route.dead_lettered for route in routes)
        return DeadLetters(self.platform_view.dead_letters, routes, total, stored, tuple(incidents))


def _state(status: PlatformStatus, name: str) -> str:
    agent = status.agent(name)
    return agent.shown if agent else "starting"


def _routes(status: PlatformStatus) -> tuple[RouteView, ...]:
    return tuple(
        RouteView(one.source, one.target, one.read, one.written, one.already_stored, one.dead_lettered, one.in_flight)
        for one in status.routes
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
