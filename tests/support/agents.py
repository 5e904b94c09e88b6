"""What tests of agents share: a parent that listens, a trace of what happened, a scheduler to look into, a probe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import pykka
from attrs import define, field, frozen
from pykka.messages import ProxyCall

from dataplatform.base.agent import (
    Address,
    Agent,
    BackoffPolicy,
    ChildSpec,
    Context,
    Directory,
    GetStatus,
    Journal,
    Link,
    ManualClock,
    Request,
    RestartLimit,
    Runtime,
    Scheduler,
    Strategy,
    Supervisor,
    Timer,
)
from dataplatform.base.agent.children import Phase
from dataplatform.base.agent.runtime import Recipient
from dataplatform.base.agent.supervisor import Overdue, StartDue, root_entry
from dataplatform.result import Result, Success
from tests.support import waiting

DEADLINE = waiting.DEADLINE
LOOK = 0.05  # seconds
M = TypeVar("M")


@define(eq=False)
class Told(Generic[M]):
    """A queue of what happened, each taken once, with a deadline."""

    _queue: SimpleQueue[M] = field(factory=SimpleQueue)

    def tell(self, message: M, /) -> None:
        self._queue.put(message)

    def next(self) -> M:
        try:
            return self._queue.get(timeout=DEADLINE)
        except Empty:
            raise AssertionError("nothing more was told") from None

    def rest(self) -> list[M]:
        """Take all that is there, without waiting."""
        return list(iter(self._pop, None))

    def until(self, *wanted: M) -> list[M]:
        """Take messages until each wanted one was among them, in any order; return all that were taken."""
        taken: list[M] = []
        while missing := [message for message in wanted if message not in taken]:
            try:
                taken.append(self._queue.get(timeout=DEADLINE))
            except Empty:
                raise AssertionError(f"{missing} did not happen; {taken} did") from None
        return taken

    def _pop(self) -> M | None:
        with suppress(Empty):
            return self._queue.get_nowait()
        return None


class Parent(Told[Any]):
    """A supervisor's stand-in for one agent, or the process above a root supervisor."""

    def expect(self, kind: type[M]) -> M:
        """Take the next message, which must be of this kind."""
        message = self.next()
        assert isinstance(message, kind), f"{message} was told instead of {kind.__name__}"
        return message

    def until_type(self, kind: type[M]) -> M:
        """Take messages until there is one of this kind."""
        while not isinstance(message := self.next(), kind):
            pass
        return message


@define(eq=False)
class WatchedScheduler(Scheduler):
    """The real scheduler, which also shows the timers that are set."""

    timers: Told[Timer] = field(factory=Told[Timer], init=False)

    def after(self, seconds: float, recipient: Recipient, message: object) -> Timer:
        timer = super().after(seconds, recipient, message)
        self.timers.tell(timer)
        return timer

    def expect(self, kind: type[object], where: Callable[[Any], bool] = lambda _: True) -> Timer:
        """Wait until a timer with a message of this kind is set."""
        while True:
            timer = self.timers.next()
            if isinstance(timer.message, kind) and where(timer.message):
                return timer


@frozen
class Hooks:
    """What a `Probe` does at the turns of its life."""

    on_init: Callable[[Probe], None] = lambda _: None
    on_open: Callable[[Probe], None] = lambda _: None
    on_close: Callable[[Probe], None] = lambda _: None
    on_drain: Callable[[Probe], None] = Agent.drained


@frozen
class Do:
    """A notice: run this in the agent's thread."""

    run: Callable[[Probe], object]


@frozen
class Get(Request[Any]):
    """A request: run this in the agent's thread, and answer what it returns."""

    run: Callable[[Probe], object]


@define(eq=False)
class Gate:
    """A hook that holds an agent up: `reached` waits until it is there, `open` lets it go on."""

    _reached: threading.Event = field(factory=threading.Event)
    _opened: threading.Event = field(factory=threading.Event)

    def __call__(self, _: Probe) -> None:
        self._reached.set()
        assert self._opened.wait(2 * DEADLINE)

    def reached(self) -> None:
        assert self._reached.wait(DEADLINE)

    def open(self) -> None:
        self._opened.set()


class Probe(Agent):
    """An agent that traces its life as `name#incarnation event`, and does what a test tells it to."""

    def __init__(self, context: Context, trace: Trace, hooks: Hooks | None = None) -> None:
        super().__init__(context)
        self._trace = trace
        self._hooks = hooks or Hooks()
        self._hooks.on_init(self)

    def trace(self, event: str) -> None:
        self._trace.tell(f"{self.name}#{self.context.incarnation} {event}")

    def double(self, number: int) -> Result[int]:
        return Success(2 * number)

    def crash(self, bug: BaseException) -> Result[None]:
        raise bug

    def receive(self, message: Do | Get) -> Result[Any] | None:
        match message:
            case Do(run):
                run(self)
                return None
            case Get(run):
                return Success(run(self))

    def _open(self) -> None:
        self._trace.threads[self.name, self.context.incarnation] = threading.current_thread()
        self.trace("opens")
        self._hooks.on_open(self)

    def _close(self) -> None:
        self._hooks.on_close(self)
        self.trace("closed")

    def _drain(self) -> None:
        self.trace("drains")
        self._hooks.on_drain(self)

    def _peer_joined(self, peer: Address, *, downstream: bool) -> None:
        self.trace(f"met {peer.name} {'downstream' if downstream else 'upstream'}")

    def _peer_restarted(self, name: str) -> None:
        self.trace(f"lost {name}")


