"""A topic as a log: an agent that reads stretches of it by time or offset, as a member of no group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeAlias, TypeVar, assert_never

from attrs import field, frozen
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from dataplatform.base.agent import Agent, Context, Request
from dataplatform.base.streaming.connection import close_consumer, connect, explain_at
from dataplatform.base.streaming.membership import group_of
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.base.streaming.starts import NO_TIMESTAMP, timestamp_of
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = [
    "FindStretches",
    "GroupOffsets",
    "LogMessage",
    "LogSlice",
    "NoteRead",
    "ReadGroupOffsets",
    "ReadStretch",
    "RedpandaLog",
    "Stretch",
]

T = TypeVar("T")


@frozen
class Stretch:
    """Offsets [first, end) of one partition of a topic."""

    topic: str
    partition: int
    first: int
    end: int


@frozen
class LogMessage:
    """One message; `timestamp` is what its producer said, in milliseconds, or anything else."""

    offset: int
    timestamp: int
    value: bytes | None = field(repr=False)


@frozen
class LogSlice:
    """Messages in order, and the offset at which to read on."""

    messages: list[LogMessage] = field(repr=lambda messages: f"{len(messages)} messages")
    next: int


@frozen
class FindStretches(Request[list[Stretch]]):
    """Answers where the messages from `since` until before `until` are, per partition; none for a missing topic.

    Without `until`, they end where the log ends now. Where the log's group has noted that it has read some, those are
    left out.
    """

    topic: str
    since: datetime | None = None
    until: datetime | None = None


@frozen
class ReadStretch(Request[LogSlice]):
    """Answers the first messages of a stretch, at most `most`.

    What has expired since the stretch was found is passed over. Fails with `Permanent("log_truncated")` where the log
    ends before the stretch begins: it is another log by now.
    """

    stretch: Stretch
    most: int = 5_000


@frozen
class NoteRead(Request[None]):
    """Commit, for the log's group, that each partition was read up to an offset."""

    topic: str
    offsets: tuple[tuple[int, int], ...]


@frozen
class GroupOffsets:
    """The log's group: the reader that its members are, what it has committed, and the first offsets that there are."""

    reader: str
    committed: Mapping[int, int]
    first: Mapping[int, int]


@frozen
class ReadGroupOffsets(Request[GroupOffsets]):
    """Answers how far the log's group has committed a topic, by partition; where `idle`, fails while it has members."""

    topic: str
    idle: bool = False


Message: TypeAlias = FindStretches | ReadStretch | NoteRead | ReadGroupOffsets


