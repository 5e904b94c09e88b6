"""A plan: which requests to put to which client, and how to turn their answers into the data asked for.

Hooks return plans instead of doing I/O, so they are pure. A `PlanRun` carries one out, for operations and feeds alike,
and never waits in its agent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import define, evolve, field, frozen

from dataplatform.base.agent import Address, Agent, Request
from dataplatform.base.net.paced import Paced
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["Plan", "PlanRun", "transformed"]

T = TypeVar("T")


@frozen
class Plan(Generic[T]):
    """Put `requests` to `client`, one after the other, then `transform` the list of answers.

    `transform` may raise `PlatformError` for answers that are not what was promised; its other exceptions are bugs.
    Where it has notes to give besides the data, it returns a `Success` that holds both.
    `timeout` is for each request, in seconds. Its requests may wait for their turn under the client's own rate limit
    until `patience` seconds after the plan's beginning, or its going on. A request that fails with a code in `absent`
    asked for what there is not, and None stands for its answer. `more` returns the requests that follow from the
    answers to `requests`, once; `next_page` the request that follows from the answers so far, again and again until
    there is none. What these two refuse, the transform will too.
    """

    client: Address
    requests: Sequence[Request[Any]]
    transform: Callable[[list[Any]], T | Success[T]]
    timeout: float = 10.0
    patience: float = 0.0
    absent: frozenset[str] = frozenset()
    more: Callable[[list[Any]], Sequence[Request[Any]]] | None = None
    next_page: Callable[[list[Any]], Request[Any] | None] | None = None

    def followed(self, answers: list[Any]) -> Plan[T]:
        """Return the plan with the requests that follow, once the answers that they follow from are there."""
        if len(answers) < len(self.requests) or not (self.more or self.next_page):
            return self
        try:
            following = list(self.more(answers)) if self.more else []
            page = self.next_page(answers) if self.next_page else None
        except PlatformError:
            following, page = [], None
        if page is None:
            return evolve(self, requests=[*self.requests, *following], more=None, next_page=None)
        return evolve(self, requests=[*self.requests, *following, page], more=None)

    def accepted(self, answer: Result[Any]) -> Result[Any]:
        """Take None for an answer where what was asked for is absent."""
        return Success(None) if isinstance(answer, Failure) and answer.error.code in self.absent else answer


@define(eq=False)
class PlanRun(Generic[T]):
    """A plan carried out by an agent, one request after the other, while it handles other messages.

    A run that a failure broke off keeps the answers it has, and goes on where it stopped when it is told to; one whose
    answers were refused by the plan's transform begins anew. Requests say to the client whether they are `of_route`,
    and how long they wait for their turn. Each step is taken within a `shield`, which may keep what it raises from the
    agent.
    """

    agent: Agent
    plan: Plan[T]
    of_route: bool = False
    shield: Callable[[], AbstractContextManager[Any]] = nullcontext
    answers: list[Any] = field(factory=list, init=False)
    _patient_until: float = field(default=0.0, init=False)
    _now: Plan[T] = field(init=False)  # with the requests that have followed

    def __attrs_post_init__(self) -> None:
        self._now = self.plan

    def go_on(self, then: Callable[[Result[T]], None]) -> None:
        """Put the next request; run `then`, in the agent's thread, with what the plan brings or fails with."""
        self._patient_until = self.agent.clock.monotonic() + self.plan.patience
        with self.shield():
            self._go_on(then)

    def _go_on(self, then: Callable[[Result[T]], None]) -> None:
        self._now = plan = self._now.followed(self.answers)
        if len(self.answers) == len(plan.requests):
            answers, self.answers, self._now = self.answers, [], self.plan
            then(transformed(plan, answers))
            return
        request, patience = plan.requests[len(self.answers)], 0.0
        if isinstance(request, Paced):
            patience = max(0.0, self._patient_until - self.agent.clock.monotonic())
            request = evolve(request, of_route=self.of_route, patience=patience)
        self.agent.call(plan.client, request, partial(self._answered, then), timeout=plan.timeout + patience)

    def _answered(self, then: Callable[[Result[T]], None], answer: Result[Any]) -> None:
        with self.shield():
            self._take(then, self.plan.accepted(answer))

    def _take(self, then: Callable[[Result[T]], None], answer: Result[Any]) -> None:
        if isinstance(answer, Failure):
            then(answer)
        else:
            self.answers.append(answer.data)
            self._go_on(then)


def transformed(plan: Plan[T], answers: list[Any]) -> Result[T]:
    """Apply the plan's transform; what it refuses is a failure."""
    try:
        made = plan.transform(answers)
    except PlatformError as error:
        return Failure(error)
    return made if isinstance(made, Success) else Success(made)
