"""One thread that tells messages to agents at due times, so that no agent ever sleeps."""

from __future__ import annotations

import heapq
import threading
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import pykka
from attrs import define, field

if TYPE_CHECKING:
    from dataplatform.base.agent.clock import Clock

__all__ = ["Scheduler", "Timer"]


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
        self.cancelled = True


@define(eq=False)
class Scheduler:
    """Tells messages at due times on its own daemon thread.

    >>> from dataplatform.base.agent.clock import SystemClock
    >>> scheduler = Scheduler(SystemClock())
    >>> scheduler.start()
    >>> scheduler.stop()
    """

    clock: Clock
    _heap: list[tuple[float, int, Timer]] = field(factory=list, init=False)
    _changed: threading.Condition = field(factory=threading.Condition, init=False)
    _order: count[int] = field(factory=count, init=False)
    _running: bool = field(default=False, init=False)

    def start(self) -> None:
        self._running = True
        threading.Thread(target=self._run, name="scheduler", daemon=True).start()

    def stop(self) -> None:
        """End the thread; timers still waiting are never told."""
        with self._changed:
            self._running = False
            self._changed.notify_all()

    def after(self, seconds: float, recipient: Recipient, message: object) -> Timer:
        """Tell `message` to `recipient` in `seconds`; a recipient that died by then is no error."""
        timer = Timer(self.clock.monotonic() + max(0.0, seconds), recipient, message)
        with self._changed:
            heapq.heappush(self._heap, (timer.due, next(self._order), timer))
            self._changed.notify_all()
        return timer

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            if not timer.cancelled:
                with suppress(pykka.ActorDeadError):
                    timer.recipient.tell(timer.message)

    def _next(self) -> Timer | None:
        with self._changed:
            while self._running:
                wait = self._heap[0][0] - self.clock.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                self.clock.wait(self._changed, wait)
            return None
