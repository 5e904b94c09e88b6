"""What agents share: clock, scheduler and journal; and what each is given at its birth.

The injected clock: real in production, moved by hand in tests. One thread that tells messages to agents at due times,
so that no agent ever sleeps. Incidents: what went wrong with the data itself, remembered until the final report. What
an agent is given at its birth: its name, its platform's runtime, and the way to its supervisor.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from math import inf
from typing import Any, Protocol, Self

import pykka
from attrs import define, field, frozen

from dataplatform.base.agent.backoff import BackoffPolicy
from dataplatform.base.agent.directory import Address, Directory
from dataplatform.base.agent.logger import get_logger
from dataplatform.base.agent.messages import State, Vitals
from dataplatform.redaction import redact_tracebacks, redacted

__all__ = ["Clock", "Context", "Incident", "Journal", "ManualClock", "Runtime", "Scheduler", "SystemClock", "Timer"]


class Clock(Protocol):
    """Where an agent reads the time and how the scheduler waits for it."""

    def now(self) -> datetime:
        """Return the wall-clock time, timezone-aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start, never going back."""

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait on the held condition until notified or until `seconds` of this clock have passed."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        condition.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))


class ManualClock:
    """A clock that stands still until `advance` moves it, so that tests own time.

    >>> clock = ManualClock()
    >>> clock.advance(1.5)
    >>> clock.monotonic()
    1.5
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._waiting: set[threading.Condition] = set()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        del seconds  # only `advance` and a notification end the wait
        if condition not in self._waiting:
            self._waiting.add(condition)
            return  # `advance` may have passed before it knew of this condition: the caller looks at the time again
        condition.wait()

    def advance(self, seconds: float) -> None:
        """Move the time on and wake whoever waits for it."""
        self._elapsed += seconds
        for condition in tuple(self._waiting):
            with condition:
                condition.notify_all()


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


KEPT = 1_000


@frozen
class Incident:
    """Data known to be missing or in doubt: offsets [first, next) of a partition, and what that means."""

    at: datetime
    agent: str
    kind: str
    stream: str
    partition: int
    first: int
    next: int
    message: str = field(converter=redacted)

    @property
    def records(self) -> int:
        """How many records that is."""
        return self.next - self.first


@define(eq=False)
class Journal:
    """The latest thousand incidents, in order, and how many there were in all; written by any thread.

    >>> from datetime import UTC, datetime
    >>> journal = Journal()
    >>> journal.record(Incident(datetime.now(UTC), "reader", "gap", "prices", 0, 10, 15, "the topic lost its tail"))
    >>> journal.count, journal.incidents()[0].records
    (1, 5)
    """

    count: int = 0
    _incidents: deque[Incident] = field(factory=lambda: deque(maxlen=KEPT))
    _lock: threading.Lock = field(factory=threading.Lock)

    def record(self, incident: Incident) -> None:
        """Remember an incident; the oldest of too many is forgotten."""
        with self._lock:
            self.count += 1
            self._incidents.append(incident)

    def incidents(self) -> list[Incident]:
        """Return the incidents that are remembered, oldest first."""
        with self._lock:
            return list(self._incidents)


@frozen
class Runtime:
    """What all agents of one platform share.

    >>> runtime = Runtime.start()
    >>> runtime.directory.address("nobody").status() is None
    True
    >>> runtime.stop()
    """

    clock: Clock
    scheduler: Scheduler
    directory: Directory
    journal: Journal
    backoff: BackoffPolicy

    @classmethod
    def start(cls, clock: Clock | None = None, backoff: BackoffPolicy | None = None) -> Self:
        """Start a runtime on the given clock, the machine's own by default; from now on tracebacks are redacted."""
        redact_tracebacks()
        clock = clock or SystemClock()
        scheduler = Scheduler(clock)
        scheduler.start()
        return cls(clock, scheduler, Directory(clock.monotonic), Journal(), backoff or BackoffPolicy())

    def stop(self) -> None:
        """Stop the time of this runtime; its agents are their supervisors' to stop."""
        self.scheduler.stop()


@frozen
class Context:
    """One incarnation of one name.

    `stopping` is set the moment a stop is asked for, ahead of the inbox. A clean-up that takes longer than
    `clean_up_timeout` seconds is reported to the parent as a death, and the agent is left behind.
    """

    name: str
    runtime: Runtime
    parent: Recipient
    incarnation: int = 1
    stopping: threading.Event = field(factory=threading.Event)
    clean_up_timeout: float = inf
    vitals: Vitals = field(init=False)

    @vitals.default
    def _new_vitals(self) -> Vitals:
        return Vitals(State.STARTING, self.runtime.clock.now())

    def address(self, name: str) -> Address:
        """Return the address of any agent of the platform."""
        return self.runtime.directory.address(name)
