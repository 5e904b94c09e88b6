"""Where reading stands in each partition, and whether the log is still the one that was read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from dataplatform.base.position import Member, Position
from dataplatform.base.streaming.log_identity import NOTHING, LogReader, Seal, Trail
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.base.streaming.starts import EARLIEST, Start, starting_offset

__all__ = ["Positions", "Report"]


class Report(Protocol):
    """Takes what is missing: its kind, the partition, the offsets [first, after), and what that means."""

    def __call__(self, kind: str, partition: TopicPartition, first: int, after: int, text: str) -> None: ...


@frozen
class Place:
    """An offset to read on at, and the seal by which its log is known."""

    offset: int
    seal: Seal = NOTHING

    def within(self, newest: Seal) -> Place:
        """Return what it is in the newest log, which is as the ones before up to where it parted."""
        if self.seal.log == newest.log:
            return self
        return Place(min(self.offset, newest.parted), newest.of(None, None))


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

    def fits(self, place: Place) -> bool:
        """Tell whether a place can be one of this log; where nothing tells, it can."""
        there, mark = place.seal.offset, place.seal.mark
        if place.offset > self.end or there is None:
            return place.offset <= self.end
        return not self.first <= there < self.end or self.prints(there, there + 1).get(there, mark) == mark


class Positions:
    """The offset to read next in each partition, found anew in every assignment.

    A partition is read on from where this reader stands in it, else from the committed offset, or from where those who
    keep positions of their own stand if they have less, or if there is no committed one; else from where the group
    begins, which is committed at once, so that it is decided only once.

    After a `doubt`, logs are compared with what was read of them, and reading goes on where they part: in another log,
    with a number of its own. A commit is sealed with that number, and with a fingerprint of the message before it, by
    which another log is known for one after a restart, too.
    """

    def __init__(self, settings: RedpandaSettings, start: Start, report: Report) -> None:
        self._settings = settings
        self._start = start
        self._report = report
        self._trail = Trail()
        self._next: dict[TopicPartition, int] = {}
        self._covered: dict[TopicPartition, int] = {}  # up to which nothing was left out that is there
        self._committed: dict[TopicPartition, int] = {}
        self._logs: dict[TopicPartition, Seal] = {}
        self._partitions: dict[str, int] = {}
        self._doubtful = False

    def next(self, partition: TopicPartition) -> int:
        """Return the offset after the last message that was handed out of a partition that is assigned."""
        return self._next[partition]

    def hand_out(self, partition: TopicPartition, messages: Sequence[Any], reader: str, member: Member) -> Position:
        """Note messages that go to the reader, and return what it may commit, or store with them.

        Positions follow each other without a gap, whatever offsets there are no messages at.
        """
        self._trail.add(partition, messages)
        return self._pass(partition, messages[-1].offset + 1, [message.offset for message in messages], reader, member)

    def skip(
        self, consumer: KafkaConsumer, partition: TopicPartition, end: int, reader: str, member: Member
    ) -> Position:
        """Go on at `end` without what is before it, and return what the reader may commit when that is noted."""
        consumer.seek(partition, end)
        return self._pass(partition, end, [], reader, member)

    def anew(self, consumer: KafkaConsumer, partition: TopicPartition) -> None:
        """Have the partition fetched again from where reading stands in it."""
        consumer.seek(partition, self._next[partition])

    def _pass(
        self, partition: TopicPartition, end: int, offsets: Sequence[int], reader: str, member: Member
    ) -> Position:
        first = self._covered[partition]
        self._next[partition] = self._covered[partition] = end
        seal = self._seal(partition, end)
        return Position(
            partition.topic,
            partition.partition,
            first,
            end,
            reader,
            offsets,
            self._committed.get(partition, 0),
            seal.log,
            seal.parted,
            str(seal),
            member,
        )

    def doubt(self) -> None:
        """Have the logs compared with what was read of them before anything more is read."""
        self._doubtful = True

    def rewind(self) -> None:
        """Go back to the committed offsets: what was handed out beyond them died with the reader."""
        self._next.clear()

    def find(self, consumer: KafkaConsumer, kept: Sequence[Position] = ()) -> None:
        """Seek to the next offset of each assigned partition; `kept` are the positions that others keep.

        Raises `KafkaError` or `Transient`; then it is to be done again, and what was reported is not repeated.
        """
        assigned = consumer.assignment()
        self._trail.keep(assigned)
        self._next = {partition: offset for partition, offset in self._next.items() if partition in assigned}
        for topic in {partition.topic for partition in assigned}:
            self._partitions.setdefault(topic, len(consumer.partitions_for_topic(topic) or ()))
        if not assigned:
            return
        firsts = consumer.beginning_offsets(assigned, timeout_ms=self._settings.milliseconds)
        ends = consumer.end_offsets(assigned, timeout_ms=self._settings.milliseconds)
        changed: dict[TopicPartition, int] = {}
        with LogReader(self._settings) as reader:
            logs = {tp: Log(tp, firsts[tp], ends[tp], reader) for tp in sorted(assigned)}
            for partition, log in logs.items():
                if self._doubtful or self._next.get(partition, 0) > log.end:
                    self._compare(consumer, log)
            committed = self._committed_places(consumer, assigned)  # after that, which may have set them back
            for partition, log in logs.items():
                others = [Place(one.next, Seal.parse(one.seal)) for one in kept if _of(one) == partition]
                offset = self._found(consumer, log, committed.get(partition), others)
                if self._committed.get(partition, -1) != offset and partition not in self._next:
                    changed[partition] = offset
                self._begin(consumer, log, offset)
        if changed:
            self._commit(consumer, changed)
        self._doubtful = False

    def commit(self, consumer: KafkaConsumer, positions: Iterable[Position]) -> None:
        """Commit what is still ours and not beyond where reading stands, which a lost tail may have set back."""
        mine = consumer.assignment()
        chosen = {
            partition: position.next
            for position in positions
            if (partition := _of(position)) in mine
            and self._committed.get(partition, 0) <= position.next <= self._next.get(partition, -1)
            and self._is_of_this_log(partition, position)
        }
        if chosen:
            self._commit(consumer, chosen)

    def _is_of_this_log(self, partition: TopicPartition, position: Position) -> bool:
        log = self._logs.get(partition, NOTHING)
        return position.log == log.log or (position.log == log.log - 1 and position.next <= log.parted)

    def _seal(self, partition: TopicPartition, offset: int) -> Seal:
        return self._logs.get(partition, NOTHING).of(*self._trail.last_before(partition, offset))

    def _commit(self, consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
        sealed = {tp: OffsetAndMetadata(offset, str(self._seal(tp, offset)), -1) for tp, offset in offsets.items()}
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
        self._begin_log(consumer, partition, parting, parting)

    def _begin_log(self, consumer: KafkaConsumer, partition: TopicPartition, parted: int, offset: int) -> None:
        """Read on at `offset` in another log, now and after a restart."""
        self._logs[partition] = self._logs.get(partition, NOTHING).next_log(parted)
        if partition in self._next:
            self._next[partition] = min(offset, self._next[partition])
        committed = consumer.committed(partition, timeout_ms=self._settings.milliseconds)
        if committed is not None:
            self._commit(consumer, {partition: min(committed, offset)})

    def _found(self, consumer: KafkaConsumer, log: Log, committed: Place | None, kept: Sequence[Place]) -> int:
        """Return where to read on: where this reader stands, unless another member of the group has read on since."""
        partition = log.partition
        offset = self._next.get(partition)
        number = self._logs.get(partition, NOTHING).log
        if offset is not None and committed and (committed.offset > offset or committed.seal.log > number):
            del self._next[partition]
            offset = None
        if offset is None:
            return self._agreed(consumer, log, [*([committed] if committed else []), *kept])
        return self._other_log(consumer, log, offset, log.first) if offset > log.end else offset

    def _begin(self, consumer: KafkaConsumer, log: Log, offset: int) -> None:
        partition = log.partition
        self._covered[partition] = offset
        if offset < log.first:
            text = f"offsets {offset} to {log.first - 1} expired before they were read; reading goes on after them"
            self._report("expired", partition, offset, log.first, text)
            offset = log.first
        consumer.seek(partition, offset)
        self._next[partition] = offset

    def _agreed(self, consumer: KafkaConsumer, log: Log, places: Sequence[Place]) -> int:
        """Return where the group, and those who keep positions of their own, have all that is before it."""
        if not places:
            return self._first_of_group(consumer, log)
        newest = max((place.seal for place in places), key=lambda seal: seal.log)
        current = [place.within(newest) for place in places]
        self._logs[log.partition] = newest
        least = min(current, key=lambda place: place.offset)
        strange = [place.offset for place in current if not log.fits(place)]
        if strange:
            common = least.offset if log.fits(least) else log.first
            return self._other_log(consumer, log, max(strange), common)
        return least.offset

    def _other_log(self, consumer: KafkaConsumer, log: Log, read_to: int, common: int) -> int:
        """Report that this is another log than the one read up to an offset, and begin where they part."""
        first = min(log.end, read_to - 1)
        begins = "from its beginning" if common == log.first else f"from {common} on"
        text = f"offsets up to {read_to - 1} were read of another log than this, which is read {begins}"
        self._report("log_truncated", log.partition, first, read_to, text)
        self._begin_log(consumer, log.partition, common, common)
        return common

    def _committed_places(
        self, consumer: KafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Place]:
        """Return the committed offsets with their seals; those that the broker lost are known here still."""
        fetch = consumer._coordinator.fetch_committed_offsets  # noqa: SLF001  the public one asks for one at a time
        found = fetch(list(partitions), timeout_ms=self._settings.milliseconds)
        lost = {tp: self._committed[tp] for tp in partitions if tp not in found and tp in self._committed}
        if lost:
            self._commit(consumer, lost)
        self._committed |= {partition: committed.offset for partition, committed in found.items()}
        known = {tp: Place(offset, self._logs.get(tp, NOTHING)) for tp, offset in lost.items()}
        return known | {tp: Place(one.offset, Seal.parse(one.metadata or "")) for tp, one in found.items()}

    def _first_of_group(self, consumer: KafkaConsumer, log: Log) -> int:
        topic, number = log.partition
        is_new = number >= self._partitions[topic]  # made while the group was reading: nothing of it is to be skipped
        start = EARLIEST if is_new else self._start
        return starting_offset(consumer, log.partition, log.first, log.end, start, self._settings.milliseconds)


def _of(position: Position) -> TopicPartition:
    return TopicPartition(position.stream, position.partition)
