"""By what a log is known again: fingerprints of what was read of it, and the seals that positions carry.

The trail of a consumer: fingerprints of what it read of late, by which it knows a log again after a loss. Seals: what a
position says of the log it is of, so that another log is not taken for that one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self
from zlib import crc32

from attrs import define, evolve, field, frozen
from kafka import KafkaConsumer, TopicPartition

from dataplatform.base.streaming.connection import close_consumer, connect
from dataplatform.base.streaming.fetcher import BrokenBatchError, let_go
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.errors import Transient

__all__ = ["NOTHING", "LogReader", "Seal", "Trail", "fingerprint"]

KEPT = 50_000  # messages of each partition
AT_ONCE = 10_000  # messages that are read back in one piece
WORD = 0xFFFF_FFFF


def fingerprint(message: Any) -> int:
    """Return 32 bits that another message at the same offset hardly has: of its time and its value."""
    return crc32(message.value or message.key or b"", (message.timestamp or 0) & WORD)


@define(eq=False)
class Marks:
    """Offsets, ascending, and the fingerprints of the messages there."""

    offsets: array[int] = field(factory=lambda: array("q"))
    prints: array[int] = field(factory=lambda: array("I"))

    def cut(self, begin: int | None, end: int | None) -> None:
        del self.offsets[begin:end]
        del self.prints[begin:end]


@define(eq=False)
class Trail:
    """The latest 50,000 messages that were read of each partition, and at most twice as many."""

    _read: dict[TopicPartition, Marks] = field(factory=dict)

    def add(self, partition: TopicPartition, messages: Sequence[Any]) -> None:
        """Note messages that follow each other; what was read from there on before is forgotten."""
        self.cut(partition, messages[0].offset)
        marks = self._read.setdefault(partition, Marks())
        marks.offsets.extend([message.offset for message in messages])
        marks.prints.extend([fingerprint(message) for message in messages])
        if len(marks.offsets) > 2 * KEPT:
            marks.cut(None, -KEPT)

    def cut(self, partition: TopicPartition, offset: int) -> None:
        """Forget what was read at `offset` and after."""
        if marks := self._read.get(partition):
            marks.cut(bisect_left(marks.offsets, offset), None)

    def keep(self, partitions: Collection[TopicPartition]) -> None:
        """Forget all other partitions."""
        self._read = {partition: marks for partition, marks in self._read.items() if partition in partitions}

    def end(self, partition: TopicPartition) -> int:
        """Return the offset after the last message that is noted, 0 if none is."""
        marks = self._read.get(partition)
        return marks.offsets[-1] + 1 if marks and marks.offsets else 0

    def last_before(self, partition: TopicPartition, offset: int) -> tuple[int, int] | tuple[None, None]:
        """Return the offset and the fingerprint of the last message that is noted before `offset`, if one is."""
        marks = self._read.get(partition, Marks())
        index = bisect_left(marks.offsets, offset) - 1
        return (marks.offsets[index], marks.prints[index]) if index >= 0 else (None, None)

    def parting(
        self, partition: TopicPartition, first: int, end: int, read: Callable[[int, int], Mapping[int, int]]
    ) -> int | None:
        """Return the offset up to which the log [first, end) is the one that was read, None if nothing tells.

        `read(first, end)` are the fingerprints in the log now. Nothing tells when nothing was read yet, or all of it
        has expired from the log; `first` is answered when nothing that is noted is known again.
        """
        marks = self._read.get(partition, Marks())
        begin = bisect_left(marks.offsets, first)
        known, prints = marks.offsets[begin:], marks.prints[begin:]
        if not known:
            return None
        there = read(known[0], min(end, known[-1] + 1))
        for index, offset in enumerate(known):
            if there.get(offset) != prints[index]:
                return min(offset, end) if index else first
        return known[-1] + 1


@define(eq=False)
class LogReader:
    """Reads a log back, outside of any group; connects when first used."""

    _settings: RedpandaSettings
    _consumer: KafkaConsumer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            close_consumer(self._consumer)

    def prints(self, partition: TopicPartition, first: int, end: int) -> dict[int, int]:
        """Return the fingerprints of the messages in [first, end), by offset; raises `Transient` when it stalls.

        What cannot be read has none.
        """
        found: dict[int, int] = {}
        if first >= end:
            return found
        consumer = self._connected()
        consumer.assign([partition])
        consumer.seek(partition, first)
        while consumer.position(partition) < end:
            try:
                messages = consumer.poll(self._settings.milliseconds, max_records=AT_ONCE).get(partition, [])
            except BrokenBatchError as error:
                let_go(consumer, [partition])
                consumer.seek(partition, error.batch.after(end))
                continue
            if not messages and consumer.position(partition) < end:
                raise Transient("broker", f"{partition.topic}/{partition.partition} could not be read back in time")
            found |= {message.offset: fingerprint(message) for message in messages if message.offset < end}
        return found

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            options = self._settings.common("dataplatform-log") | {
                "group_id": None,
                "auto_offset_reset": "none",
                "fetch_max_wait_ms": min(500, self._settings.milliseconds // 2),
            }
            self._consumer = connect(KafkaConsumer, self._settings, **options)
        return self._consumer


@frozen
class Seal:
    """The log's number and where it parted from the one before, and the fingerprint `mark` of a message at `offset`.

    The message is the last one before the position; where none is known there is no mark. Written as
    `OFFSET:MARK:LOG:PARTED`, of which the last two are left out for the first log.

    >>> str(Seal(41, 1234)), Seal.parse("41:1234:1:30").log
    ('41:1234', 1)
    >>> Seal.parse("of another program") == Seal()
    True
    """

    offset: int | None = None
    mark: int | None = None
    log: int = 0
    parted: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a seal; text that other programs have written there says nothing."""
        parts = [int(part) if part.isdecimal() else None for part in text.split(":")]
        if len(parts) not in {2, 4} or None in parts[2:] or (parts[0] is None) != (parts[1] is None):
            return cls()
        return cls(*parts)  # type: ignore[arg-type]  # the last two are numbers

    def __str__(self) -> str:
        message = "" if self.offset is None else f"{self.offset}:{self.mark}"
        return f"{message or ':'}:{self.log}:{self.parted}" if self.log else message

    def next_log(self, parted: int) -> Seal:
        """Return what begins where another log is found, which is as this one up to an offset."""
        return Seal(log=self.log + 1, parted=parted)

    def of(self, offset: int | None, mark: int | None) -> Seal:
        """Return the seal of another message of the same log."""
        return evolve(self, offset=offset, mark=mark)


NOTHING = Seal()
