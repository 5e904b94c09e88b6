"""Waits that end: for calls that nothing can interrupt, and for an event loop on a thread of its own.

Python cannot limit the time of a silent name server, of a host that drops packets at each of its addresses, or of a
peer that sends its headers byte by byte. So each such call runs on a daemon thread, one at a time; an overdue one ends
by itself, and until it has, the next is refused. Asynchronous work has a loop on a thread, as
`anyio.from_thread.start_blocking_portal` gives one, but without waiting for that thread as long as it takes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio
from anyio.from_thread import BlockingPortal
from attrs import define, field

__all__ = ["BoundedCalls", "Busy", "Interrupted", "LoopThread", "Overdue"]

T = TypeVar("T")
GLANCE = 0.1  # seconds between looks at `stopping`
START = 10.0  # seconds for a thread to start, on a machine that does much else


class Overdue(Exception):
    """What was waited for did not come in time."""


class Busy(Exception):
    """An earlier call is overdue and has not ended yet."""


class Interrupted(Exception):
    """`stopping` was set before what was waited for had come, or even begun."""


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
        while not wait_for([errand], min(GLANCE, max(0.0, due - time.monotonic()))).done:
            if self.stopping.is_set():
                raise Interrupted
            if time.monotonic() >= due:
                raise Overdue
        return errand.result()


@define(eq=False)
class LoopThread:
    """Runs an event loop on a daemon thread called `name`, from the first `start` until `close`.

    >>> loop = LoopThread("line", threading.Event())
    >>> async def sum_of(*numbers):
    ...     return sum(numbers)
    >>> loop.wait([loop.start(sum_of, 1, 2)], seconds=5.0).result()
    3
    >>> loop.close(seconds=5.0)
    True
    """

    name: str
    stopping: threading.Event
    _portal: BlockingPortal | None = field(default=None, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self, function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]:
        """Start a coroutine function on the loop; cancelling the future cancels it there."""
        return self._running().start_task_soon(function, *args)

    def wait(self, futures: list[Future[Any]], seconds: float) -> Future[Any]:
        """Return the first of the futures that is done, or raise `Overdue`, or `Interrupted` 0.1 s after a stop."""
        due = time.monotonic() + seconds  # of the real clock: event loops know no other
        while not (done := wait_for(futures, min(GLANCE, max(0.0, due - time.monotonic())), FIRST_COMPLETED).done):
            if self.stopping.is_set():
                raise Interrupted
            if time.monotonic() >= due:
                raise Overdue
        return next(future for future in futures if future in done)

    def close(self, seconds: float) -> bool:
        """End the loop, cancelling what still runs, and tell whether its thread ended in time. Safe to call twice."""
        portal, thread, self._portal, self._thread = self._portal, self._thread, None, None
        if portal is None or thread is None:
            return True
        with suppress(RuntimeError):  # it has ended by itself
            portal.start_task_soon(portal.stop, True)
        thread.join(seconds)
        return not thread.is_alive()

    def _running(self) -> BlockingPortal:
        if self._portal is None:
            opened = Future[BlockingPortal]()
            self._thread = threading.Thread(target=anyio.run, args=(_serve, opened), name=self.name, daemon=True)
            self._thread.start()
            self._portal = opened.result(START)
        return self._portal


class _Resolver(ThreadPoolExecutor):
    """Runs each call on a daemon thread: asyncio asks name servers so, and a silent one must hold up no exit."""

    def submit(self, function: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        future = Future[T]()
        threading.Thread(target=_fulfil, args=(future, lambda: function(*args, **options)), daemon=True).start()
        return future


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001  raised again where it is waited for
        future.set_exception(error)


async def _serve(opened: Future[BlockingPortal]) -> None:
    asyncio.get_running_loop().set_default_executor(_Resolver())
    async with BlockingPortal() as portal:
        opened.set_result(portal)
        await portal.sleep_until_stopped()
