"""The one class that touches Pykka's hooks: an actor whose every death is clean, complete and reported."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any, ClassVar, TypeVar

import pykka
import structlog
from pykka.messages import ProxyCall

from dataplatform.base.agent.backoff import Backoff
from dataplatform.base.agent.child import ChildSpec
from dataplatform.base.agent.context import Context
from dataplatform.base.agent.directory import Address
from dataplatform.base.agent.journal import Incident
from dataplatform.base.agent.messages import (
    Call,
    Drain,
    Drained,
    GetStatus,
    PeerJoined,
    PeerRestarted,
    Ready,
    Reply,
    Request,
    Terminated,
)
from dataplatform.base.agent.scheduler import Timer
from dataplatform.base.agent.status import Degraded, State
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success, is_failure

__all__ = ["Agent", "AgentCrashed", "OrderlyDeath"]

T = TypeVar("T")


class AgentCrashed(RuntimeError):
    """An agent died of something that is not an `Exception`, such as `SystemExit` in a handler."""


class OrderlyDeath(Exception):
    """An agent's own decision to die as failed, after it has put things in order; no bug, so no traceback."""


class Agent(pykka.ThreadingActor, ABC):
    """A supervised actor.

    A subclass writes `_open`, `receive` and `_close`, and may override the hooks of the third section. All of them
    run in the agent's own thread. Whatever they raise kills the agent: its clean-up runs, then its supervisor is told.
    An expected failure is a `Failure` to answer, never an exception to raise.
    """

    use_daemon_thread = True  # an agent stuck in a call must not keep the process from exiting
    kind: ClassVar[str] = "service"

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.name = context.name
        self.clock = context.runtime.clock
        self.log: Any = structlog.get_logger().bind(agent=context.name)
        self.backoff = Backoff(context.runtime.backoff)
        self._vitals = context.vitals
        self._failure: BaseException | None = None
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
    def receive(self, message: Any) -> Result[Any] | None:
        """Handle one message of the agent's union; answer requests with a `Result`."""

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
        return self.context.address(name)

    def after(self, seconds: float, message: object) -> Timer:
        """Tell this incarnation a message in `seconds`."""
        return self.context.runtime.scheduler.after(seconds, self.actor_ref, message)

    def call(self, address: Address, request: Request[T], then: Callable[[Result[T]], None], *, timeout: float) -> None:
        """Send a request and run `then` with its answer, in this agent's thread, in `timeout` seconds at the latest."""
        token = next(self._tokens)
        late = Failure(Transient("timeout", f"{address.name} gave no answer in {timeout:g} s"))
        self._calls[token] = (then, self.after(timeout, Reply(token, late)))
        sent = address.tell(Call(request, token, self.actor_ref))
        if is_failure(sent):
            self.actor_ref.tell(Reply(token, sent))

    def count(self, counter: str, by: int = 1) -> None:
        """Add to one of the agent's counters, seen in its status."""
        self._vitals.counters[counter] += by

    def degrade(self, error: PlatformError, next_try: float | None = None) -> None:
        """Show an outage, and in how many seconds the next try is due; logged when the reason changes."""
        now, before = self.clock.now(), self._vitals.degraded
        due = None if next_try is None else now + timedelta(seconds=next_try)
        self._vitals.last_error = str(error)
        self._vitals.degraded = Degraded(str(error), before.since if before else now, due)
        if before is None or before.reason != str(error):
            self.log.warning("degraded", reason=str(error), next_try=due.isoformat() if due else None)

    def recover(self) -> None:
        """End the outage, if there was one."""
        if self._vitals.degraded is not None:
            self.log.info(
                "recovered", after_s=round((self.clock.now() - self._vitals.degraded.since).total_seconds(), 3)
            )
        self._vitals.degraded = None
        self.backoff.reset()

    def retry(self, error: PlatformError, message: object) -> None:
        """Degrade, and tell this agent `message` when the backoff says that the next try is due."""
        delay = self.backoff.next(error.retry_after if isinstance(error, Transient) else None)
        self.degrade(error, delay)
        self.after(delay, message)

    def incident(self, incident: Incident) -> None:
        """Report data that is missing or in doubt: in the log now, in the report at the end."""
        self.context.runtime.journal.record(incident)
        self.log.error("incident", kind=incident.kind, stream=incident.stream, partition=incident.partition,
                       first=incident.first, next=incident.next, message=incident.message)  # fmt: skip

    def ready(self) -> None:
        self.become(State.RUNNING)
        self.context.parent.tell(Ready(self.name, self.context.incarnation))

    def drained(self) -> None:
        self.context.parent.tell(Drained(self.name, self.context.incarnation))

    def become(self, state: State) -> None:
        self._vitals.state, self._vitals.since = state, self.clock.now()

    @property
    def state(self) -> State:
        return self._vitals.state

    # Pykka's hooks

    def on_start(self) -> None:
        self._guarded(self._open_and_tell)

    def on_receive(self, message: Any) -> Result[Any] | None:
        if isinstance(message, Call):
            with suppress(pykka.ActorDeadError):
                message.reply_to.tell(Reply(message.token, self._answer(message.request) or Success(None)))
            return None
        return self._answer(message)

    def _handle_receive(self, message: Any) -> Any:
        """Run one message or proxy call; a bug stops the agent, and Pykka hands the exception to the caller."""
        if isinstance(message, ProxyCall):
            _refuse_unfit(self, message)
        self._vitals.busy_since = self.clock.monotonic()
        try:
            return self._guarded(lambda: super(Agent, self)._handle_receive(message))
        except Exception as bug:
            if isinstance(message, Call):
                self._refuse(message, f"crashed: {type(bug).__name__}: {bug}")
            raise
        finally:
            self._vitals.busy_since = None
            self._vitals.handled += 1

    def _actor_loop(self) -> None:
        try:
            super()._actor_loop()
        except BaseException as bug:  # noqa: BLE001  the thread must not die unreported, whatever kills it
            self._failure = self._failure or bug
        finally:
            self._bury()

    def _actor_loop_teardown(self) -> None:
        """Refuse the calls nobody will handle any more; Pykka itself refuses the asks."""
        asks = []
        while not self.actor_inbox.empty():
            envelope = self.actor_inbox.get()
            if isinstance(envelope.message, Call):
                self._refuse(envelope.message, "stopped before handling the request")
            elif envelope.reply_to is not None:
                asks.append(envelope)
        for envelope in asks:
            self.actor_inbox.put(envelope)
        super()._actor_loop_teardown()

    # How it works

    def _open_and_tell(self) -> None:
        self._open()
        self._opened()

    def _opened(self) -> None:
        """Say `Ready`; an agent that is ready later overrides this."""
        self.ready()

    def _guarded(self, run: Callable[[], T]) -> T:
        try:
            return run()
        except BaseException as bug:
            self._failure = bug
            self.actor_stopped.set()
            if isinstance(bug, Exception):
                raise
            message = f"{type(bug).__name__}: {bug}"
            raise AgentCrashed(message) from bug  # Pykka would stop every actor of the process

    def _answer(self, message: Any) -> Result[Any] | None:
        match message:
            case GetStatus():
                status = self.context.runtime.directory.status(self.name)
                return Success(status) if status else Failure(Transient("absent", f"{self.name} is not registered"))
            case _ if self.context.stopping.is_set():
                return Failure(Transient("stopping", f"{self.name} is stopping"))
            case Reply(token, result):
                self._continue(token, result)
            case Drain():
                self.become(State.DRAINING)
                self._drain()
            case PeerJoined(peer, downstream):
                self._peer_joined(peer, downstream=downstream)
            case PeerRestarted(name):
                self._peer_restarted(name)
            case _:
                return self.receive(message)
        return None

    def _continue(self, token: int, result: Result[Any]) -> None:
        then, timer = self._calls.pop(token, (None, None))
        if timer is not None:
            timer.cancel()
        if then is not None:
            then(result)

    def _refuse(self, call: Call, why: str) -> None:
        with suppress(pykka.ActorDeadError):
            call.reply_to.tell(Reply(call.token, Failure(Transient("crashed", f"{self.name} {why}"))))

    def _bury(self) -> None:
        try:
            self._close()
        except BaseException as bug:  # noqa: BLE001  a failing clean-up is a death like any other
            self._failure = self._failure or bug
        pykka.ActorRegistry.unregister(self.actor_ref)
        if self._failure is not None:
            self._vitals.last_error = f"{type(self._failure).__name__}: {self._failure}"
            orderly = isinstance(self._failure, OrderlyDeath)
            self.log.error("died", error=self._vitals.last_error, exc_info=None if orderly else self._failure)
        self.become(State.FAILED if self._failure else State.STOPPED)
        entry = self.context.runtime.directory.entry(self.name)
        if entry is not None and entry.incarnation == self.context.incarnation:
            entry.ref = None
            entry.gone.set()
        self.context.parent.tell(Terminated(self.name, self.context.incarnation, self._failure))


def _refuse_unfit(agent: Agent, call: ProxyCall) -> None:
    """Raise the caller's `TypeError` for arguments that do not fit, before anything of the agent has run."""
    callee: Any = agent
    for name in call.attr_path:
        callee = getattr(callee, name)
    inspect.signature(callee).bind(*call.args, **call.kwargs)
