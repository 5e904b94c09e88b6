"""Calls that nothing can interrupt, waited for no longer than wanted.

Python cannot limit the time of a silent name server, of a host that drops packets at each of its addresses, or of a
peer that sends its headers byte by byte. So each call runs on a daemon thread, one at a time; an overdue one ends
by itself, and until it has, the next is refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from attrs import define, field

__all__ = ["BoundedCalls", "Busy", "Interrupted", "Overdue"]

T = TypeVar("T")
GLANCE = 0.1  # seconds between looks at `stopping`


class Overdue(Exception):
    """The call did not end in time."""


class Busy(Exception):
    """An earlier call is overdue and has not ended yet."""


class Interrupted(Exception):
    """`stopping` was set before the call had ended, or even begun."""


@define(eq=False)
class BoundedCalls(Generic[T]):
    """Runs calls one at a time, each on a thread called `name`.

    >>> BoundedCalls("line", threading.Event()).run(lambda: 1 + 1, seconds=5.0)
    2
    """

    name: str
    stopping: threading.Event
    _last: Future[T] = field(factory=Future, init=False)

    def __attrs_post_init__(self) -> None:
        self._last.cancel()  # done: there is no earlier call

    @property
    def overdue(self) -> bool:
        """Whether the last call has not ended yet, though nobody waits for it any more."""
        return not self._last.done()

    def run(self, call: Callable[[], T], seconds: float) -> T:
        """Return what `call` returns, or raise what it raises; in `seconds`, or 0.1 s after `stopping` was set."""
        if self.stopping.is_set():
            raise Interrupted
        if self.overdue:
            raise Busy
        self._last = errand = Future[T]()
        threading.Thread(target=_fulfil, args=(errand, call), name=self.name, daemon=True).start()
        due = time.monotonic() + seconds  # of the real clock: sockets know no other
        while not wait([errand], min(GLANCE, max(0.0, due - time.monotonic()))).done:
            if self.stopping.is_set():
                raise Interrupted
            if time.monotonic() >= due:
                raise Overdue
        return errand.result()


def _fulfil(errand: Future[T], call: Callable[[], T]) -> None:
    try:
        errand.set_result(call())
    except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
        errand.set_exception(error)
