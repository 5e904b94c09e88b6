"""A plan: which requests to put to which client, and how to turn their answers into the data asked for.

Hooks return plans instead of doing I/O, so they are pure, and one place decides whether to wait (an operation) or
not (a feed).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, Generic, TypeVar

from attrs import frozen

from dataplatform.base.agent import Address, Request
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["Plan", "transformed"]

T = TypeVar("T")


@frozen
class Plan(Generic[T]):
    """Put `requests` to `client`, one after the other, then `transform` the list of answers.

    `transform` may raise `PlatformError` for answers that are not what was promised; its other exceptions are bugs.
    `timeout` is for each request, in seconds.
    """

    client: Address
    requests: Sequence[Request[Any]]
    transform: Callable[[list[Any]], T]
    timeout: float = 10.0

    def ask(self, stopping: Event) -> Result[T]:
        """Carry the plan out now, waiting for each answer; `stopping`, the asking agent's, ends it between two."""
        answers = []
        for request in self.requests:
            if stopping.is_set():
                return Failure(Transient("stopping", "the agent that was asked is stopping"))
            answer = self.client.ask(request, self.timeout)
            if isinstance(answer, Failure):
                return answer
            answers.append(answer.data)
        return transformed(self, answers)


def transformed(plan: Plan[T], answers: list[Any]) -> Result[T]:
    """Apply the plan's transform; what it refuses is a failure."""
    try:
        return Success(plan.transform(answers))
    except PlatformError as error:
        return Failure(error)
