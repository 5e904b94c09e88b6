"""Where reading stands in each partition, and whether the log is still the one that was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.base.streaming.trail import LogReader, Trail

__all__ = ["Positions", "Report"]


class Report(Protocol):
    """Takes what is missing: its kind, the partition, the offsets [first, after), and what that means."""

    def __call__(self, kind: str, partition: TopicPartition, first: int, after: int, text: str) -> None: ...


@frozen
class Log:
    """A partition's log as it is now: offsets [first, end), and a way to read them."""

    partition: TopicPartition
    first: int
    end: int
    reader: LogReader

    def prints(self, first: int, end: int) -> Mapping[int, int]:
        """Return the fingerprints of the messages in [first, end), by offset."""
        return self.reader.prints(self.partition, first, end)

    def fits(self, offset: int, seal: str) -> bool:
        """Tell whether a sealed offset can be one of this log; where nothing tells, it can."""
        sealed, _, mark = seal.partition(":")
        if offset > self.end or not (sealed.isdecimal() and mark.isdecimal()):  # the latter: by another program
            return offset <= self.end
        there = int(sealed)
        return not self.first <= there < self.end or self.prints(there, there + 1).get(there, int(mark)) == int(mark)


class Positions:
    """The offset to read next in each partition, found anew in every assignment.

    A partition is read on from where this reader stands in it, else from the committed offset, else from where the
    group begins, which is committed at once, so that it is decided only once.

    After a `doubt`, logs are compared with what was read of them, and reading goes on where they part. A commit is
    sealed with a fingerprint of the message before it, by which another log is known for one after a restart, too.
    """

    def __init__(self, settings: RedpandaSettings, start: str, report: Report) -> None:
        self._settings = settings
        self._start = start
        self._report = report
        self._trail = Trail()
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._doubtful = False

    def next(self, partition: TopicPartition) -> int:
        """Return the offset after the last message that was handed out of a partition that is assigned."""
        return self._next[partition]

    def hand_out(self, partition: TopicPartition, messages: Sequence[Any]) -> None:
        """Note messages that go to the reader."""
        self._trail.add(partition, messages)
        self._next[partition] = messages[-1].offset + 1

    def doubt(self) -> None:
        """Have the logs compared with what was read of them before anything more is read."""
        self._doubtful = True

    def rewind(self) -> None:
        """Go back to the committed offsets: what was handed out beyond them died with the reader."""
        self._next.clear()

    def find(self, consumer: KafkaConsumer) -> None:
        """Seek to the next offset of each assigned partition.

        Raises `KafkaError` or `Transient`; then it is to be done again, and what was reported is not repeated.
        """
        assigned = consumer.assignment()
        self._trail.keep(assigned)
        self._next = {partition: offset for partition, offset in self._next.items() if partition in assigned}
        if not assigned:
            return
        firsts = consumer.beginning_offsets(assigned, timeout_ms=self._settings.milliseconds)
        ends = consumer.end_offsets(assigned, timeout_ms=self._settings.milliseconds)
        with LogReader(self._settings) as reader:
            for partition in sorted(assigned):
                log = Log(partition, firsts[partition], ends[partition], reader)
                if self._doubtful or self._next.get(partition, 0) > log.end:
                    self._compare(consumer, log)
                self._go_on(consumer, log)
        self._doubtful = False

    def commit(self, consumer: KafkaConsumer, offsets: Iterable[tuple[str, int, int]]) -> None:
        """Commit what is still ours and not beyond where reading stands, which a lost tail may have set back."""
        mine = consumer.assignment()
        chosen = {
            partition: offset
            for topic, number, offset in offsets
            if (partition := TopicPartition(topic, number)) in mine and 0 <= offset <= self._next.get(partition, -1)
        }
        if chosen:
            self._commit(consumer, chosen)

    def _commit(self, consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
        sealed = {tp: OffsetAndMetadata(offset, self._trail.seal(tp, offset), -1) for tp, offset in offsets.items()}
        consumer.commit(sealed, timeout_ms=self._settings.milliseconds)
        self._committed.update(offsets)

    def _compare(self, consumer: KafkaConsumer, log: Log) -> None:
        """Set reading back to where the log parts from what was read of it."""
        partition, read_to = log.partition, self._trail.end(log.partition)
        parting = self._trail.parting(partition, log.first, log.end, log.prints)
        if parting is None or parting >= read_to:
            return
        text = f"the broker lost offsets {parting} to {read_to - 1}, which had been read; reading goes on at {parting}"
        self._report("log_truncated", partition, parting, read_to, text)
        self._trail.cut(partition, parting)
        self._set_back(consumer, partition, parting)

    def _set_back(self, consumer: KafkaConsumer, partition: TopicPartition, offset: int) -> None:
        """Read on at `offset`, now and after a restart."""
        if partition in self._next:
            self._next[partition] = min(offset, self._next[partition])
        committed = consumer.committed(partition, timeout_ms=self._settings.milliseconds)
        if committed is not None and committed > offset:
            self._commit(consumer, {partition: offset})

    def _go_on(self, consumer: KafkaConsumer, log: Log) -> None:
        partition = log.partition
        offset, seal = self._next.get(partition), ""
        if offset is None:
            offset, seal = self._committed_offset(consumer, log)
        if not log.fits(offset, seal):
            first = min(log.end, offset - 1)
            text = f"offsets up to {offset - 1} were read of another log than this, which is read from its beginning"
            self._report("log_truncated", partition, first, offset, text)
            offset = log.first
            self._set_back(consumer, partition, offset)
        elif offset < log.first:
            text = f"offsets {offset} to {log.first - 1} expired before they were read; reading goes on after them"
            self._report("expired", partition, offset, log.first, text)
            offset = log.first
        consumer.seek(partition, offset)
        self._next[partition] = offset

    def _committed_offset(self, consumer: KafkaConsumer, log: Log) -> tuple[int, str]:
        """Return the committed offset with its seal; the first one is committed here."""
        committed = consumer.committed(log.partition, metadata=True, timeout_ms=self._settings.milliseconds)
        if committed is not None:
            return committed.offset, committed.metadata or ""
        begin = self._committed.get(log.partition, log.end if self._start == "latest" else log.first)
        self._commit(consumer, {log.partition: begin})
        return begin, ""
