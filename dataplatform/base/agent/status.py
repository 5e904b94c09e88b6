"""What an agent shows of itself: its state, whether it is degraded and why, and its counters."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import StrEnum
from math import inf

from attrs import converters, define, field, frozen, setters

from dataplatform.redaction import redacted

__all__ = ["AgentStatus", "Degraded", "State", "Vitals"]


class State(StrEnum):
    """Where an agent is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


@frozen
class Degraded:
    """An outage being waited out: why, since when, and when the next try is due (UTC)."""

    reason: str = field(converter=redacted)
    since: datetime
    next_try: datetime | None = None


@frozen
class AgentStatus:
    """One look at an agent. Times are aware and in UTC; `busy_s` is how long the current message has been in hand."""

    name: str
    kind: str
    state: State
    since: datetime
    restarts: int
    handled: int
    busy_s: float
    waiting: int
    degraded: Degraded | None
    last_error: str | None
    counters: dict[str, int]

    @property
    def shown(self) -> str:
        """The state in one word, `degraded` while an outage lasts."""
        return "degraded" if self.degraded and self.state in {State.RUNNING, State.DRAINING} else str(self.state)


@define(eq=False)
class Vitals:
    """The mutable side of `AgentStatus`: written by the agent's thread only, read by anybody.

    `busy_until` is when the step that the agent is at ends at the latest (monotonic seconds), where it said so.
    """

    state: State
    since: datetime
    handled: int = 0
    busy_since: float | None = None
    busy_until: float = -inf
    degraded: Degraded | None = None
    last_error: str | None = field(default=None, on_setattr=setters.convert, converter=converters.optional(redacted))
    counters: Counter[str] = field(factory=Counter)
