"""A follower: reads one topic from a start to its end, outside of any group, and keeps the latest values."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event
from typing import Any, TypeAlias

from attrs import define, field, frozen
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError

from dataplatform.base.streaming.compaction import Compacted, Item
from dataplatform.base.streaming.connection import close_consumer, connect
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.base.streaming.starts import EARLIEST, Start, starting_offset
from dataplatform.base.streaming.times import moment_of
from dataplatform.errors import Permanent, Transient

__all__ = ["Digest", "Follower", "ViewSpec"]

AT_ONCE = 5_000  # messages of one poll
STEP = 20  # milliseconds that a poll waits: the light broker answers an empty fetch at once, so to wait burns a core
OTHER_LOG = (OffsetOutOfRangeError, LogTruncationError, NoOffsetForPartitionError)

Digest: TypeAlias = Callable[[Sequence[bytes | None]], tuple[list[Item], int]]


@frozen
class ViewSpec:
    """What is viewed: for each topic, what makes items of its messages.

    Reading begins at `start`; of each topic at most `most` items are kept.
    """

    digests: dict[str, Digest]
    start: Start = EARLIEST
    most: int = 100_000


@define(eq=False)
class Follower:
    """The latest values of one topic, connected when first used; used by one thread.

    A log that ends before what was read of it, a topic that was made anew, and one that got more partitions are read
    from the start again, and what is known of the one before is forgotten.
    """

    topic: str
    _settings: RedpandaSettings
    _spec: ViewSpec
    _count: Callable[[str, int], None]
    latest: Compacted = field(init=False)
    since: datetime | None = field(default=None, init=False)  # the time of the earliest message that has one
    malformed: int = field(default=0, init=False)  # messages that were read and are not valid items
    behind: int = field(default=0, init=False)  # messages that were still to be read when the end was last seen
    _consumer: KafkaConsumer | None = field(default=None, init=False)
    _log: Log | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.latest = Compacted(self._spec.most)

    @property
    def begun(self) -> bool:
        """Whether it is connected, and stands somewhere in the topic."""
        return self._consumer is not None

    def read_to_end(self, seconds: float, stopping: Event) -> None:
        """Read all that the topic holds now.

        Raises `Transient("catching_up")` when that takes longer, `Permanent("not_found")` for a topic that is not
        there, and `KafkaError` or `OSError` in an outage.
        """
        deadline = time.monotonic() + seconds
        consumer, ends = self._begun()
        while self._measure(consumer, ends):
            if stopping.is_set() or time.monotonic() > deadline:
                text = f"{self.topic}: {self.behind} messages are still to be read"
                raise Transient("catching_up", text, retry_after=1.0)
            self.read_on()
        if not self._stands(consumer):
            raise self._other_log()

    def read_on(self) -> bool:
        """Read what has come, in one poll; tell whether anything had. Raises as `read_to_end` does."""
        assert self._consumer is not None, "only what has been begun is read on"
        try:
            polled = self._consumer.poll(STEP, max_records=AT_ONCE)
        except OTHER_LOG as error:
            raise self._other_log() from error
        for messages in polled.values():
            self._take(messages)
        return bool(polled)

    def close(self) -> None:
        """Disconnect, and forget all that was read."""
        consumer, self._consumer = self._consumer, None
        self.latest, self.since, self.behind, self.malformed = Compacted(self._spec.most), None, 0, 0
        if consumer is not None:
            close_consumer(consumer)

    def _take(self, messages: Sequence[Any]) -> None:
        items, malformed = self._spec.digests[self.topic]([message.value for message in messages])
        times = [self.since, moment_of(messages[0].timestamp)]
        self.since = min(filter(None, times), default=None)
        self.malformed += malformed
        self._count("messages", len(messages))
        self._count("malformed", malformed)
        self._count("evicted", self.latest.add(items))

    def _measure(self, consumer: KafkaConsumer, ends: dict[TopicPartition, int]) -> int:
        self.behind = sum(max(0, end - consumer.position(tp)) for tp, end in ends.items())
        return self.behind

    # The log

    def _begun(self) -> tuple[KafkaConsumer, dict[TopicPartition, int]]:
        """Return the consumer, and the ends of the log that it reads."""
        consumer = self._consumer
        if consumer is not None and self._stands(consumer):
            ends = self._ends(consumer)
            if self._stands(consumer) and all(consumer.position(tp) <= end for tp, end in ends.items()):
                return consumer, ends
        self.close()
        return self._begin()

    def _stands(self, consumer: KafkaConsumer) -> bool:
        """Tell whether the topic is, as far as the client knows by now, the one that was read."""
        return Log.of(consumer, self.topic) == self._log

    def _other_log(self) -> Transient:
        self.close()
        return Transient("catching_up", f"{self.topic}: its log is another one, to be read anew", retry_after=1.0)

    def _begin(self) -> tuple[KafkaConsumer, dict[TopicPartition, int]]:
        consumer = connect(KafkaConsumer, self._settings, **self._options())
        try:
            log = Log.of(consumer, self.topic)
            if not log.partitions:
                text = f"the broker has no topic {self.topic!r}"
                raise Permanent("not_found", text, remedy="publish to it, or name another under 'topics'")
            consumer.assign(log.partitions)
            ends = self._ends(consumer)
            self._seek(consumer, ends)
        except BaseException:
            close_consumer(consumer)
            raise
        self._consumer, self._log = consumer, log
        return consumer, ends

    def _seek(self, consumer: KafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        limit = self._settings.milliseconds
        firsts = consumer.beginning_offsets(list(ends), timeout_ms=limit)
        for tp, end in ends.items():
            consumer.seek(tp, starting_offset(consumer, tp, firsts[tp], end, self._spec.start, limit))

    def _ends(self, consumer: KafkaConsumer) -> dict[TopicPartition, int]:
        ends: dict[TopicPartition, int] = consumer.end_offsets(
            consumer.assignment(), timeout_ms=self._settings.milliseconds
        )
        return ends

    def _options(self) -> dict[str, Any]:
        return self._settings.common("dataplatform-view") | {
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
            "fetch_max_wait_ms": min(500, self._settings.milliseconds // 2),
        }


@frozen
class Log:
    """Which log a topic's name stands for at the moment, as far as the client has been told."""

    topic_id: Any
    partitions: tuple[TopicPartition, ...]

    @classmethod
    def of(cls, consumer: KafkaConsumer, topic: str) -> Log:
        numbers = sorted(consumer.partitions_for_topic(topic))
        topic_id = consumer._client.cluster.topic_id(topic)  # noqa: SLF001  kafka-python has no other way to ask
        return cls(topic_id, tuple(TopicPartition(topic, number) for number in numbers))
