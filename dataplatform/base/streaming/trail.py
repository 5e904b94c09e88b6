"""The trail of a consumer: fingerprints of what it read, by which it knows a log again after a loss."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Self, TypeAlias
from zlib import crc32

from attrs import define, field, frozen
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from dataplatform.base.streaming.settings import RedpandaSettings

__all__ = ["Fingerprint", "LogReader", "Trail", "fingerprint"]

KEPT = 512
Partition: TypeAlias = tuple[str, int]


@frozen
class Fingerprint:
    """The last message of a reading: the offset after it, and what it was."""

    next: int
    what: int


def fingerprint(timestamp: int, key: bytes | None, value: bytes | None) -> int:
    """Return a number that another message hardly has."""
    return hash((timestamp, crc32(key or b""), crc32(value or b"")))


@define(eq=False)
class Trail:
    """The fingerprints of the latest 512 readings of each partition, oldest first."""

    _marks: dict[Partition, deque[Fingerprint]] = field(factory=dict)

    def mark(self, partition: Partition, next_offset: int, what: int) -> None:
        self._marks.setdefault(partition, deque(maxlen=KEPT)).append(Fingerprint(next_offset, what))

    def cut(self, partition: Partition, offset: int) -> None:
        """Forget what was read at `offset` and after."""
        marks = self._marks.get(partition, deque())
        while marks and marks[-1].next > offset:
            marks.pop()

    def parting(self, partition: Partition, first: int, end: int, at: Callable[[int], int | None]) -> int | None:
        """Return the offset up to which the log [first, end) is the one that was read; None if nothing tells.

        `at(offset)` is the fingerprint of the message there now. Nothing tells when all that was marked has expired
        from the log, or nothing was read yet; `first` is answered when no mark is known again.
        """
        candidates = [mark for mark in reversed(self._marks.get(partition, ())) if mark.next > first]
        if not candidates:
            return None
        for mark in candidates:
            if mark.next <= end and at(mark.next - 1) == mark.what:
                return mark.next
        return first


@define(eq=False)
class LogReader:
    """Reads single messages of a log, outside of any group."""

    _settings: RedpandaSettings
    _consumer: KafkaConsumer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            with suppress(KafkaError, OSError):
                self._consumer.close(autocommit=False, timeout_ms=500)

    def fingerprint_at(self, partition: Partition, offset: int) -> int | None:
        """Return the fingerprint of the message at `offset`, None if there is none there."""
        if self._consumer is None:
            self._consumer = KafkaConsumer(**self._settings.common("dataplatform-log"), group_id=None)
        self._consumer.assign([partition])
        self._consumer.seek(partition, offset)
        polled = self._consumer.poll(round(self._settings.request_timeout * 1000), max_records=1)
        for message in polled.get(partition, ()):
            if message.offset == offset:
                return fingerprint(message.timestamp, message.key, message.value)
        return None
