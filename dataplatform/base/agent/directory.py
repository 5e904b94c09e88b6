"""Names that outlive restarts: an `Address` reaches whichever actor runs under its name now."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import pykka
from attrs import define, field, frozen

from dataplatform.base.agent.status import AgentStatus, State, Vitals
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success

if TYPE_CHECKING:
    from dataplatform.base.agent.clock import Clock
    from dataplatform.base.agent.messages import Request

__all__ = ["Address", "Directory", "Entry"]

T = TypeVar("T")


@define(eq=False)
class Entry:
    """What is known of a name: the actor that runs under it now, if any, and the vitals of the latest one."""

    kind: str
    incarnation: int
    vitals: Vitals
    ref: pykka.ActorRef[Any] | None = None
    gone: threading.Event = field(factory=threading.Event)


@define(eq=False)
class Directory:
    """The names of one platform. Read by any thread; entries are replaced whole, never changed half."""

    clock: Clock
    _entries: dict[str, Entry] = field(factory=dict)

    def address(self, name: str) -> Address:
        return Address(name, self)

    def enter(self, name: str, entry: Entry) -> None:
        self._entries[name] = entry

    def entry(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def names(self) -> list[str]:
        return list(self._entries)

    def status(self, name: str) -> AgentStatus | None:
        """Return a look at the agent without asking it, so that one stuck in a call is seen too."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        vitals, busy = entry.vitals, entry.vitals.busy_since
        return AgentStatus(
            name=name,
            kind=entry.kind,
            state=vitals.state,
            since=vitals.since,
            restarts=entry.incarnation - 1,
            handled=vitals.handled,
            busy_s=0.0 if busy is None else self.clock.monotonic() - busy,
            waiting=entry.ref.actor_inbox.qsize() if entry.ref else 0,  # type: ignore[attr-defined]
            degraded=vitals.degraded,
            last_error=vitals.last_error,
            counters=dict(vitals.counters),
        )


@frozen
class Address:
    """A child by its name. `tell` and `ask` reach its present actor, or fail at once while there is none."""

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
        except pykka.ActorDeadError:
            return self._absent()
        except Exception as bug:  # noqa: BLE001  the bug of another agent, reported by its supervisor
            return Failure(Transient("crashed", f"{self.name} crashed: {type(bug).__name__}: {bug}"))
        return answer

    def future(self, request: Request[T]) -> pykka.Future[Result[T]]:
        """Send a request and return Pykka's future of its answer; a bug of the agent is raised by `get`."""
        ref = self._ref()
        try:
            if ref is not None:
                return ref.ask(request, block=False)
        except pykka.ActorDeadError:
            pass
        nobody: pykka.ThreadingFuture[Result[T]] = pykka.ThreadingFuture()
        nobody.set(self._absent())
        return nobody

    def status(self) -> AgentStatus | None:
        return self._directory.status(self.name)

    def _ref(self) -> pykka.ActorRef[Any] | None:
        entry = self._directory.entry(self.name)
        return entry.ref if entry else None

    def _absent(self) -> Failure:
        entry = self._directory.entry(self.name)
        if entry is None:
            return Failure(Transient("absent", f"{self.name} has not been started"))
        word = "has been stopped" if entry.vitals.state is State.STOPPED else "is restarting"
        return Failure(Transient("absent", f"{self.name} {word}"))
