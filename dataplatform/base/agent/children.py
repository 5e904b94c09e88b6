"""A child of a supervisor: how it is described, what is wanted of it, and whom it is linked with.

How a supervisor is told about a child, how children are linked, and what linked ones are told of each other. One child
as its supervisor sees it: what is wanted of it, which phase it is in, and its present incarnation. The links between a
supervisor's children: who is told of whom, and when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum, auto
from typing import Any, assert_never

import pykka
from attrs import define, field, frozen

from dataplatform.base.agent.directory import Address, Entry
from dataplatform.base.agent.messages import State, Vitals
from dataplatform.base.agent.runtime import Context, Recipient, Runtime

__all__ = [
    "Child",
    "ChildSpec",
    "CrashLog",
    "Link",
    "PeerJoined",
    "PeerRestarted",
    "Phase",
    "Restart",
    "RestartLimit",
    "Strategy",
    "Want",
    "check",
    "introduce",
    "siblings",
]


class Restart(StrEnum):
    """When a dead child is started again: always, only after a crash, or never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Who is restarted with a crashed child: nobody, all its siblings, or those that were started after it."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


@frozen
class RestartLimit:
    """How many restarts a supervisor makes (`restarts`) `within` so many seconds; beyond it gives up. OTP's intensity.

    >>> RestartLimit()
    RestartLimit(restarts=5, within=30.0)
    """

    restarts: int = 5
    within: float = 30.0


@frozen
class ChildSpec:
    """A child: its name, how to start one incarnation of it, and what is promised about its times (seconds).

    Children of one `stage` start and stop together; a stage starts when the ones below it are ready, and stops
    before them. Usually made by `Agent.child`.

    >>> ChildSpec("reader", lambda context: ..., stage=1, restart="transient").restart
    <Restart.TRANSIENT: 'transient'>
    """

    name: str
    factory: Callable[[Context], pykka.ActorRef[Any]]
    kind: str = "service"
    stage: int = 0
    restart: Restart = field(default=Restart.PERMANENT, converter=Restart)
    start_timeout: float = 60.0
    drain_timeout: float = 4.0
    shutdown_timeout: float = 5.0


@frozen
class Link:
    """Two children that are told of each other: `upstream` gives, `downstream` takes.

    >>> Link("coingecko", "crypto-prices").downstream
    'crypto-prices'
    """

    upstream: str
    downstream: str


@frozen
class PeerJoined:
    """A linked agent runs: it stands `downstream` (takes from this one) or upstream (gives to it)."""

    peer: Address
    downstream: bool


@frozen
class PeerRestarted:
    """A linked agent died and runs again: what it had in hand is lost."""

    name: str


class Want(Enum):
    UP = auto()
    DRAINED = auto()  # down, after finishing what it has in hand
    DOWN = auto()  # down at once, because a sibling crashed


class Phase(Enum):
    DOWN = auto()
    BACKOFF = auto()  # crashed, to be started when its time comes
    STARTING = auto()
    RUNNING = auto()
    DRAINING = auto()
    STOPPING = auto()
    DONE = auto()  # ended, and its restart type says to leave it so


@define
class CrashLog:
    """When crashes happened, as far as they still count.

    >>> crashes = CrashLog(within=30.0)
    >>> crashes.add(at=0.0), crashes.add(at=20.0), crashes.add(at=40.0)
    (1, 2, 2)
    """

    within: float
    _times: deque[float] = field(factory=deque, init=False)

    def add(self, at: float) -> int:
        """Count a crash, and return how many there were in the last `within` seconds."""
        self._times.append(at)
        while at - self._times[0] > self.within:
            self._times.popleft()
        return len(self._times)


