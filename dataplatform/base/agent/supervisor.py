"""The supervisor: starts its children in order, restarts the crashed, stops in reverse, and gives up in good order.

It never blocks. Each child has a `want` and a `phase`; every event ends in `_reconcile`, which takes the
next possible step for each child: down from the last stage to the first, up from the first to the last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import define, field, frozen

from dataplatform.base.agent.agent import Agent, OrderlyDeath
from dataplatform.base.agent.child import ChildSpec, Intensity, Link, Restart, Strategy
from dataplatform.base.agent.context import Context
from dataplatform.base.agent.directory import Entry
from dataplatform.base.agent.messages import Drain, Drained, PeerJoined, PeerRestarted, Ready, Request, Terminated
from dataplatform.base.agent.status import State
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success

__all__ = ["GaveUp", "RestartChild", "Supervisor"]


class GaveUp(OrderlyDeath):
    """A supervisor's children crashed more often than restarts can mend."""


class Want(Enum):
    UP = auto()
    DRAINED = auto()  # down, after finishing what it has in hand
    DOWN = auto()  # down at once


class Phase(Enum):
    DOWN = auto()
    BACKOFF = auto()  # crashed, to be started when its time comes
    STARTING = auto()
    RUNNING = auto()
    DRAINING = auto()
    STOPPING = auto()
    DONE = auto()  # ended, and its restart type says to leave it so


@define(eq=False)
class Child:
    """One child as its supervisor sees it."""

    spec: ChildSpec
    want: Want = Want.UP
    phase: Phase = Phase.DOWN
    context: Context | None = None
    incarnation: int = 0
    crashes: deque[float] = field(factory=deque)
    entry: Entry | None = None

    @property
    def alive(self) -> bool:
        return self.phase in {Phase.STARTING, Phase.RUNNING, Phase.DRAINING, Phase.STOPPING}


@frozen
class StartDue:
    """A child's backoff is over."""

    name: str
    incarnation: int


@frozen
class Overdue:
    """A child had its time for a phase."""

    name: str
    incarnation: int
    phase: Phase


@frozen
class RestartChild(Request[None]):
    """Stop the named child in good order and start it anew; answers at once."""

    name: str


Message: TypeAlias = Ready | Drained | Terminated | StartDue | Overdue | RestartChild


