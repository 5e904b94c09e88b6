"""Partitions that do not move: behind a batch that cannot be read, or without a reason; each waits alone.

Partitions held up by a batch that cannot be read: each waits alone, with growing pauses, until it is given up.
Progress: which partitions have messages to give and give none, although they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from attrs import define, field, frozen
from kafka import TopicPartition

from dataplatform.base.agent import Backoff, BackoffPolicy
from dataplatform.base.streaming.fetcher import UnreadableBatch
from dataplatform.errors import Permanent, Transient

__all__ = ["Progress", "Stall", "Stuck", "StuckPartitions"]

PAUSES = BackoffPolicy(base=0.5, cap=60.0, floor=0.1)


@define(eq=False)
class Stuck:
    """A partition and the batch that cannot be read: since when, and when it is tried again (monotonic seconds).

    It is shown from the second failure on: bytes that were changed on their way are right the next time.
    """

    batch: UnreadableBatch
    since: datetime
    due: float = 0.0
    waits: bool = True
    skipped: bool = False
    backoff: Backoff = field(factory=lambda: Backoff(PAUSES))

    @property
    def is_shown(self) -> bool:
        return self.backoff.failures > 1

    def error(self) -> Permanent:
        """Return what to show of it."""
        since = self.since.isoformat(timespec="seconds").replace("+00:00", "Z")
        skip = f"skip {self.batch.partition.topic}/{self.batch.partition.partition}"
        remedy = f"{self.batch.remedy}, or give it up: {skip}" if self.batch.remedy else f"to give it up: {skip}"
        return Permanent("unreadable", f"{self.batch}; it has waited since {since}", remedy=remedy)


@define(eq=False)
class StuckPartitions:
    """The partitions of one consumer that wait."""

    _stuck: dict[TopicPartition, Stuck] = field(factory=dict)

    def shown(self) -> list[Stuck]:
        return [one for one in self._stuck.values() if one.is_shown]

    def waits(self, partition: TopicPartition) -> bool:
        """Tell whether a partition is not to be fetched now; one that is tried again, or was positioned anew, is."""
        stuck = self._stuck.get(partition)
        return stuck is not None and stuck.waits

    def add(self, batch: UnreadableBatch, now: datetime, monotonic: float) -> Stuck:
        """Note that a batch could not be read, for the first time or again."""
        known = self._stuck.get(batch.partition)
        if known is None or known.batch.first != batch.first:
            known = self._stuck[batch.partition] = Stuck(batch, now)
        known.batch, known.waits = batch, True
        known.due = monotonic + known.backoff.next()
        return known

    def due(self, monotonic: float) -> list[Stuck]:
        """Return the partitions that are to be tried again now; they wait no longer."""
        found = [one for one in self._stuck.values() if one.waits and one.due <= monotonic]
        for one in found:
            one.waits = False
        return found

    def skip(self, partition: TopicPartition) -> UnreadableBatch | None:
        """Have a partition's batch given up if it cannot be read now either; None where none holds the partition up."""
        stuck = self._stuck.get(partition)
        if stuck is None:
            return None
        stuck.skipped, stuck.due = True, 0.0
        return stuck.batch

    def passed(self, next_of: Callable[[TopicPartition], int]) -> None:
        """Forget the partitions in which reading stands behind the batch."""
        self._stuck = {tp: one for tp, one in self._stuck.items() if next_of(tp) <= one.batch.first}

    def keep(self, partitions: Collection[TopicPartition]) -> None:
        """Forget all other partitions; those that are kept are read from another place now, and wait for nothing."""
        self._stuck = {tp: one for tp, one in self._stuck.items() if tp in partitions}
        for one in self._stuck.values():
            one.waits = False


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
