"""The consumer: an agent that is one member of a consumer group, polls when asked, and stays a member when not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, ClassVar, TypeAlias, TypeVar, assert_never

from attrs import field, frozen, validators
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import (
    CommitFailedError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from kafka.structs import OffsetAndMetadata

from dataplatform.base.agent import Agent, Context, Incident, Request
from dataplatform.base.streaming.errors import explain
from dataplatform.base.streaming.settings import RedpandaSettings, TopicSpec
from dataplatform.base.streaming.topics import ensure_topics
from dataplatform.base.streaming.trail import LogReader, Trail, fingerprint
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["CommitOffsets", "Fetch", "RedpandaConsumer", "Slice", "Subscription"]

PROVE_EVERY = 2.0
KEEP_ALIVE = 1.0
T = TypeVar("T")


@frozen
class Subscription:
    """Which topics are read, by which group, and where a group that has committed nothing begins."""

    topics: tuple[TopicSpec, ...]
    group: str
    instance_id: str | None = None
    start: str = field(default="earliest", validator=validators.in_(("earliest", "latest")))
    session_timeout: float = field(default=30.0, validator=validators.gt(0.0))
    isolation: str = field(default="read_committed", validator=validators.in_(("read_committed", "read_uncommitted")))


@frozen
class Slice:
    """Messages of one partition, in order, as columns. `next` is the offset to commit when they are dealt with."""

    topic: str
    partition: int
    first: int
    next: int
    offsets: list[int] = field(repr=False)
    keys: list[bytes | None] = field(repr=False)
    values: list[bytes | None] = field(repr=lambda values: f"{len(values)} messages")


@frozen
class Fetch(Request[list[Slice]]):
    """Answers what has come, an empty list when nothing has.

    `reader` names one life of the asker: when it changes, reading goes back to the committed offsets.
    """

    reader: str
    most: int = 5_000


@frozen
class CommitOffsets(Request[None]):
    """Commit the next offset per topic and partition."""

    offsets: tuple[tuple[str, int, int], ...]


@frozen
class KeepAlive:
    """Poll if nobody asked for a while, so that the group does not take the partitions away."""


Message: TypeAlias = Fetch | CommitOffsets | KeepAlive


class RedpandaConsumer(Agent):
    """Reads its share of the partitions. An offset is committed when it is told to, never by itself.

    A log that ends before the position that was read (a broker that lost its tail, a topic made anew) is an incident:
    it is reported, and reading goes on where the log that is there now parts from the one that was read.
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: RedpandaSettings, subscription: Subscription) -> None:
        super().__init__(context)
        self._settings = settings
        self._subscription = subscription
        self._consumer: KafkaConsumer | None = None
        self._trail = Trail()
        self._next: dict[TopicPartition, int] = {}  # the offset after the last message handed out
        self._membership = Membership(self._next)
        self._reader = ""
        self._polled = self._proved = 0.0  # when the group, and when the broker, last heard and answered
        self._doubtful = False

    def _open(self) -> None:
        self.after(KEEP_ALIVE, KeepAlive())

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case KeepAlive():
                self._keep_alive()
                return None
            case Fetch(reader, most):
                return self._with_consumer(lambda consumer: self._fetch(consumer, reader, most))
            case CommitOffsets(offsets):
                return self._with_consumer(lambda consumer: self._commit(consumer, offsets))
            case _:
                assert_never(message)

    def _close(self) -> None:
        if self._consumer is not None:
            with suppress(KafkaError, OSError):
                self._consumer.close(autocommit=False, timeout_ms=1000)
        self._consumer = None

    def _peer_restarted(self, name: str) -> None:
        if self.kind_of(name) != "server":
            return
        self.log.info("checking the log", because=f"{name} restarted")
        self._doubtful = True

    # Requests

    def _with_consumer(self, run: Callable[[KafkaConsumer], T]) -> Result[T]:
        try:
            answer = run(self._connected())
        except (KafkaError, OSError) as error:
            return self._failed(explain(error, ", ".join(self._settings.brokers)), error)
        except PlatformError as error:
            return self._failed(error, None)
        self.recover()
        return Success(answer)

    def _failed(self, error: PlatformError, cause: BaseException | None) -> Failure:
        self.count("failed")
        self.degrade(error)
        if isinstance(cause, KafkaError) and not cause.retriable and not isinstance(cause, CommitFailedError):
            self._close()  # the group may have thrown it out: the next request joins anew
        return Failure(error)

    def _fetch(self, consumer: KafkaConsumer, reader: str, most: int) -> list[Slice]:
        if reader != self._reader:
            self._rewind(consumer)
            self._reader = reader
        if self._doubtful:
            self._verify(consumer)
        consumer.resume(*consumer.paused())
        slices = [self._slice(tp, messages) for tp, messages in self._poll(consumer, most).items()]
        if slices:
            self._proved = self.clock.monotonic()
        else:
            self._prove(consumer)
        self._measure_lag(consumer)
        return slices

    def _commit(self, consumer: KafkaConsumer, offsets: tuple[tuple[str, int, int], ...]) -> None:
        """Commit what is still ours and not beyond where reading stands, which a lost tail may have set back."""
        mine = consumer.assignment()
        chosen = {
            TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
            for topic, partition, offset in offsets
            if (tp := TopicPartition(topic, partition)) in mine and offset <= self._next.get(tp, 0)
        }
        if chosen:
            consumer.commit(chosen, timeout_ms=self._milliseconds)

    # Polling

    def _poll(self, consumer: KafkaConsumer, most: int) -> dict[TopicPartition, list[Any]]:
        self._polled = self.clock.monotonic()
        wait = self._patience(consumer)
        try:
            messages: dict[TopicPartition, list[Any]] = consumer.poll(wait, max_records=most)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError, LogTruncationError):
            self._verify(consumer)
            return {}
        return messages

    def _patience(self, consumer: KafkaConsumer) -> int:
        """Return how many milliseconds a poll may wait.

        Joining a group takes a while, and a poll that cannot wait begins it anew each time. Once joined, the light
        broker answers an empty fetch at once, so that a poll that waits would burn a core.
        """
        if not consumer.assignment():
            return 1000
        return 0 if self._settings.light else 100

    def _slice(self, tp: TopicPartition, messages: list[Any]) -> Slice:
        last = messages[-1]
        self._next[tp] = last.offset + 1
        self._trail.mark(tp, last.offset + 1, fingerprint(last.timestamp, last.key, last.value))
        self.count("messages", len(messages))
        return Slice(
            tp.topic,
            tp.partition,
            first=messages[0].offset,
            next=last.offset + 1,
            offsets=[message.offset for message in messages],
            keys=[message.key for message in messages],
            values=[message.value for message in messages],
        )

    def _prove(self, consumer: KafkaConsumer) -> None:
        """Find out, now and then while nothing comes, whether the broker is there and its log as long as it was."""
        if self.clock.monotonic() - self._proved < PROVE_EVERY:
            return
        assigned = consumer.assignment()
        if assigned:
            ends = consumer.end_offsets(list(assigned), timeout_ms=self._milliseconds)
            self._doubtful = any(ends[tp] < self._next.get(tp, 0) for tp in assigned)
        elif not self._membership.joined:
            raise Transient("broker", f"not yet a member of the group {self._subscription.group!r}")
        self._proved = self.clock.monotonic()

    def _keep_alive(self) -> None:
        """Poll with all partitions paused when nobody fetched for a while, so that the group keeps its member."""
        self.after(KEEP_ALIVE, KeepAlive())
        consumer = self._consumer
        if consumer is None or self.clock.monotonic() - self._polled < KEEP_ALIVE:
            return
        try:
            consumer.pause(*consumer.assignment())
            for tp, messages in consumer.poll(self._patience(consumer)).items():
                consumer.seek(tp, messages[0].offset)  # assigned in this very poll: not asked for yet
            self._polled = self.clock.monotonic()
        except (KafkaError, OSError) as error:
            self.log.debug("keep-alive failed", error=str(error))

    def _measure_lag(self, consumer: KafkaConsumer) -> None:
        lag = 0
        for tp in consumer.assignment():
            high = consumer.highwater(tp)
            lag += max(0, high - self._next.get(tp, high)) if high is not None else 0
        self.gauge("lag", lag)

    # Positions

    def _rewind(self, consumer: KafkaConsumer) -> None:
        """Go back to the committed offsets: what was handed out beyond them died with the reader before."""
        for tp in self._next:
            if tp in consumer.assignment():
                self._place(consumer, tp)
        self._next = {tp: offset for tp, offset in self._next.items() if tp in consumer.assignment()}

    def _place(self, consumer: KafkaConsumer, tp: TopicPartition) -> None:
        """Seek to the committed offset, or to where a group without one begins."""
        offset = consumer.committed(tp, timeout_ms=self._milliseconds)
        if offset is None:
            bounds = consumer.end_offsets if self._subscription.start == "latest" else consumer.beginning_offsets
            offset = bounds([tp], timeout_ms=self._milliseconds)[tp]
            consumer.commit({tp: OffsetAndMetadata(offset, "", -1)}, timeout_ms=self._milliseconds)
        self._seek(consumer, tp, offset)

    def _seek(self, consumer: KafkaConsumer, tp: TopicPartition, offset: int) -> None:
        consumer.seek(tp, offset)
        self._next[tp] = offset
        self._trail.cut(tp, offset)

    def _verify(self, consumer: KafkaConsumer) -> None:
        """Compare the log with what was read of it, partition by partition, and go on where they part."""
        assigned = list(consumer.assignment())
        firsts = consumer.beginning_offsets(assigned, timeout_ms=self._milliseconds)
        ends = consumer.end_offsets(assigned, timeout_ms=self._milliseconds)
        with LogReader(self._settings) as log:
            for tp in assigned:
                if tp not in self._next:
                    self._place(consumer, tp)
                self._compare(consumer, tp, firsts[tp], ends[tp], log)
        self._doubtful = False

    def _compare(self, consumer: KafkaConsumer, tp: TopicPartition, first: int, end: int, log: LogReader) -> None:
        position = self._next[tp]
        parting = self._trail.parting(tp, first, end, lambda offset: log.fingerprint_at(tp, offset))
        if parting is None:
            parting = min(max(position, first), end)
        if parting < position:
            self._report(tp, "log_truncated", parting, position,
                         "the broker lost offsets {0} to {1}, which had been read; reading goes on at {0}")  # fmt: skip
        elif parting > position:
            self._report(tp, "expired", position, parting,
                         "offsets {0} to {1} expired before they were read; reading goes on after them")  # fmt: skip
        self._seek(consumer, tp, parting)

    def _report(self, tp: TopicPartition, kind: str, first: int, after: int, text: str) -> None:
        message = f"{tp.topic}/{tp.partition}: " + text.format(first, after - 1)
        self.incident(Incident(self.clock.now(), self.name, kind, tp.topic, tp.partition, first, after, message))

    # Connection

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            if error := ensure_topics(self._settings, self._subscription.topics):
                raise error
            self._consumer = KafkaConsumer(**self._options())
            self._next.clear()
            self._membership = Membership(self._next)
            topics = [topic.name for topic in self._subscription.topics]
            self._consumer.subscribe(topics, listener=self._membership)
            self.count("connections")
        return self._consumer

    def _options(self) -> dict[str, Any]:
        subscription = self._subscription
        return self._settings.common(f"dataplatform-{self.name}") | {
            "group_id": subscription.group,
            "group_instance_id": subscription.instance_id,
            "session_timeout_ms": round(subscription.session_timeout * 1000),
            "heartbeat_interval_ms": min(3000, round(subscription.session_timeout * 1000 / 3)),
            "isolation_level": subscription.isolation,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # where to begin is decided here, and only once
            "allow_auto_create_topics": False,
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
        }

    @property
    def _milliseconds(self) -> int:
        return round(self._settings.request_timeout * 1000)


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Knows whether the group has taken this member in, and forgets the positions of partitions it took away."""

    def __init__(self, positions: dict[TopicPartition, int]) -> None:
        self._positions = positions
        self.joined = False

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.joined = False
        for tp in revoked:
            self._positions.pop(tp, None)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Positions are looked up when the first fetch finds them missing; there may be more members than partitions."""
        del assigned
        self.joined = True
