"""Incidents: what went wrong with the data itself, remembered until the final report."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime

from attrs import define, field, frozen

from dataplatform.redaction import redacted

__all__ = ["Incident", "Journal"]

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
