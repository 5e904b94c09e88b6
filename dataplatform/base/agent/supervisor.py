"""The supervisor: starts its children in order, restarts the crashed, stops in reverse, and gives up in good order.

It never blocks. Each child has a `want` and a `phase`; every event ends in `_reconcile`, which takes the
next possible step for each child: down from the last stage to the first, up from the first to the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import frozen

from dataplatform.base.agent.actor import OrderlyDeath
from dataplatform.base.agent.agent import Agent
from dataplatform.base.agent.children import (
    Child,
    ChildSpec,
    CrashLog,
    Link,
    Phase,
    Restart,
    RestartLimit,
    Strategy,
    Want,
    check,
    introduce,
    siblings,
)
from dataplatform.base.agent.directory import Entry
from dataplatform.base.agent.messages import Drain, Drained, Ready, Request, State, Terminated
from dataplatform.base.agent.runtime import Context
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success

__all__ = ["ROOT", "GaveUp", "RestartChild", "Supervisor"]

ROOT = "supervisor"  # the name of the root supervisor


class GaveUp(OrderlyDeath):
    """A supervisor's children crashed more often than restarts can mend."""


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

    It is `Ready` when all of them are. `Drain` stops them in reverse; when they crash too often it does the same
    by itself and then dies of `GaveUp`, which its own supervisor (or, at the root, the process) is told.

    Which crashes may end a platform: those of the root's own children, which are the flow (servers, clients, targets
    and sources), when they exceed the root's restart limit together; and bugs of a supervisor itself. What answers
    questions from outside (views of topics, services such as the MCP server and its readers, the control socket, the
    counts in the status) crashes in a `Bulkhead`, which pauses instead of giving up, and never ends it.

    >>> from queue import SimpleQueue
    >>> from types import SimpleNamespace
    >>> from dataplatform.base.agent import Runtime
    >>> class Idle(Agent):
    ...     def receive(self, message: object) -> None: ...
    >>> told = SimpleQueue()
    >>> context = Context("root", Runtime.start(), parent=SimpleNamespace(tell=told.put))
    >>> children = [Idle.child("store"), Idle.child("reader", stage=1)]
    >>> root = Supervisor.start(context, children, [Link("reader", "store")])
    >>> told.get(timeout=5)
    Ready(name='root', incarnation=1)
    >>> context.address("reader").status().shown
    'running'
    >>> root.tell(Drain())
    >>> told.get(timeout=5)
    Drained(name='root', incarnation=1)
    >>> root.stop()
    True
    >>> context.runtime.stop()
    """

    kind: ClassVar[str] = "supervisor"

    def __init__(
        self,
        context: Context,
        children: Sequence[ChildSpec],
        links: Sequence[Link] = (),
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        restart_limit: RestartLimit | None = None,
    ) -> None:
        super().__init__(context)
        check(children, links)
        self._restart_limit = restart_limit or RestartLimit()
        self._crashes = CrashLog(self._restart_limit.within)
        in_order = sorted(children, key=lambda spec: spec.stage)
        self._children = {spec.name: Child(spec, CrashLog(self._restart_limit.within), self.name) for spec in in_order}
        self._stages = sorted({spec.stage for spec in children})
        self._links = tuple(links)
        self._strategy = Strategy(strategy)
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
                child = self._current(name, incarnation)
                if child and child.phase is Phase.DRAINING:
                    self._stop_child(child)
            case Terminated(name, incarnation, failure):
                child = self._current(name, incarnation)
                if child and child.alive:  # one that was left behind may still come to its end
                    self._child_terminated(child, failure)
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
        self._want_drained()

    def _close(self) -> None:
        """Stop whatever still runs, in reverse: after a crash of the supervisor itself, or a stop without a drain."""
        for stage in reversed(self._stages):
            alive = [child for child in self._of(stage) if child.alive]
            asked_at = self.clock.monotonic()
            for child in alive:
                child.stop()
            for child in alive:
                left = asked_at + child.spec.shutdown_timeout - self.clock.monotonic()
                if not child.wait(max(0.0, left)):
                    self._abandon(child, "did not stop")
                child.phase = Phase.DOWN

    # One child's life

    def _start_child(self, child: Child) -> None:
        try:
            child.start(self.context.runtime, self.actor_ref)
        except BaseException as bug:  # a constructor that fails, or exits, is a death like any other
            self.log.exception("crashed", child=child.name, error=f"{type(bug).__name__}: {bug}")
            self.actor_ref.tell(Terminated(child.name, child.incarnation, bug))
        self._limit(child, child.spec.start_timeout)

    def _child_ready(self, child: Child) -> None:
        if child.phase is not Phase.STARTING:
            return
        child.phase = Phase.RUNNING
        introduce(child, self._links, self._children, self.address)

    def _stop_child(self, child: Child) -> None:
        child.phase = Phase.STOPPING
        self._limit(child, child.spec.shutdown_timeout)
        child.stop()

    def _child_terminated(self, child: Child, failure: BaseException | None) -> None:
        if not child.gone:
            self._abandon(child, "did not finish its clean-up")
        self._child_dead(child, failure)

    def _child_overdue(self, child: Child) -> None:
        if child.phase is Phase.DRAINING:
            self.log.warning("not drained in time", child=child.name, timeout_s=child.spec.drain_timeout)
            self._stop_child(child)
            return
        what = "did not stop" if child.phase is Phase.STOPPING else "did not start"
        self._child_dead(child, self._abandon(child, what))

    def _abandon(self, child: Child, what: str) -> TimeoutError:
        error = TimeoutError(f"{child.name} is stuck: it {what} in time and is left behind")
        self.log.error("stuck", child=child.name, what=what)
        child.abandon(error)
        return error

    def _child_dead(self, child: Child, failure: BaseException | None) -> None:
        if child.phase is Phase.STOPPING or child.want is not Want.UP:
            child.settle()
        elif child.spec.restart is Restart.TEMPORARY or (child.spec.restart is Restart.TRANSIENT and failure is None):
            child.finish()
        else:
            self._recover_from(child, failure)

    # Crashes

    def _recover_from(self, child: Child, failure: BaseException | None) -> None:
        child.phase = Phase.DOWN
        now = self.clock.monotonic()
        crashes, of_child = self._crashes.add(now), child.crashes.add(now)
        if self._gave_up is None and crashes > self._restart_limit.restarts:
            self._give_up(self._too_often(child, failure, crashes))
            return
        delay = self.context.runtime.backoff.delay(of_child)
        child.phase = Phase.BACKOFF
        self.log.warning("restarting", child=child.name, in_s=round(delay, 3), crashes=of_child)
        self.after(delay, StartDue(child.name, child.incarnation))
        for sibling in siblings(self._strategy, child, list(self._children.values())):
            sibling.want = Want.DOWN  # `_reconcile` wants it up again when all of them are down

    def _too_often(self, child: Child, failure: BaseException | None, crashes: int) -> GaveUp:
        cause = f"{type(failure).__name__}: {failure}" if failure else "it stopped without being asked to"
        return GaveUp(
            f"{child.name} crashed: {cause} (crash {crashes} under {self.name} within {self._restart_limit.within:g} s)"
        )

    def _give_up(self, reason: GaveUp) -> None:
        self._gave_up = reason
        self._vitals.last_error = str(reason)
        self.log.error("giving up", reason=str(reason))
        self.become(State.DRAINING)
        self._want_drained()

    def _want_drained(self) -> None:
        for child in self._children.values():
            child.want = Want.DRAINED
        self._reconcile()

    def _forget_crashes(self) -> None:
        self._crashes = CrashLog(self._restart_limit.within)
        for child in self._children.values():
            child.crashes = CrashLog(self._restart_limit.within)

    def _restart_child(self, name: str) -> Result[None]:
        child = self._children.get(name)
        if child is None:
            names = ", ".join(self._children)
            return Failure(Permanent("not_found", f"no agent is called {name!r}", remedy=f"there are {names}"))
        if self.state is State.DRAINING:
            return self._stopping()
        if child.phase is Phase.DONE:
            child.phase = Phase.DOWN
        if child.want is Want.UP:
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
        if not self._may_start():
            return
        for child in self._children.values():
            child.want = Want.UP
        if self._bring_up():
            self._all_up()

    def _take_down(self) -> bool:
        """Take the next steps down; `True` when everything unwanted is down."""
        for stage in reversed(self._stages):
            unwanted = [child for child in self._of(stage) if child.want is not Want.UP]
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
            self.address(child.name).tell(Drain())

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

    def _may_start(self) -> bool:
        """Tell whether children that are down are to be started now; they always are, but in a bulkhead."""
        return True

    def _all_up(self) -> None:
        self._say_ready()

    def _say_ready(self) -> None:
        if not self._told_ready:
            self._told_ready = True
            self.ready()

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
        self.after(seconds, Overdue(child.name, child.incarnation, child.phase))


def root_entry(context: Context) -> Entry:
    """Return the directory entry of a root supervisor, which has no supervisor to make one."""
    return Entry("supervisor", context.incarnation, context.vitals)
