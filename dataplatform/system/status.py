"""One look at a whole platform: its phase, its agents, its routes, and what it has written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from attrs import field, frozen

from dataplatform.base.agent import AgentStatus, Incident
from dataplatform.dsl.flow import RouteAccount
from dataplatform.system.bookkeeper import Books

__all__ = ["Phase", "PlatformStatus"]


class Phase(StrEnum):
    """Where a platform is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


@frozen
class PlatformStatus:
    """One look at the whole platform; `uptime` in seconds, `servers` the embedded ones and their addresses."""

    phase: Phase
    uptime: float
    agents: Sequence[AgentStatus]
    routes: Sequence[RouteAccount]
    books: Books
    incidents: Sequence[Incident]
    servers: Mapping[str, str] = field(factory=dict)

    def counters(self, agent: str) -> Mapping[str, int]:
        """Return what an agent has counted: 0 for what it has not yet, nothing at all for one that there is not."""
        return Counter(*(one.counters for one in self.agents if one.name == agent))

    @property
    def ready(self) -> bool:
        """Whether every agent has been ready."""
        return self.phase is not Phase.STARTING
