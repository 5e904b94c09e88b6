"""A deferred reply: an answer that its agent gives later, and handles other messages until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import define, field

from dataplatform.result import Result

__all__ = ["Answer", "Deferred", "Outcome"]

S = TypeVar("S")
T = TypeVar("T")
Outcome = Callable[[Result[Any]], None]


@define(eq=False)
class Deferred(Generic[T]):
    """An answer that an agent owes. `receive` and operations return it in a `Result`'s place; `settle` gives it.

    Used in the agent's own thread only, so it needs no lock. The kernel sees to it that whoever asked hears: where the
    agent ends before it has settled, as a `Transient` failure.

    >>> from dataplatform.result import Success
    >>> answer, heard = Deferred(), []
    >>> answer.then(heard.append)
    >>> answer.settle(Success(42))
    >>> answer.settle(Success("too late")), heard
    (None, [Success(data=42)])
    """

    result: Result[T] | None = field(default=None, init=False)
    _outcomes: list[Outcome] = field(factory=list, init=False)

    def settle(self, result: Result[T]) -> None:
        """Give the answer; a second one counts for nothing."""
        if self.result is not None:
            return
        self.result, outcomes, self._outcomes = result, self._outcomes, []
        for outcome in outcomes:
            outcome(result)

    def map(self, change: Callable[[Result[T]], Result[S]]) -> Deferred[S]:
        """Return the answer that `change` makes of this one."""
        changed: Deferred[S] = Deferred()
        self.then(lambda result: changed.settle(change(result)))
        return changed

    def then(self, outcome: Outcome) -> None:
        """Run `outcome` with the answer, once it is there; in the agent's thread, before whoever asked hears."""
        if self.result is None:
            self._outcomes.append(outcome)
        else:
            outcome(self.result)


Answer: TypeAlias = Result[T] | Deferred[T]