@define(eq=False)
class Child:
    """A name, its spec, and its incarnations one after the other; used by the supervisor's thread only."""

    spec: ChildSpec
    crashes: CrashLog
    supervisor: str
    want: Want = Want.UP
    phase: Phase = Phase.DOWN
    incarnation: int = 0
    _context: Context | None = None
    _entry: Entry | None = None
    _ref: pykka.ActorRef[Any] | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def alive(self) -> bool:
        return self.phase in {Phase.STARTING, Phase.RUNNING, Phase.DRAINING, Phase.STOPPING}

    @property
    def gone(self) -> bool:
        """Whether the present incarnation's clean-up is over."""
        return self._entry is None or self._entry.gone.is_set()

    def start(self, runtime: Runtime, parent: Recipient) -> None:
        """Start another incarnation; raises whatever its constructor raises, after burying the unborn."""
        self.incarnation += 1
        self.phase = Phase.STARTING
        limit = self.spec.shutdown_timeout
        self._context = Context(self.name, runtime, parent, self.incarnation, clean_up_timeout=limit)
        self._show(self._context)
        try:
            self._ref = self.spec.factory(self._context)
        except BaseException as bug:
            self._bury_unborn(self._context, bug)
            raise

    def stop(self) -> None:
        """Ask the present incarnation to stop, ahead of what is in its mailbox."""
        if self._context is not None:
            self._context.stopping.set()
        if self._ref is not None:
            self._ref.stop(block=False)

    def wait(self, seconds: float) -> bool:
        """Wait until the present incarnation's clean-up is over."""
        return self._entry is None or self._entry.gone.wait(seconds)

    def abandon(self, error: TimeoutError) -> None:
        """Wait no longer for a stuck incarnation: its name is free, and it stops should it ever come to itself."""
        self.stop()
        assert self._context is not None
        assert self._entry is not None
        stuck, runtime = self._context.vitals, self._context.runtime
        vitals = Vitals(State.FAILED, runtime.clock.now(), last_error=str(error), handled=stuck.handled)
        vitals.counters.update(stuck.counters)
        self._entry = Entry(self.spec.kind, self._entry.incarnation, vitals, supervisor=self.supervisor)
        runtime.directory.enter(self.name, self._entry)

    def settle(self) -> None:
        """Take note that a child that was told to go is down; a sibling's crash restarts no temporary child."""
        if self.want is Want.DOWN and self.spec.restart is Restart.TEMPORARY:
            self.finish()
        else:
            self.phase = Phase.DOWN

    def finish(self) -> None:
        """Take note that the child has ended for good."""
        self.phase = Phase.DONE
        if self._entry is not None:
            self._entry.ended = True

    def _show(self, context: Context) -> None:
        """Enter the incarnation into the directory; what was counted and failed before it stays on view."""
        directory, vitals = context.runtime.directory, context.vitals
        before = directory.entry(self.name)
        if before is not None:
            vitals.last_error = before.vitals.last_error
            vitals.counters.update(before.vitals.counters)
        self._entry = Entry(self.spec.kind, before.incarnation + 1 if before else 1, vitals, supervisor=self.supervisor)
        directory.enter(self.name, self._entry)

    def _bury_unborn(self, context: Context, bug: BaseException) -> None:
        self._ref = None
        vitals = context.vitals
        vitals.state, vitals.since = State.FAILED, context.runtime.clock.now()
        vitals.last_error = f"{type(bug).__name__}: {bug}"
        assert self._entry is not None
        self._entry.gone.set()


def siblings(strategy: Strategy, crashed: Child, children: Sequence[Child]) -> list[Child]:
    """Return those of the children, given in the order of their start, that go down because one crashed."""
    match strategy:
        case Strategy.ONE_FOR_ONE:
            affected: Sequence[Child] = ()
        case Strategy.ONE_FOR_ALL:
            affected = children
        case Strategy.REST_FOR_ONE:
            affected = children[children.index(crashed) :]
        case _:
            assert_never(strategy)
    return [child for child in affected if child.alive]


def check(children: Sequence[ChildSpec], links: Sequence[Link]) -> None:
    """Raise `ValueError` for names that are used twice, and for links to no child.

    >>> check([], [Link("reader", "store")])
    Traceback (most recent call last):
    ValueError: links name agents that are no children: reader, store
    """
    names = [spec.name for spec in children]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two children have one name: {', '.join(twice)}")
    ends = {name for link in links for name in (link.upstream, link.downstream)}
    if strangers := sorted(ends.difference(names)):
        raise ValueError(f"links name agents that are no children: {', '.join(strangers)}")


def introduce(
    child: Child, links: Sequence[Link], children: Mapping[str, Child], address: Callable[[str], Address]
) -> None:
    """Tell a child that is now running and each running peer of each other.

    The peers of a restarted child first learn that it lost what it had in hand.
    """
    for link in links:
        if child.name not in {link.upstream, link.downstream}:
            continue
        downstream = link.downstream != child.name
        peer = children[link.downstream if downstream else link.upstream]
        if peer.phase is not Phase.RUNNING:
            continue
        here, there = address(child.name), address(peer.name)
        if child.incarnation > 1:
            there.tell(PeerRestarted(child.name))
        here.tell(PeerJoined(there, downstream))
        there.tell(PeerJoined(here, not downstream))
