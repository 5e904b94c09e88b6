"""The report: the final account of a run as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dataplatform.base.agent import AgentStatus, Incident
from dataplatform.dsl.flow import RouteAccount

__all__ = ["Outcome", "make_report"]

Outcome = Literal["ok", "gave_up", "signal", "undelivered"]
VERSION = 1


def make_report(
    outcome: Outcome,
    reason: str | None,
    uptime: float,
    agents: Sequence[AgentStatus],
    routes: Sequence[RouteAccount],
    tables: Mapping[str, int],
    topics: Mapping[str, int],
    incidents: Sequence[Incident],
) -> dict[str, Any]:
    """Return the report; counts are records, times ISO 8601 in UTC, `uptime_s` seconds."""
    return {
        "version": VERSION,
        "outcome": outcome,
        "reason": reason,
        "uptime_s": round(uptime, 3),
        "agents": [
            {
                "name": agent.name,
                "kind": agent.kind,
                "state": agent.shown,
                "restarts": agent.restarts,
                "last_error": agent.last_error,
                "counters": agent.counters,
            }
            for agent in agents
        ],
        "routes": [
            {
                "source": route.source,
                "target": route.target,
                "records_read": route.read,
                "records_written": route.written,
                "records_already_stored": route.already_stored,
                "records_dead_lettered": route.dead_lettered,
                "batches_in_flight": route.batches_in_flight,
            }
            for route in routes
        ],
        "tables": [{"name": name, "rows": rows} for name, rows in sorted(tables.items())],
        "topics": [{"name": name, "records": records} for name, records in sorted(topics.items())],
        "incidents": [
            {
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
            for incident in incidents
        ],
    }
