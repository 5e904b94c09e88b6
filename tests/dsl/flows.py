"""A whole flow of real agents under a real supervisor: a source, its targets, and clients that a test scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from attrs import define, field

from dataplatform.base.agent import (
    AgentStatus,
    ChildSpec,
    Drain,
    Drained,
    GetStatus,
    Incident,
    Link,
    Ready,
    Timer,
)
from dataplatform.base.agent.supervisor import StartDue
from dataplatform.dsl.flow import Outbox, RouteAccount
from tests.dsl.doubles import BareSource, BareTarget, Bomb, Double, FeedSpec, ReplayableSource
from tests.dsl.scripts import Log, Script, Stall, Store
from tests.support.agents import DEADLINE, Stage

SOURCE, INPUT = "source", "input"


@define(eq=False)
class Flow:
    """One source and its targets on a stage. `bombs` are by agent; whatever is held up is let go at the end."""

    stage: Stage
    source: Script = field(init=False)
    stores: dict[str, Store] = field(factory=dict)
    bombs: dict[str, Bomb] = field(factory=dict)
    outbox: Outbox = field(init=False)
    _stalls: list[Stall] = field(factory=list)
    _timers: list[Timer] = field(factory=list)

    def start(
        self,
        source: Script,
        *targets: str,
        dead_letters: str | None = None,
        feeds: Sequence[FeedSpec] = (FeedSpec(),),
        credit: int = 4,
    ) -> None:
        """Start a bare source on a scripted input, and everything else."""
        self.source = source
        cls = ReplayableSource if isinstance(source, Log) else BareSource
        self.run(
            Double.child(INPUT, source.answer, source.opened, self._bomb(INPUT)),
            lambda outbox: cls.child(SOURCE, INPUT, outbox, feeds, self._bomb(SOURCE), stage=2, drain_timeout=12.0),
            *targets,
            dead_letters=dead_letters,
            credit=credit,
        )

    def run(
        self,
        client: ChildSpec,
        source: Callable[[Outbox], ChildSpec],
        *targets: str,
        dead_letters: str | None = None,
        credit: int = 4,
    ) -> None:
        """Start a source called `source`, its client called `input`, and the targets; wait until all are ready."""
        letters = dead_letters or targets[-1]
        self.outbox = Outbox(SOURCE, targets, letters)
        names = list(dict.fromkeys([*targets, letters]))
        children = [client, *(child for name in names for child in self._target(name, credit)), source(self.outbox)]
        links = [Link(INPUT, SOURCE)]
        links += [link for name in names for link in (Link(SOURCE, name), Link(name, f"{name}.client"))]
        self.stage.supervise(*children, links=links)
        self.stage.parent.expect(Ready)

    def _target(self, name: str, credit: int) -> list[ChildSpec]:
        store = self.store(name)
        client = f"{name}.client"
        return [
            Double.child(client, store.answer, store.opened, self._bomb(client)),
            BareTarget.child(name, client, credit, self._bomb(name), stage=1),
        ]

    def store(self, name: str) -> Store:
        """Return the store of a target, which may be scripted before the start."""
        return self.stores.setdefault(name, Store())

    def plant(self, agent: str, *messages: type[object]) -> None:
        """Have the agent crash over the next message of each of these types."""
        self._bomb(agent).planted += messages

    def lose(self, agent: str, *messages: type[object]) -> None:
        """Have the next message of each of these types never reach the agent, a source or a target."""
        self._bomb(agent).lost += messages

    def _bomb(self, agent: str) -> Bomb:
        return self.bombs.setdefault(agent, Bomb())

    def stall(self, script: Script) -> Stall:
        """Hold a client up at its next request."""
        stall = script.stall()
        self._stalls.append(stall)
        return stall

    # Watching

    def account(self, target: str) -> RouteAccount:
        (account,) = [route for route in self.outbox.routes() if route.target == target]
        return account

    def status(self, agent: str) -> AgentStatus:
        status = self.stage.runtime.directory.status(agent)
        assert status is not None
        return status

    def reason(self, agent: str) -> str | None:
        """Why the agent is degraded, None when it is not."""
        degraded = self.status(agent).degraded
        return degraded.reason if degraded else None

    @property
    def incidents(self) -> list[Incident]:
        return self.stage.runtime.journal.incidents()

    def until(self, condition: Callable[[], object]) -> None:
        """Let the agents work until the condition holds."""
        due = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < due, "it did not happen"
            self.ask(SOURCE)

    def written(self, count: int, target: str = "table") -> None:
        """Let the agents work until so many records are written."""
        self.until(lambda: self.account(target).written == count)

    def ask(self, *agents: str) -> None:
        """Wait until each of the agents in turn has handled what it was told so far."""
        for agent in agents:
            self.stage.runtime.directory.address(agent).ask(GetStatus(), DEADLINE)

    def quiet(self, *held_up: str) -> None:
        """Wait until nothing is left to do; clients that are held up are not waited for."""
        targets = list(self.stores)
        agents = [INPUT, SOURCE, *targets, *(f"{name}.client" for name in targets), *targets, SOURCE]
        for _ in range(4):
            self.ask(*(agent for agent in agents if agent not in held_up))

    # Time

    def timer(self, kind: type[object]) -> Timer:
        """Wait until a timer with a message of this kind is set that is yet to come."""
        while True:
            for timer in self._timers:
                if self._is_to_come(timer, kind):
                    self._timers.remove(timer)
                    return timer
            self._timers.append(self.stage.scheduler.timers.next())

    def _is_to_come(self, timer: Timer, kind: type[object]) -> bool:
        return isinstance(timer.message, kind) and not timer.cancelled and timer.due > self.stage.clock.monotonic()

    def wait_for(self, kind: type[object]) -> float:
        """Let the time pass until the next timer of this kind is due; return how long that was."""
        return self.stage.pass_timer(self.timer(kind))

    def in_time(self, condition: Callable[[], object]) -> None:
        """Let the time pass, second by second and each with all that it brings, until the condition holds."""
        due = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < due, "it did not happen"
            self.stage.clock.advance(1.0)
            self.quiet()

    def restart(self, agent: str, incarnation: int = 2) -> None:
        """Let the time pass that a supervisor waits before it starts a crashed agent anew, and wait for that."""
        self.wait_for(StartDue)
        running(self.stage, agent, incarnation)

    def end(self) -> None:
        for stall in self._stalls:
            stall.open()


def running(stage: Stage, agent: str, incarnation: int) -> None:
    """Wait until this incarnation of an agent runs, and its supervisor has told its peers."""
    due = time.monotonic() + DEADLINE
    while (status := stage.runtime.directory.status(agent)) is None or (status.restarts, status.state) != (
        incarnation - 1,
        "running",
    ):
        assert time.monotonic() < due, f"{agent} does not run"
        stage.settle()
    stage.settle()


def drain(flow: Flow) -> None:
    """Begin the orderly stop of the whole flow."""
    flow.stage.runtime.directory.address("root").tell(Drain())


def drained(flow: Flow) -> None:
    flow.stage.parent.until_type(Drained)
