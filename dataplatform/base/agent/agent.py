"""What an agent is: a supervised actor that opens, handles messages, closes, and tells how it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any, ClassVar, TypeVar

import pykka
from attrs import frozen

from dataplatform.base.agent.actor import SupervisedActor, understood_by
from dataplatform.base.agent.backoff import Backoff
from dataplatform.base.agent.children import ChildSpec, PeerJoined, PeerRestarted
from dataplatform.base.agent.directory import Address
from dataplatform.base.agent.futures import Deferred
from dataplatform.base.agent.messages import (
    Call,
    Degraded,
    Drain,
    Drained,
    GetStatus,
    Ready,
    Reply,
    Request,
    State,
)
from dataplatform.base.agent.runtime import Context, Incident, Timer
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success, is_failure

__all__ = ["Agent", "CallOverdue"]

T = TypeVar("T")


@frozen
class CallOverdue:
    """It is time to answer a call with `late`, unless the agent that was asked is still at work."""

    token: int
    asked: Address
    late: Failure


class Agent(SupervisedActor):
    """A supervised actor.

    A subclass writes `_open`, `receive` and `_close`, and may override the hooks of the second section. All of them
    run in the agent's own thread. Whatever they raise kills the agent: its clean-up runs, then its supervisor is told.
    An expected failure is a `Failure` to answer, never an exception to raise. `receive` gets the messages that its
    annotation names and no others: another request is answered `unsupported`, another notice is counted and logged.

    >>> from attrs import frozen
    >>> from dataplatform.base.agent import ChildSpec, Runtime, Supervisor
    >>> @frozen
    ... class Greet(Request[str]):
    ...     name: str
    >>> class Greeter(Agent):
    ...     def receive(self, message: Greet) -> Result[str]:
    ...         return Success(f"hello {message.name}")
    >>> from queue import SimpleQueue
    >>> from types import SimpleNamespace
    >>> told = SimpleQueue()
    >>> context = Context("greeter", Runtime.start(), parent=SimpleNamespace(tell=told.put))
    >>> greeter = Greeter.start(context)
    >>> told.get(timeout=5)
    Ready(name='greeter', incarnation=1)
    >>> greeter.ask(Greet("Ada"), timeout=5)
    Success(data='hello Ada')
    >>> greeter.stop()
    True
    >>> told.get(timeout=5)
    Terminated(name='greeter', incarnation=1, failure=None)
    >>> context.runtime.stop()
    """

    kind: ClassVar[str] = "service"

    def __init__(self, context: Context) -> None:
        """Take what the agent needs; runs in the thread of whoever starts it, so acquire nothing here."""
        super().__init__(context)
        self.backoff = Backoff(context.runtime.backoff)
        self._understood = understood_by(type(self).receive)
        self._tokens = count(1)
        self._calls: dict[int, tuple[Callable[[Result[Any]], None], Timer]] = {}

    @classmethod
    def child(cls, name: str, *args: Any, **options: Any) -> ChildSpec:
        """Describe a child of this class: `TimescaleClient.child("db", settings, shutdown_timeout=3.0)`."""
        options.setdefault("kind", cls.kind)
        return ChildSpec(name, lambda context: cls.start(context, *args), **options)

    # What a subclass writes

    def _open(self) -> None:
        """Acquire what the agent holds; it is `Ready` when this returns."""

    @abstractmethod
    def receive(self, message: Any) -> Result[Any] | Deferred[Any] | None:
        """Handle one message; answer requests with a `Result`, or a `Deferred` to settle later.

        The annotation of `message` is the agent's protocol: a message class, or a union of them.
        """

    def _close(self) -> None:
        """Release what is held. Safe to call twice; runs on every exit, after a failing `_open` too."""

    # What a subclass may override

    def _drain(self) -> None:
        """Finish what is in hand, then call `drained`; here there is nothing in hand."""
        self.drained()

    def _peer_joined(self, peer: Address, *, downstream: bool) -> None:
        """Meet a linked agent that runs now."""

    def _peer_restarted(self, name: str) -> None:
        """Learn that a linked agent lost what it had in hand."""

    # What a subclass uses

    def address(self, name: str) -> Address:
        """Return the address of an agent of this platform, which need not run yet."""
        return self.context.address(name)

    def kind_of(self, name: str) -> str | None:
        """Return the kind of an agent (`server`, `client`, `target`, …), `None` if it was never started."""
        entry = self.context.runtime.directory.entry(name)
        return entry.kind if entry else None

    def after(self, seconds: float, message: object) -> Timer:
        """Tell this incarnation a message in `seconds`."""
        return self.context.runtime.scheduler.after(seconds, self.actor_ref, message)

    def tell_self(self, message: object) -> None:
        """Tell this incarnation a message, from any thread; it is lost where the agent has ended."""
        with suppress(pykka.ActorDeadError):
            self.actor_ref.tell(message)

    def call(
        self,
        address: Address,
        request: Request[T],
        then: Callable[[Result[T]], None],
        *,
        timeout: float,
        while_busy: bool = False,
    ) -> None:
        """Send a request and run `then` with its answer, in this agent's thread, in `timeout` seconds at the latest.

        With `while_busy` it may take longer, as long as whoever was asked says that it is at work, step by step.
        """
        token = next(self._tokens)
        late = Failure(Transient("timeout", f"{address.name} gave no answer in {timeout:g} s"))
        overdue = CallOverdue(token, address, late) if while_busy else Reply(token, late)
        self._calls[token] = (then, self.after(timeout, overdue))
        sent = address.tell(Call(request, token, self.actor_ref))
        if is_failure(sent):
            self.actor_ref.tell(Reply(token, sent))

    def wait(self, seconds: float, then: Callable[[], None]) -> None:
        """Run `then` in this agent's thread in `seconds`; other messages are handled until then."""
        token = next(self._tokens)
        self._calls[token] = (lambda _: then(), self.after(seconds, Reply(token, Success(None))))

    def busy_for(self, seconds: float) -> None:
        """Say that the step which now begins ends in `seconds` at the latest: so long others wait who can wait."""
        self._vitals.busy_until = self.clock.monotonic() + seconds

    def count(self, counter: str, by: int = 1) -> None:
        """Add to one of the agent's counters, seen in its status."""
        self._vitals.counters[counter] += by

    def gauge(self, counter: str, value: int) -> None:
        """Set one of the agent's counters that can fall, such as a lag."""
        self._vitals.counters[counter] = value

    def degrade(self, error: PlatformError, next_try: float | None = None) -> None:
        """Show an outage, and in how many seconds the next try is due; logged when the reason changes."""
        now, before = self.clock.now(), self._vitals.degraded
        due = None if next_try is None else now + timedelta(seconds=next_try)
        self._vitals.last_error = str(error)
        self._vitals.degraded = Degraded(str(error), before.since if before else now, due)
        if before is None or before.reason != str(error):
            self.log.warning("degraded", reason=str(error), next_try=due.isoformat() if due else None)

    def share(self, outage: Degraded) -> None:
        """Show the outage of an agent on which this one depends, in that one's words."""
        if self._vitals.degraded is None or self._vitals.degraded.reason != outage.reason:
            self.log.warning("degraded", reason=outage.reason)
        self._vitals.degraded, self._vitals.last_error = outage, outage.reason

    @property
    def is_degraded(self) -> bool:
        return self._vitals.degraded is not None

    def recover(self) -> None:
        """End the outage, if there was one."""
        if outage := self._vitals.degraded:
            self.log.info("recovered", after_s=round((self.clock.now() - outage.since).total_seconds(), 3))
        self._vitals.degraded = None
        self.backoff.reset()

    def retry(self, error: PlatformError, message: object) -> float:
        """Degrade, and tell this agent `message` when the backoff says that the next try is due: in so many seconds."""
        delay = self.backoff.next(error.retry_after if isinstance(error, Transient) else None)
        self.degrade(error, delay)
        self.after(delay, message)
        return delay

    def incident(self, incident: Incident) -> None:
        """Report data that is missing or in doubt: in the log now, in the report at the end."""
        self.context.runtime.journal.record(incident)
        self.log.error("incident", kind=incident.kind, stream=incident.stream, partition=incident.partition,
                       first=incident.first, next=incident.next, message=incident.message)  # fmt: skip

    def ready(self) -> None:
        """Tell the supervisor that this agent handles messages now."""
        self.become(State.RUNNING)
        self._tell_parent(Ready(self.name, self.context.incarnation))

    def drained(self) -> None:
        """Tell the supervisor that nothing is left in hand, after a `_drain`."""
        self._tell_parent(Drained(self.name, self.context.incarnation))

    # How it works

    def _begin(self) -> None:
        self._open()
        self._opened()

    def _opened(self) -> None:
        """Say `Ready`; an agent that is ready later overrides this."""
        self.ready()

    def _answer(self, message: Any) -> Result[Any] | Deferred[Any] | None:
        match message:
            case GetStatus():
                status = self.context.runtime.directory.status(self.name)
                return Success(status) if status else Failure(Transient("absent", f"{self.name} is not registered"))
            case _ if self.context.stopping.is_set():
                return self._stopping()
            case Reply(token, result):
                self._continue(token, result)
            case CallOverdue():
                self._overdue(message)
            case Drain():
                self.become(State.DRAINING)
                self._drain()
            case PeerJoined(peer, downstream):
                self._peer_joined(peer, downstream=downstream)
            case PeerRestarted(name):
                self._peer_restarted(name)
            case _ if isinstance(message, self._understood):
                return self.receive(message)
            case _:
                return self._not_understood(message)
        return None

    def _not_understood(self, message: Any) -> Failure:
        """Refuse what is not in the agent's protocol; of the message only the class is said, as it may hold secrets."""
        what = type(message).__name__
        self.count("not_understood")
        if not isinstance(message, Request):
            self.log.warning("unknown notice", message=what)
        return Failure(Permanent("unsupported", f"{self.name} does not take {what}"))

    def _overdue(self, overdue: CallOverdue) -> None:
        """End a call, or look again when the step is over that whoever was asked is at."""
        left = overdue.asked.busy_until() - self.clock.monotonic()
        if left <= 0:
            self._continue(overdue.token, overdue.late)
        elif call := self._calls.get(overdue.token):
            self._calls[overdue.token] = (call[0], self.after(left, overdue))

    def _continue(self, token: int, result: Result[Any]) -> None:
        then, timer = self._calls.pop(token, (None, None))
        if timer is not None:
            timer.cancel()
        if then is not None:
            then(result)
