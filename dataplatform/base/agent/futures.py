"""Futures: an answer that is there or will be, waited for by a thread or awaited by an event loop.

A deferred reply: an answer that its agent gives later, and handles other messages until then.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Generic, TypeAlias, TypeVar

import pykka
from attrs import define, field

from dataplatform.errors import Transient
from dataplatform.notebook import data_html, error_html
from dataplatform.result import Failure, Result, get_data

__all__ = ["Answer", "Deferred", "Future", "Outcome", "later"]

T = TypeVar("T")
D = TypeVar("D")
SHOWN_WITHIN = 30.0  # seconds that an answer is waited for when its future is shown, at a prompt or in a notebook


class Future(pykka.ThreadingFuture[T]):
    """Pykka's future, which an event loop can await without standing still, and which answers values.

    `get` waits for the `Result`, `value` for the data in it, and `await` suspends the task until the `Result` is there.
    A task that is cancelled while it awaits gives up the wait and nothing else: the question stays asked.

    >>> from dataplatform.result import Success
    >>> answer = later(lambda: Success(42), "answering")
    >>> answer.get(5.0), answer.value(5.0)
    (Success(data=42), 42)
    """

    def __init__(self) -> None:
        super().__init__()
        self._when_done: list[Callable[[], None]] = []
        self.if_dead: Callable[[], Failure] | None = None  # the answer in place of `ActorDeadError`

    def get(self, timeout: float | None = None) -> T:
        """Wait at most `timeout` seconds; raises `Timeout`, and what the agent raised that was asked."""
        try:
            answer: T = super().get(timeout=timeout)
        except pykka.ActorDeadError:
            if self.if_dead is None:
                raise
            return self.if_dead()  # type: ignore[return-value]  # set by those alone whose answer is a Result
        return answer

    def value(self: Future[Result[D]], timeout: float | None = None) -> D:
        """Wait like `get` and return the data of a success; raises the error of a failure."""
        return get_data(self.get(timeout))

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it, which waits for it as a prompt does."""
        try:
            return data_html(self.get(SHOWN_WITHIN))
        except pykka.Timeout:
            remedy = "it may come yet: show the same future again"
            return error_html(Transient("timeout", f"no answer in {SHOWN_WITHIN:g} s", remedy=remedy))

    def set(self, value: T | None = None) -> None:
        super().set(value)
        self._tell_done()

    def set_exception(self, exc_info: Any = None) -> None:
        super().set_exception(exc_info)
        self._tell_done()

    def when_done(self, call: Callable[[], None]) -> None:
        """Run `call` when the answer is there, in the thread that gives it; at once where it is there already."""
        with self._condition:
            if self._result is None:
                self._when_done.append(call)
                return
        call()

    def __await__(self) -> Generator[Any, None, T]:
        if self._get_hook is not None:  # of `map` and its like: nobody tells when it could be answered
            return (yield from asyncio.to_thread(self.get).__await__())
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody awaits any more
                loop.call_soon_threadsafe(_wake, waiting)

        self.when_done(wake)
        yield from waiting.__await__()
        return self.get(0)

    def _tell_done(self) -> None:
        with self._condition:
            calls, self._when_done = self._when_done, []
        for call in calls:
            call()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def later(work: Callable[[], T], name: str) -> Future[T]:
    """Begin work that no agent does in a thread of that name; what it raises is raised by the future's `get`.

    >>> later(lambda: 6 * 7, "multiplying").get(timeout=5)
    42
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set(work())
        except BaseException:  # noqa: BLE001  the future carries it to whoever asks
            answer.set_exception(sys.exc_info())

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer


S = TypeVar("S")
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
