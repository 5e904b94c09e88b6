"""Names that outlive restarts: an `Address` reaches whichever actor runs under its name now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

import pykka
from attrs import define, field, frozen

from dataplatform.base.agent.futures import Future
from dataplatform.base.agent.messages import AgentStatus, Request, State, Vitals
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["Address", "Directory", "Entry"]

T = TypeVar("T")


@define(eq=False)
class Entry:
    """What is known of a name: the actor that runs under it now, if any, and the vitals of the latest one.

    `incarnation` counts all actors that had the name, `supervisor` is who starts them, None for a root; `gone` is set
    when the clean-up of this one is over, `ended` when nobody will start another.
    """

    kind: str
    incarnation: int
    vitals: Vitals
    ref: pykka.ActorRef[Any] | None = None
    gone: threading.Event = field(factory=threading.Event)
    ended: bool = False
    supervisor: str | None = None

    def why_absent(self) -> str:
        """Say why no actor answers under the name."""
        if self.vitals.state is State.STOPPED:
            return "has been stopped"
        if self.ended:
            return "has crashed and is not restarted"
        return "is starting" if self.incarnation == 1 and self.vitals.state is State.STARTING else "is restarting"


@define(eq=False)
class Directory:
    """The names of one platform. Read by any thread; entries are replaced whole, never changed half.

    >>> from dataplatform.base.agent import Directory, SystemClock
    >>> Directory(SystemClock().monotonic).address("nobody").tell("hello").error
    Transient('absent: nobody has not been started')
    """

    _monotonic: Callable[[], float]
    _entries: dict[str, Entry] = field(factory=dict)

    def address(self, name: str) -> Address:
        """Return the address of a name, whether or not an actor runs under it."""
        return Address(name, self)

    def enter(self, name: str, entry: Entry) -> None:
        """Put another incarnation under the name."""
        self._entries[name] = entry

    def entry(self, name: str) -> Entry | None:
        """Return what is known of the name, `None` if no actor ever had it."""
        return self._entries.get(name)

    def names(self) -> list[str]:
        """Return all names, in the order in which they were first started."""
        return list(self._entries)

    def status(self, name: str) -> AgentStatus | None:
        """Return a look at the agent without asking it, so that one stuck in a call is seen too."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        vitals, ref, busy = entry.vitals, entry.ref, entry.vitals.busy_since  # read once: the agent may die meanwhile
        return AgentStatus(
            name=name,
            kind=entry.kind,
            state=vitals.state,
            since=vitals.since,
            restarts=entry.incarnation - 1,
            handled=vitals.handled,
            busy_s=0.0 if busy is None else self._monotonic() - busy,
            waiting=ref.actor_inbox.qsize() if ref else 0,  # type: ignore[attr-defined]
            degraded=vitals.degraded,
            last_error=vitals.last_error,
            counters=dict(vitals.counters),
        )


@frozen
class Address:
    """A child by its name. `tell` and `ask` reach its present actor, or fail at once while it has no actor."""

    name: str
    _directory: Directory = field(eq=False, repr=False)

    def tell(self, message: object) -> Result[None]:
        """Send a notice; `Success` says that an actor had it in its inbox, not that it was handled."""
        ref = self._ref()
        if ref is None:
            return self._absent()
        try:
            ref.tell(message)
        except pykka.ActorDeadError:
            return self._absent()
        return Success(None)

    def ask(self, request: Request[T], timeout: float) -> Result[T]:
        """Send a request and wait at most `timeout` seconds for its answer.

        An agent that is away, too slow, or crashes over the request is a `Transient` failure here: its bug is its
        supervisor's business, not the asker's.
        """
        try:
            answer: Result[T] = self.future(request).get(timeout=timeout)
        except pykka.Timeout:
            return Failure(Transient("timeout", f"{self.name} gave no answer in {timeout:g} s"))
        except Exception as bug:  # noqa: BLE001  the bug of another agent, reported by its supervisor
            return Failure(Transient("crashed", f"{self.name} crashed: {type(bug).__name__}: {bug}"))
        return answer

    def future(self, request: Request[T]) -> Future[Result[T]]:
        """Send a request and return the future of its answer.

        An agent that is away, or dies before it handles the request, is a `Transient` failure; a bug of the agent and
        `Timeout` are raised by `get`.
        """
        ref = self._ref()
        asked: Any = Future() if ref is None else ref.ask(request, block=False)
        if ref is None:
            asked.set(self._absent())
        answer: Future[Result[T]] = asked  # as agents make them, which Pykka's types do not know
        answer.if_dead = self._absent
        return answer

    def status(self) -> AgentStatus | None:
        """Return a look at the agent without asking it; `None` if it has never been started."""
        return self._directory.status(self.name)

    def busy_until(self) -> float:
        """Return when the step that the agent is at ends at the latest (monotonic seconds); past where at none."""
        entry = self._directory.entry(self.name)
        return entry.vitals.busy_until if entry else -inf

    def _ref(self) -> pykka.ActorRef[Any] | None:
        entry = self._directory.entry(self.name)
        return entry.ref if entry else None

    def _absent(self) -> Failure:
        entry = self._directory.entry(self.name)
        if entry is None:
            return Failure(Transient("absent", f"{self.name} has not been started"))
        return Failure(Transient("absent", f"{self.name} {entry.why_absent()}"))
