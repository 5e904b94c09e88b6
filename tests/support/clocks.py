"""Clocks for tests whose agents have real servers to wait for."""

from __future__ import annotations

from datetime import datetime

from dataplatform.base.agent import SystemClock

__all__ = ["StandingClock"]


class StandingClock(SystemClock):
    """The time of day stands still, so that no hour or day begins in mid-test; waits are real."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now
