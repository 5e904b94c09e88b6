"""A plan: which requests to put to which client, and how to turn their answers into the data asked for.

Hooks return plans instead of doing I/O, so they are pure, and one place decides whether to wait (an operation) or
not (a feed).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from dataplatform.base.agent import Address, Request
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["Plan", "transformed"]

T = TypeVar("T")


@frozen
class Plan(Generic[T]):
    """Put `requests` to `client`, one after the other, then `transform` the list of answers.

    `transform` may raise `PlatformError` for answers that are not what was promised; its other exceptions are bugs.
    Where it has notes to give besides the data, it returns a `Success` that holds both.
    `timeout` is for each request, in seconds. An operation waits `patience` seconds in all for its turn, where the
    client's own rate limit holds requests back (`throttled`). A request that fails with a code in `absent` asked for
    what there is not, and None stands for its answer. `more` returns the requests that follow from the answers to
    `requests`, and are put after these.
    """

    client: Address
    requests: Sequence[Request[Any]]
    transform: Callable[[list[Any]], T | Success[T]]
    timeout: float = 10.0
    patience: float = 0.0
    absent: frozenset[str] = frozenset()
    more: Callable[[list[Any]], Sequence[Request[Any]]] | None = None

    def ask(self, stopping: Event) -> Result[T]:
        """Carry the plan out now, waiting for each answer; `stopping`, the asking agent's, ends it between two."""
        answers: list[Any] = []
        left, plan = self.patience, self
        while len(answers) < len((plan := plan.followed(answers)).requests):
            if stopping.is_set():
                return Failure(Transient("stopping", "the agent that was asked is stopping"))
            answer = self.accepted(self.client.ask(plan.requests[len(answers)], self.timeout))
            if not isinstance(answer, Failure):
                answers.append(answer.data)
                continue
            pause = _turn_in(answer.error)
            if pause is None or pause > left:
                return answer
            left -= pause
            stopping.wait(pause)
        return transformed(self, answers)

    def followed(self, answers: list[Any]) -> Plan[T]:
        """Return the plan with the requests that follow, once the answers that they follow from are there."""
        if self.more is None or len(answers) < len(self.requests):
            return self
        return evolve(self, requests=[*self.requests, *self.more(answers)], more=None)

    def accepted(self, answer: Result[Any]) -> Result[Any]:
        """Take None for an answer where what was asked for is absent."""
        return Success(None) if isinstance(answer, Failure) and answer.error.code in self.absent else answer


def _turn_in(error: PlatformError) -> float | None:
    """Return in how many seconds a request that was held back has its turn; None for any other failure."""
    return error.retry_after if isinstance(error, Transient) and error.code == "throttled" else None


def transformed(plan: Plan[T], answers: list[Any]) -> Result[T]:
    """Apply the plan's transform; what it refuses is a failure."""
    try:
        made = plan.transform(answers)
    except PlatformError as error:
        return Failure(error)
    return made if isinstance(made, Success) else Success(made)