class Trace(Told[str]):
    """What probes did, in order, and the threads they ran in."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: dict[tuple[str, int], threading.Thread] = {}

    def join(self, name: str, incarnation: int = 1) -> None:
        """Wait until an incarnation's thread has ended, and so all it had to tell is told."""
        thread = self.threads[name, incarnation]
        thread.join(DEADLINE)
        assert not thread.is_alive(), f"{name}#{incarnation} still runs"


@define(eq=False)
class Stage:
    """A runtime whose time a test owns, and everything to start agents on it and watch them."""

    clock: ManualClock = field(factory=ManualClock)
    scheduler: WatchedScheduler = field(init=False)
    runtime: Runtime = field(init=False)
    parent: Parent = field(factory=Parent)
    trace: Trace = field(factory=Trace)
    _gates: list[Gate] = field(factory=list)
    _started: list[tuple[Context, pykka.ActorRef[Any]]] = field(factory=list)
    _before: frozenset[threading.Thread] = field(factory=lambda: frozenset(threading.enumerate()))

    def __attrs_post_init__(self) -> None:
        self.scheduler = WatchedScheduler(self.clock)
        directory = Directory(self.clock.monotonic)
        self.runtime = Runtime(self.clock, self.scheduler, directory, Journal(), BackoffPolicy(base=1.0, cap=8.0))
        self.scheduler.start()

    def start(self, agent: type[Agent], *args: Any, name: str = "agent") -> pykka.ActorRef[Any]:
        """Start an agent whose parent is `self.parent`."""
        context = Context(name, self.runtime, self.parent)
        self.runtime.directory.enter(name, root_entry(context))
        ref = agent.start(context, *args)
        self._started.append((context, ref))
        return ref

    def probe(self, name: str = "agent", **hooks: Callable[[Probe], None]) -> pykka.ActorRef[Any]:
        """Start a probe whose parent is `self.parent`."""
        return self.start(Probe, self.trace, Hooks(**hooks), name=name)

    def child(self, name: str, hooks: Hooks | None = None, **options: Any) -> ChildSpec:
        """Describe a probe as a supervisor's child."""
        return Probe.child(name, self.trace, hooks, **options)

    def supervise(
        self,
        *children: ChildSpec,
        links: Sequence[Link] = (),
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        restart_limit: RestartLimit | None = None,
    ) -> pykka.ActorRef[Any]:
        """Start a root supervisor."""
        return self.start(Supervisor, children, links, strategy, restart_limit, name="root")

    def tell(self, name: str, run: Callable[[Probe], object]) -> None:
        """Have a probe run something."""
        self.runtime.directory.address(name).tell(Do(run))

    def crash(self, name: str) -> None:
        """Have a probe crash, and wait until its supervisor has dealt with it."""
        incarnation = max(number for who, number in self.trace.threads if who == name)
        self.tell(name, fail(RuntimeError("boom")))
        self.trace.join(name, incarnation)
        self.settle()

    def strike(self, name: str) -> None:
        """Have an agent of any class crash over a `TypeError` of its own: a text is no number to count by."""
        entry = self.runtime.directory.entry(name)
        assert entry is not None
        assert entry.ref is not None
        entry.ref.tell(ProxyCall(("count",), ("crashes", "a bug"), {}))

    def running(self, name: str) -> None:
        """Wait until an agent has opened and its supervisor knows."""
        self.runtime.directory.address(name).ask(GetStatus(), DEADLINE)
        self.settle()

    def settle(self, name: str = "root") -> None:
        """Wait until a supervisor has handled what it was told so far."""
        self.runtime.directory.address(name).ask(GetStatus(), DEADLINE)

    def pass_backoff(self) -> float:
        """Let the time pass that a supervisor waits before a restart; return how long that was."""
        return self.pass_timer(self.scheduler.expect(StartDue))

    def pass_limit(self, name: str, phase: Phase) -> float:
        """Let the time pass that a supervisor gives a child for a phase."""
        limit = self.scheduler.expect(Overdue, lambda message: (message.name, message.phase) == (name, phase))
        return self.pass_timer(limit)

    def pass_timer(self, timer: Timer) -> float:
        seconds = timer.due - self.clock.monotonic()
        self.clock.advance(max(0.0, seconds))
        return seconds

    def gate(self) -> Gate:
        """Return a hook that holds an agent up, until the test opens it or ends."""
        self._gates.append(Gate())
        return self._gates[-1]

    def restarts(self, *names: str) -> dict[str, int]:
        statuses = [self.runtime.directory.address(name).status() for name in names]
        return {status.name: status.restarts for status in statuses if status}

    def stop(self) -> None:
        for gate in self._gates:
            gate.open()
        for context, ref in reversed(self._started):
            context.stopping.set()
            ref.stop(block=False)
        for thread in set(threading.enumerate()) - self._before:
            if thread.name.startswith(("Probe", "Supervisor")):
                joined(thread)
        self.runtime.stop()


def fail(bug: BaseException) -> Callable[[Any], Any]:
    """Return a hook that raises."""

    def run(_: Any) -> Any:
        raise bug

    return run


def joined(thread: threading.Thread) -> None:
    """Wait until a thread has ended, also one that is just being started."""

    def has_ended() -> bool:
        with suppress(RuntimeError):  # it has not been started yet
            thread.join(LOOK)
            return not thread.is_alive()
        return False

    waiting.until(has_ended, f"{thread.name} ends and is not left behind")


@contextmanager
def no_thread_left_behind() -> Iterator[None]:
    """Assert that every thread started in the block has ended, or ends at once."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        joined(thread)
