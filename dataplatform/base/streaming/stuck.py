"""Partitions held up by a batch that cannot be read: each waits alone, with growing pauses, until it is given up."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from attrs import define, field
from kafka import TopicPartition

from dataplatform.base.agent import Backoff, BackoffPolicy
from dataplatform.base.streaming.fetcher import UnreadableBatch
from dataplatform.errors import Permanent

__all__ = ["Stuck", "StuckPartitions"]

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
