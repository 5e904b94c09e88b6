"""What agents and supervisors say to each other, whatever they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import frozen

from dataplatform.base.agent.status import AgentStatus

if TYPE_CHECKING:
    import pykka

    from dataplatform.result import Result

__all__ = [
    "Call",
    "Drain",
    "Drained",
    "GetStatus",
    "Ready",
    "Reply",
    "Request",
    "Terminated",
]

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