class Supervisor(Agent):
    """Keeps its children running as their specs say.

    It is `Ready` when all of them are. `Drain` stops them in reverse; when the intensity is exceeded it does the same
    by itself and then dies of `GaveUp`, which its own supervisor (or, at the root, the process) is told.
    """

    kind: ClassVar[str] = "supervisor"

    def __init__(
        self,
        context: Context,
        children: Sequence[ChildSpec],
        links: Sequence[Link] = (),
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = None,
    ) -> None:
        super().__init__(context)
        self._children = {spec.name: Child(spec) for spec in children}
        self._stages = sorted({spec.stage for spec in children})
        self._links = tuple(links)
        self._strategy = strategy
        self._intensity = intensity or Intensity()
        self._crashes: deque[float] = deque()
        self._gave_up: GaveUp | None = None
        self._told_ready = False

    def _open(self) -> None:
        self._reconcile()

    def _opened(self) -> None:
        """`Ready` is said by `_reconcile`, when all children are up."""

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case Ready(name, incarnation):
                if child := self._current(name, incarnation):
                    self._child_ready(child)
            case Drained(name, incarnation):
                if child := self._current(name, incarnation):
                    self._stop_child(child)
            case Terminated(name, incarnation, failure):
                if child := self._current(name, incarnation):
                    self._child_dead(child, failure)
            case StartDue(name, incarnation):
                child = self._current(name, incarnation)
                if child and child.phase is Phase.BACKOFF:
                    child.phase = Phase.DOWN
            case Overdue(name, incarnation, phase):
                child = self._current(name, incarnation)
                if child and child.phase is phase:
                    self._child_overdue(child)
            case RestartChild(name):
                return self._restart_child(name)
            case _:
                assert_never(message)
        self._reconcile()
        return None

    def _drain(self) -> None:
        for child in self._children.values():
            child.want = Want.DRAINED
        self._reconcile()

    def _close(self) -> None:
        """Stop whatever still runs: after a crash of the supervisor itself, or a stop without a drain."""
        for child in reversed(self._children.values()):
            if child.alive and child.context and child.entry:
                child.context.stopping.set()
                if child.entry.ref is not None:
                    child.entry.ref.stop(block=False)
                child.entry.gone.wait(child.spec.shutdown_timeout)

    # One child's life

    def _start_child(self, child: Child) -> None:
        child.incarnation += 1
        child.phase = Phase.STARTING
        child.context = Context(child.spec.name, self.context.runtime, self.actor_ref, child.incarnation)
        child.entry = Entry(child.spec.kind, child.incarnation, child.context.vitals)
        if child.incarnation > 1:
            self._keep_last_error(child)
        self.context.runtime.directory.enter(child.spec.name, child.entry)
        self._limit(child, child.spec.start_timeout)
        try:
            child.entry.ref = child.spec.factory(child.context)
        except Exception as bug:  # noqa: BLE001  a constructor that fails is a death like any other
            self._bury_unborn(child, bug)

    def _child_ready(self, child: Child) -> None:
        if child.phase is not Phase.STARTING:
            return
        child.phase = Phase.RUNNING
        for link in self._links:
            if child.spec.name in {link.upstream, link.downstream}:
                self._introduce(child, link)

    def _introduce(self, child: Child, link: Link) -> None:
        """Tell both ends of each other; the peers of a restarted child also learn that it lost what it had."""
        downstream = link.downstream != child.spec.name
        peer = self._children[link.downstream if downstream else link.upstream]
        if peer.phase is not Phase.RUNNING:
            return
        here, there = self.address(child.spec.name), self.address(peer.spec.name)
        if child.incarnation > 1:
            there.tell(PeerRestarted(child.spec.name))
        here.tell(PeerJoined(there, downstream))
        there.tell(PeerJoined(here, not downstream))

    def _stop_child(self, child: Child) -> None:
        if child.phase in {Phase.STOPPING, Phase.DOWN} or child.context is None or child.entry is None:
            return
        child.phase = Phase.STOPPING
        child.context.stopping.set()
        self._limit(child, child.spec.shutdown_timeout)
        if child.entry.ref is not None and child.entry.ref.is_alive():
            child.entry.ref.stop(block=False)

    def _child_dead(self, child: Child, failure: BaseException | None) -> None:
        expected = child.phase is Phase.STOPPING or child.want is not Want.UP
        child.phase = Phase.DOWN
        if expected:
            return
        if child.spec.restart is Restart.TEMPORARY or (child.spec.restart is Restart.TRANSIENT and failure is None):
            child.phase = Phase.DONE
            return
        self._recover_from(child, failure)

    def _child_overdue(self, child: Child) -> None:
        match child.phase:
            case Phase.DRAINING:
                self.log.warning("not drained in time", child=child.spec.name, timeout_s=child.spec.drain_timeout)
                self._stop_child(child)
            case Phase.STOPPING:
                self._abandon(child, "did not stop")
                child.phase = Phase.DOWN
            case _:
                error = self._abandon(child, "did not start")
                child.phase = Phase.DOWN
                self._recover_from(child, error)

    def _abandon(self, child: Child, what: str) -> TimeoutError:
        """Stop waiting for a stuck child: its thread is left behind, its name is free."""
        error = TimeoutError(f"{child.spec.name} is stuck: it {what} in time and is left behind")
        self.log.error("stuck", child=child.spec.name, what=what)
        if child.entry is not None and child.context is not None:
            child.context.stopping.set()
            child.entry.ref = None
            child.entry.vitals.last_error = str(error)
            child.entry.vitals.state = State.FAILED
        return error

    # Crashes

    def _recover_from(self, child: Child, failure: BaseException | None) -> None:
        now = self.clock.monotonic()
        for crashes in (self._crashes, child.crashes):
            crashes.append(now)
            while now - crashes[0] > self._intensity.within:
                crashes.popleft()
        if self._gave_up is None and len(self._crashes) > self._intensity.restarts:
            self._give_up(child, failure)
            return
        delay = self.context.runtime.backoff.delay(len(child.crashes))
        child.phase = Phase.BACKOFF
        self.log.warning("restarting", child=child.spec.name, in_s=round(delay, 3), crashes=len(child.crashes))
        self.after(delay, StartDue(child.spec.name, child.incarnation))
        for sibling in self._siblings_of(child):
            sibling.want = Want.DOWN  # `_reconcile` wants it up again when all of them are down

    def _siblings_of(self, crashed: Child) -> list[Child]:
        others = [child for child in self._children.values() if child is not crashed and child.phase is not Phase.DONE]
        match self._strategy:
            case Strategy.ONE_FOR_ONE:
                return []
            case Strategy.ONE_FOR_ALL:
                return others
            case Strategy.REST_FOR_ONE:
                order = list(self._children)
                place = order.index(crashed.spec.name)
                return [child for child in others if order.index(child.spec.name) > place]
            case _:
                assert_never(self._strategy)

    def _give_up(self, child: Child, failure: BaseException | None) -> None:
        cause = f"{type(failure).__name__}: {failure}" if failure else "it stopped without being asked to"
        self._gave_up = GaveUp(
            f"{child.spec.name} crashed, the {len(self._crashes)}th crash under {self.name}"
            f" within {self._intensity.within:g} s: {cause}"
        )
        self._vitals.last_error = str(self._gave_up)
        self.log.error("giving up", reason=str(self._gave_up))
        self.become(State.DRAINING)
        self._drain()

    def _restart_child(self, name: str) -> Result[None]:
        child = self._children.get(name)
        if child is None:
            return Failure(
                Permanent("not_found", f"no agent is called {name!r}", remedy=f"there are {', '.join(self._children)}")
            )
        child.want = Want.DRAINED
        self._reconcile()
        return Success(None)

    # Reconciliation

    def _reconcile(self) -> None:
        if not self._take_down():
            return
        if self.state is State.DRAINING:
            self._all_down()
            return
        for child in self._children.values():
            child.want = Want.UP
        if self._bring_up() and not self._told_ready:
            self._told_ready = True
            self.ready()

    def _take_down(self) -> bool:
        """Take the next steps down; `True` when everything unwanted is down."""
        for stage in reversed(self._stages):
            unwanted = [c for c in self._of(stage) if c.want is not Want.UP]
            for child in unwanted:
                self._step_down(child)
            if any(child.alive for child in unwanted):
                return False
        return True

    def _step_down(self, child: Child) -> None:
        if child.phase is Phase.BACKOFF:
            child.phase = Phase.DOWN
        elif child.phase is Phase.STARTING or (child.phase is Phase.RUNNING and child.want is Want.DOWN):
            self._stop_child(child)
        elif child.phase is Phase.RUNNING:
            child.phase = Phase.DRAINING
            self._limit(child, child.spec.drain_timeout)
            self.address(child.spec.name).tell(Drain())

    def _bring_up(self) -> bool:
        """Take the next steps up; `True` when every child is up or done."""
        for stage in self._stages:
            children = self._of(stage)
            for child in children:
                if child.phase is Phase.DOWN:
                    self._start_child(child)
            if any(child.phase not in {Phase.RUNNING, Phase.DONE} for child in children):
                return False
        return True

    def _all_down(self) -> None:
        if self._gave_up is not None:
            raise self._gave_up
        self.drained()

    # Small things

    def _of(self, stage: int) -> list[Child]:
        return [child for child in self._children.values() if child.spec.stage == stage]

    def _current(self, name: str, incarnation: int) -> Child | None:
        child = self._children.get(name)
        return child if child and child.incarnation == incarnation else None

    def _limit(self, child: Child, seconds: float) -> None:
        self.after(seconds, Overdue(child.spec.name, child.incarnation, child.phase))

    def _keep_last_error(self, child: Child) -> None:
        before = self.context.runtime.directory.entry(child.spec.name)
        if before is not None and child.entry is not None:
            child.entry.vitals.last_error = before.vitals.last_error
            child.entry.vitals.counters.update(before.vitals.counters)

    def _bury_unborn(self, child: Child, bug: Exception) -> None:
        self.log.error("crashed", child=child.spec.name, error=f"{type(bug).__name__}: {bug}", exc_info=bug)
        if child.entry is not None:
            child.entry.vitals.last_error = f"{type(bug).__name__}: {bug}"
            child.entry.vitals.state = State.FAILED
            child.entry.gone.set()
        self.actor_ref.tell(Terminated(child.spec.name, child.incarnation, bug))


def root_entry(context: Context) -> Entry:
    """Return the directory entry of a root supervisor, which has no supervisor to make one."""
    return Entry("supervisor", context.incarnation, context.vitals)