class RedpandaLog(Agent):
    """Reads committed messages and disturbs nobody: no group is joined, so none is rebalanced.

    With a `group` it can note how far it has read. A group that has members of its own refuses such a note.
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: RedpandaSettings, group: str | None = None) -> None:
        super().__init__(context)
        self._settings = settings
        self._group = group
        self._consumer: KafkaConsumer | None = None

    def receive(self, message: Message) -> Result[Any]:
        match message:
            case FindStretches():
                return self._with_consumer(lambda consumer: self._find(consumer, message))
            case ReadStretch(stretch, most):
                return self._with_consumer(lambda consumer: self._read(consumer, stretch, most))
            case NoteRead(topic, offsets):
                noted = {TopicPartition(topic, number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets}
                return self._with_consumer(lambda consumer: self._note(consumer, noted))
            case ReadGroupOffsets(topic, idle):
                return self._with_consumer(lambda consumer: self._group_offsets(consumer, topic, idle=idle))
            case _:
                assert_never(message)

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            close_consumer(consumer)

    def _with_consumer(self, run: Callable[[KafkaConsumer], T]) -> Result[T]:
        try:
            answer = run(self._connected())
        except (KafkaError, OSError) as error:
            return self._failed(explain_at(error, self._settings))
        except PlatformError as error:
            return self._failed(error)
        self.recover()
        return Success(answer)

    def _failed(self, error: PlatformError) -> Failure:
        self._close()
        self.degrade(error)
        return Failure(error)

    def _find(self, consumer: KafkaConsumer, wanted: FindStretches) -> list[Stretch]:
        numbers = consumer.partitions_for_topic(wanted.topic) or ()
        partitions = [TopicPartition(wanted.topic, number) for number in sorted(numbers)]
        if not partitions:
            return []
        limit = self._settings.milliseconds
        firsts = consumer.beginning_offsets(partitions, timeout_ms=limit)
        ends = consumer.end_offsets(partitions, timeout_ms=limit)
        begin = self._at(consumer, partitions, wanted.since, ends) if wanted.since else firsts
        until = self._at(consumer, partitions, wanted.until, ends) if wanted.until else ends
        return [
            Stretch(tp.topic, tp.partition, self._unread(consumer, tp, begin[tp]), min(until[tp], ends[tp]))
            for tp in partitions
        ]

    def _at(
        self,
        consumer: KafkaConsumer,
        partitions: list[TopicPartition],
        moment: datetime,
        ends: dict[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        """Return the offset of the first message at or after a moment, the log's end where there is none."""
        stamps = dict.fromkeys(partitions, timestamp_of(moment))
        found = consumer.offsets_for_times(stamps, timeout_ms=self._settings.milliseconds)
        return {tp: found[tp].offset if found.get(tp) else ends[tp] for tp in partitions}

    def _unread(self, consumer: KafkaConsumer, partition: TopicPartition, first: int) -> int:
        if self._group is None:
            return first
        committed = consumer.committed(partition, timeout_ms=self._settings.milliseconds)
        return max(first, committed or 0)

    def _read(self, consumer: KafkaConsumer, stretch: Stretch, most: int) -> LogSlice:
        partition = TopicPartition(stretch.topic, stretch.partition)
        if consumer.assignment() != {partition}:
            consumer.assign([partition])
            consumer.seek(partition, stretch.first)
        elif consumer.position(partition) != stretch.first:
            consumer.seek(partition, stretch.first)
        try:
            found = consumer.poll(self._settings.milliseconds, max_records=most).get(partition, [])
        except OffsetOutOfRangeError:
            return self._pass_over(consumer, partition, stretch)
        position = consumer.position(partition)
        if position <= stretch.first < stretch.end:
            where = f"{stretch.topic}/{stretch.partition}"
            raise Transient("broker", f"{where} could not be read at offset {stretch.first} in time")
        messages = [
            LogMessage(one.offset, NO_TIMESTAMP if one.timestamp is None else one.timestamp, one.value)
            for one in found
            if one.offset < stretch.end
        ]
        self.count("messages", len(messages))
        return LogSlice(messages, min(position, stretch.end))

    def _pass_over(self, consumer: KafkaConsumer, partition: TopicPartition, stretch: Stretch) -> LogSlice:
        """Return where a log begins that no longer holds the first offsets of a stretch."""
        limit = self._settings.milliseconds
        first = consumer.beginning_offsets([partition], timeout_ms=limit)[partition]
        end = consumer.end_offsets([partition], timeout_ms=limit)[partition]
        where = f"{stretch.topic}/{stretch.partition}"
        if stretch.first > end:
            text = f"{where} ends at offset {end}, before {stretch.first}, which was there a moment ago"
            raise Permanent("log_truncated", text, remedy="the topic was made anew: give the command again")
        following = min(max(first, stretch.first), stretch.end)
        self.log.warning("offsets have expired", partition=where, first=stretch.first, after=following)
        return LogSlice([], following)

    def _group_offsets(self, consumer: KafkaConsumer, topic: str, *, idle: bool) -> GroupOffsets:
        """Find the offsets; what is committed once more the broker refuses while there are members."""
        assert self._group is not None, "it is asked of a log with a group"
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        limit = self._settings.milliseconds
        found = {tp: consumer.committed(tp, metadata=True, timeout_ms=limit) for tp in partitions}
        committed = {tp: one for tp, one in found.items() if one is not None}
        if committed and idle:
            self._note(consumer, committed)
        first = consumer.beginning_offsets(partitions, timeout_ms=limit) if partitions else {}
        return GroupOffsets(
            group_of(consumer, self._group),
            {tp.partition: one.offset for tp, one in committed.items()},
            {tp.partition: offset for tp, offset in first.items()},
        )

    def _note(self, consumer: KafkaConsumer, noted: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        try:
            consumer.commit(noted, timeout_ms=self._settings.milliseconds)
        except CommitFailedError as error:
            what = f"the group {self._group!r} has members, whose offsets these are"
            raise Permanent("group_in_use", what, remedy="choose another group") from error

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            options = self._settings.common(f"dataplatform-{self.name}") | {
                "group_id": self._group,
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "isolation_level": "read_committed",
                "max_partition_fetch_bytes": 4 * 1024 * 1024,
                "fetch_max_wait_ms": min(500, self._settings.milliseconds // 2),
            }
            self._consumer = connect(KafkaConsumer, self._settings, **options)
        return self._consumer
