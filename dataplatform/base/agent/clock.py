"""The injected clock: real in production, moved by hand in tests."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


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
