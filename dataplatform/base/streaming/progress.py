"""Progress: which partitions have messages to give and give none, although they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from attrs import define, field, frozen
from kafka import TopicPartition

from dataplatform.errors import Transient

__all__ = ["Progress", "Stall"]

LONGEST = 20  # times `stall_after`, between two attempts to mend a partition


@frozen
class Stall:
    """A partition that has stood at an offset since a time, with the log's end beyond it.

    `attempts` counts how often it was mended in vain.
    """

    partition: TopicPartition
    offset: int
    end: int
    since: datetime
    attempts: int

    def error(self) -> Transient:
        """Return what to show of it."""
        where = f"{self.partition.topic}/{self.partition.partition}"
        since = self.since.isoformat(timespec="seconds").replace("+00:00", "Z")
        text = f"{where} has stood at offset {self.offset} since {since}, {self.end - self.offset} before its end"
        return Transient("stalled", f"{text}; it is positioned anew")


@define(eq=False)
class PartitionProgress:
    """Where a partition stands: since when, and how long the consumer has been asked for messages in that time."""

    offset: int
    since: datetime
    asked: float = 0.0
    attempts: int = 0


@define(eq=False)
class Progress:
    """Watches the partitions of one consumer.

    Only time counts in which the consumer was asked for messages and had nothing more to hand out of what it had
    fetched: a partition that has to wait for its turn, or for its reader, does not stand still.
    """

    stall_after: float
    _standing: dict[TopicPartition, PartitionProgress] = field(factory=dict)
    _stalls: dict[TopicPartition, Stall] = field(factory=dict)
    _asked: float = 0.0

    @property
    def stalls(self) -> Collection[Stall]:
        return self._stalls.values()

    def ask(self, seconds: float) -> None:
        """Count time in which every partition could have moved."""
        self._asked += seconds

    def look(
        self, now: datetime, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> list[Stall]:
        """Note where the partitions stand; return those that are to be mended now, and forget all others."""
        self._standing = {tp: one for tp, one in self._standing.items() if tp in positions}
        self._stalls = {tp: one for tp, one in self._stalls.items() if tp in positions}
        due: list[Stall] = []
        for tp, offset in positions.items():
            known = self._standing.get(tp)
            if known is None or offset != known.offset or offset >= ends.get(tp, 0):
                self._standing[tp] = PartitionProgress(offset, now, self._asked)
                self._stalls.pop(tp, None)
            elif self._asked - known.asked >= self._patience(known.attempts):
                stall = Stall(tp, offset, ends[tp], known.since, known.attempts)
                self._stalls[tp] = stall
                known.attempts, known.asked = known.attempts + 1, self._asked
                due.append(stall)
        return due

    def _patience(self, attempts: int) -> float:
        return self.stall_after * min(1 << attempts, LONGEST)
