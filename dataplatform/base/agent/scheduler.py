"""One thread that tells messages to agents at due times, so that no agent ever sleeps."""

from __future__ import annotations

import heapq
import threading
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import pykka
from attrs import define, field

from dataplatform.base.agent.logger import get_logger

if TYPE_CHECKING:
    from dataplatform.base.agent.clock import Clock

__all__ = ["Scheduler", "Timer"]

FEW = 128  # timers, below which the cancelled ones are not worth looking for


class Recipient(Protocol):
    """Whatever a message can be told to."""

    def tell(self, message: Any, /) -> Any: ...


@define(eq=False)
class Timer:
    """A message that waits for its time; `cancel` keeps it from being told."""

    due: float
    recipient: Recipient
    message: object
    cancelled: bool = False

    def cancel(self) -> None:
        """Keep the message from being told; too late, once the scheduler has taken it in hand."""
        self.cancelled = True


@define(eq=False)
class Scheduler:
    """Tells messages at due times on its own daemon thread.

    >>> from queue import SimpleQueue
    >>> from types import SimpleNamespace
    >>> from dataplatform.base.agent import ManualClock, Scheduler
    >>> clock, told = ManualClock(), SimpleQueue()
    >>> scheduler = Scheduler(clock)
    >>> scheduler.start()
    >>> timer = scheduler.after(30.0, SimpleNamespace(tell=told.put), "half a minute")
    >>> clock.advance(30.0)
    >>> told.get(timeout=5)
    'half a minute'
    >>> scheduler.stop()
    """

    clock: Clock
    _heap: list[tuple[float, int, Timer]] = field(factory=list, init=False)
    _changed: threading.Condition = field(factory=threading.Condition, init=False)
    _order: count[int] = field(factory=count, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _running: bool = field(default=False, init=False)
    _sweep_at: int = field(default=FEW, init=False)

    def start(self) -> None:
        """Start the thread; timers set before are told when due."""
        self._running = True
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; timers still waiting are never told."""
        with self._changed:
            self._running = False
            self._heap.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def after(self, seconds: float, recipient: Recipient, message: object) -> Timer:
        """Tell `message` to `recipient` in `seconds`; a recipient that died by then is no error."""
        timer = Timer(self.clock.monotonic() + max(0.0, seconds), recipient, message)
        with self._changed:
            heapq.heappush(self._heap, (timer.due, next(self._order), timer))
            if len(self._heap) >= self._sweep_at:
                self._sweep()
            if self._heap[0][2] is timer:
                self._changed.notify_all()
        return timer

    def _sweep(self) -> None:
        """Forget the cancelled, so that the heap stays under about twice the timers that wait."""
        self._heap = [waiting for waiting in self._heap if not waiting[2].cancelled]
        heapq.heapify(self._heap)
        self._sweep_at = max(FEW, 2 * len(self._heap))

    def _run(self) -> None:
        """Tell timers until the scheduler is stopped: without this thread every agent would stand still for good."""
        while True:
            try:
                timer = self._next()
            except BaseException:  # noqa: BLE001  whatever it is, the next look may go well
                get_logger("platform").error("the scheduler could not wait", exc_info=True)
                continue
            if timer is None:
                return
            if not timer.cancelled:
                self._tell(timer)

    @staticmethod
    def _tell(timer: Timer) -> None:
        try:
            with suppress(pykka.ActorDeadError):
                timer.recipient.tell(timer.message)
        except BaseException:  # noqa: BLE001  time must go on for the others
            get_logger("platform").error("timer not told", message=timer.message, exc_info=True)

    def _next(self) -> Timer | None:
        with self._changed:
            while self._running:
                wait = self._heap[0][0] - self.clock.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                self.clock.wait(self._changed, wait)
            return None
