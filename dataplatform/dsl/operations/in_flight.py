"""Operations in flight: plans that an agent carries out for whoever asked, several at once and never too many.

A bug in an operation is its own: it reads what it was asked and what it was answered, and changes nothing that the
agent works with. So it fails, is logged and counted, and the agent goes on with what else it does, such as the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from attrs import define, field

from dataplatform.base.agent import Agent, Answer, Deferred, State
from dataplatform.dsl.flow.plan import Plan, PlanRun
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["InFlight"]

F = TypeVar("F")
S = TypeVar("S")
T = TypeVar("T")

MOST = 256
BUSY_PAUSE = 1.0  # seconds after which to ask again


@define(eq=False)
class InFlight:
    """The operations that an agent has under way, at most `most` of them."""

    agent: Agent
    most: int = MOST
    _answers: set[Deferred[Any]] = field(factory=set, init=False)

    def refusal(self) -> Failure | None:
        """Return why another operation is not begun: the agent drains, or has its hands full."""
        name = self.agent.name
        if self.agent.state is State.DRAINING:
            return Failure(Transient("stopping", f"{name} is stopping"))
        if len(self._answers) < self.most:
            return None
        message = f"{name} has {self.most} operations in flight"
        return Failure(Transient("busy", message, retry_after=BUSY_PAUSE))

    def isolated(self, operation: Callable[[], Answer[T]]) -> Answer[T]:
        """Answer what an operation answers; a failure where it raises."""
        try:
            return operation()
        except Exception as bug:  # noqa: BLE001  whatever it is, it is not the agent's
            return self._crashed(bug)

    def carry_out(self, plan: Plan[S], finish: Callable[[Result[S]], Result[T]]) -> Deferred[T]:
        """Carry a plan out, and answer what `finish` makes of what it brings or fails with."""
        answer: Deferred[T] = Deferred()
        self.add(answer)
        self._run(plan, answer).go_on(lambda brought: answer.settle(finish(brought)))
        return answer

    def carry_out_after(
        self,
        first: Plan[F],
        planned: Callable[[F], Result[Plan[S]]],
        finish: Callable[[F, Result[S]], Result[T]],
    ) -> Deferred[T]:
        """Carry a plan out, then the one that is planned by what it brings, and answer as `carry_out` does.

        The notes of the first one come before those of the second.
        """
        answer: Deferred[T] = Deferred()
        self.add(answer)

        def go_on(brought: Result[F]) -> None:
            if isinstance(brought, Failure):
                answer.settle(brought)
            elif isinstance(plan := planned(known := brought.data), Failure):
                answer.settle(plan)
            else:
                second = self._run(plan.data, answer)
                second.go_on(lambda found: answer.settle(_noted(brought.notes, finish(known, found))))

        self._run(first, answer).go_on(go_on)
        return answer

    def add(self, answer: Deferred[T]) -> None:
        """Count an answer that is owed, until it is given."""
        self._answers.add(answer)
        answer.then(partial(self._ended, answer))

    def __len__(self) -> int:
        return len(self._answers)

    def _run(self, plan: Plan[S], answer: Deferred[Any]) -> PlanRun[S]:
        return PlanRun(self.agent, plan, shield=partial(self._shield, answer))

    @contextmanager
    def _shield(self, answer: Deferred[Any]) -> Iterator[None]:
        """Have an operation fail with what is raised within, and the agent live on."""
        try:
            yield
        except Exception as bug:  # noqa: BLE001  as above
            answer.settle(self._crashed(bug))

    def _crashed(self, bug: Exception) -> Failure:
        self.agent.count("crashed_operations")
        self.agent.log.error("operation crashed", error=f"{type(bug).__name__}: {bug}", exc_info=bug)
        text = f"{self.agent.name} has a bug in this operation ({type(bug).__name__})"
        return Failure(Permanent("bug", text, remedy="see the log, and report it"))

    def _ended(self, answer: Deferred[T], result: Result[T]) -> None:
        self._answers.discard(answer)
        self.agent.count("failed_operations" if isinstance(result, Failure) else "operations")


def _noted(notes: tuple[str, ...], result: Result[T]) -> Result[T]:
    return result if isinstance(result, Failure) else Success(result.data, (*notes, *result.notes))
