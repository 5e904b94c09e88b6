"""Standstill: which targets have batches and settle none, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attrs import define, field, frozen

from dataplatform.errors import Transient

__all__ = ["Standstill", "Waiting", "stalled"]


@frozen
class Waiting:
    """What a source waits for: batches that a target has been sent or is to be sent, by how many it has settled.

    `in_hand` are the ids of those that its present incarnation was sent.
    """

    target: str
    batches: int
    settled: int
    in_hand: frozenset[str] = frozenset()
    incarnation: int | None = None


@define(eq=False)
class TargetProgress:
    """The latest settlement, as far as it was seen."""

    settled: int
    at: float
    since: datetime


@define(eq=False)
class Standstill:
    """Watches the targets of one source; `at` are seconds of the monotonic clock."""

    stall_after: float
    _standing: dict[str, TargetProgress] = field(factory=dict)

    def look(self, waiting: Iterable[Waiting], at: float, now: datetime) -> list[tuple[Waiting, datetime]]:
        """Return what has been waited for in vain for `stall_after` seconds, and since when."""
        found: list[tuple[Waiting, datetime]] = []
        before, self._standing = self._standing, {}
        for one in waiting:
            known = before.get(one.target)
            if known is None or known.settled != one.settled:
                known = TargetProgress(one.settled, at, now)
            self._standing[one.target] = known
            if at - known.at >= self.stall_after:
                found.append((one, known.since))
        return found


def stalled(waiting: Waiting, since: datetime, reason: str | None) -> Transient:
    """Return what to show of a target that settles nothing; `reason` is its own, where it shows one."""
    when = since.isoformat(timespec="seconds").replace("+00:00", "Z")
    text = f"{waiting.target} has settled nothing since {when}, and has {waiting.batches} batches to settle"
    return Transient("stalled", f"{text} ({reason})" if reason else text)
