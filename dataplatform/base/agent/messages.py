"""What agents and supervisors say to each other, whatever they do; and what an agent shows of itself.

What an agent shows of itself: its state, whether it is degraded and why, and its counters.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import converters, define, field, frozen, setters

from dataplatform.redaction import redacted

if TYPE_CHECKING:
    import pykka

    from dataplatform.result import Result

__all__ = [
    "AgentStatus",
    "Call",
    "Degraded",
    "Drain",
    "Drained",
    "GetStatus",
    "Ready",
    "Reply",
    "Request",
    "State",
    "Terminated",
    "Vitals",
]


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


T_co = TypeVar("T_co", covariant=True)


class Request(Generic[T_co]):
    """A message that is answered with a `Result[T]`; every other message is a notice."""

    __slots__ = ()


@frozen
class GetStatus(Request[AgentStatus]):
    """Answers the agent's `AgentStatus`."""


@frozen
class Call:
    """A request whose answer is told back as a `Reply`, so that the caller need not wait."""

    request: Request[Any]
    token: int
    reply_to: pykka.ActorRef[Any]


@frozen
class Reply:
    """The answer to the `Call` with this token."""

    token: int
    result: Result[Any]


@frozen
class Drain:
    """Take nothing new, finish what is in hand, then say `Drained`."""


@frozen
class Drained:
    """The child has nothing left in hand."""

    name: str
    incarnation: int


@frozen
class Ready:
    """The child is open and handles messages."""

    name: str
    incarnation: int


@frozen
class Terminated:
    """The child is dead and its clean-up is over, or has hung for too long.

    `failure` is what killed it, `None` when it stopped by itself or because somebody told it to.
    """

    name: str
    incarnation: int
    failure: BaseException | None
