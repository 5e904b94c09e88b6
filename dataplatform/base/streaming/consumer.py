"""The consumer: an agent that is one member of a consumer group, polls when asked, and stays a member when not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias, TypeVar, assert_never

from attrs import frozen
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    CommitFailedError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
)

from dataplatform.base.agent import Agent, Context, Incident
from dataplatform.base.position import Position, ReadPositions
from dataplatform.base.streaming.connection import close_consumer, connect
from dataplatform.base.streaming.errors import explain
from dataplatform.base.streaming.membership import NOBODY, Membership, group_of, member_of
from dataplatform.base.streaming.positions import Positions
from dataplatform.base.streaming.requests import CommitOffsets, Fetch, GetAssignment, Slice
from dataplatform.base.streaming.settings import RedpandaSettings, Subscription
from dataplatform.base.streaming.topics import ensure_topics
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["RedpandaConsumer"]

PROVE_EVERY = 2.0
KEEP_ALIVE = 1.0
KEEPER_TIMEOUT = 5.0
JOIN_STEP, JOIN_STEPS = 100, 10  # milliseconds that a poll waits for the group, and how many polls a request may take
REBALANCING = (CommitFailedError, RebalanceInProgressError)
T = TypeVar("T")


@frozen
class KeepAlive:
    """Poll if nobody asked for a while, so that the group does not take the partitions away."""


Message: TypeAlias = Fetch | CommitOffsets | GetAssignment | KeepAlive
Polled: TypeAlias = dict[TopicPartition, list[Any]]


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
        self._membership = Membership()
        self._positions = Positions(settings, subscription.start, self._report)
        self._reader = ""
        self._group, self._member = "", NOBODY
        self._polled = self._proved = 0.0  # when the group, and when the broker, last heard and answered

    def _open(self) -> None:
        self.after(KEEP_ALIVE, KeepAlive())

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case KeepAlive():
                self._keep_alive()
                return None
            case Fetch(reader, most):
                return self._with_consumer(lambda consumer: self._fetch(consumer, reader, most))
            case CommitOffsets(positions):
                return self._with_consumer(lambda consumer: self._commit(consumer, positions))
            case GetAssignment():
                return Success(self._assignment())
            case _:
                assert_never(message)

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            close_consumer(consumer)

    def _peer_restarted(self, name: str) -> None:
        if self.kind_of(name) == "server":
            self._doubt(f"{name} restarted", begin_anew=self._settings.light)

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
        if isinstance(cause, KafkaError) and not cause.retriable and not isinstance(cause, REBALANCING):
            self._close()  # the group may have thrown it out: the next request joins anew
        return Failure(error)

    def _fetch(self, consumer: KafkaConsumer, reader: str, most: int) -> list[Slice]:
        if reader != self._reader:
            self._positions.rewind()
            self._membership.seated = False
            self._reader = reader
        consumer.resume(*consumer.paused())
        slices = [self._slice(tp, messages) for tp, messages in self._poll(consumer, most).items()]
        if slices:
            self._proved = self.clock.monotonic()
        elif self._consumer is consumer:
            self._prove(consumer)
        if self._consumer is consumer and self._membership.seated:
            self._measure_lag(consumer)
        return slices

    def _commit(self, consumer: KafkaConsumer, positions: Iterable[Position]) -> None:
        if not self._membership.joined:
            self._poll(consumer, 1)  # brings nothing yet
        if not self._membership.joined:
            raise self._outside()
        self._positions.commit(consumer, positions)

    def _assignment(self) -> tuple[tuple[str, int], ...]:
        assigned = self._consumer.assignment() if self._consumer and self._membership.joined else ()
        return tuple(sorted((tp.topic, tp.partition) for tp in assigned))

    # Polling

    def _poll(self, consumer: KafkaConsumer, most: int) -> Polled:
        """Return what has come; nothing in an assignment in which reading has yet to be seated."""
        self._polled = self.clock.monotonic()
        messages: Polled = {}
        try:
            self._await_group(consumer)
            if self._membership.seated:
                messages = consumer.poll(0 if self._settings.light else 100, max_records=most)
            elif self._membership.joined:
                self._stay(consumer)
        except NoOffsetForPartitionError:
            self._membership.seated = False
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            if self._membership.seated:
                self._doubt(str(error), begin_anew=True)
                return {}
        if self._membership.seated:
            return messages
        if self._membership.joined:
            self._seat(consumer)
            consumer.resume(*consumer.paused())
        return {}

    def _await_group(self, consumer: KafkaConsumer) -> None:
        """Poll until the group has taken this member in, for a second at most; what comes meanwhile does not count.

        A poll has to wait for that: one that joins and cannot wait begins anew each time. Else none waits at the
        light broker, which answers an empty fetch at once, so that waiting would burn a core.
        """
        for _ in range(JOIN_STEPS):
            if self._membership.joined:
                break
            consumer.poll(JOIN_STEP, max_records=1)

    @staticmethod
    def _stay(consumer: KafkaConsumer) -> None:
        """Take part in the group while nothing can be read yet: the others may be waiting for this member."""
        consumer.pause(*consumer.assignment())
        consumer.poll(0, max_records=1)

    def _seat(self, consumer: KafkaConsumer) -> None:
        """Begin to read an assignment; what kafka-python itself has begun to read of it does not count."""
        if self._membership.lost:
            self._positions.doubt()
        self._group, self._member = group_of(consumer, self._subscription.group), member_of(consumer)
        self._positions.find(consumer, self._kept())
        self._membership.seated, self._membership.lost = True, False
        self.gauge("partitions", len(consumer.assignment()))

    def _kept(self) -> list[Position]:
        """Ask those who keep positions of their own how far they are."""
        kept: list[Position] = []
        for keeper in self._subscription.keepers:
            answer = self.address(keeper).ask(ReadPositions(self._group), KEEPER_TIMEOUT)
            if isinstance(answer, Failure):
                raise answer.error
            kept += answer.data
        return kept

    def _slice(self, tp: TopicPartition, messages: list[Any]) -> Slice:
        self.count("messages", len(messages))
        return Slice(
            self._positions.hand_out(tp, messages, self._group, self._member),
            keys=[message.key for message in messages],
            values=[message.value for message in messages],
        )

    def _prove(self, consumer: KafkaConsumer) -> None:
        """Find out, now and then while nothing comes, whether the broker is there and its log as long as it was."""
        if self.clock.monotonic() - self._proved < PROVE_EVERY:
            return
        if not self._membership.seated:
            raise self._outside()
        assigned = consumer.assignment()
        ends = consumer.end_offsets(assigned, timeout_ms=self._settings.milliseconds) if assigned else {}
        self._proved = self.clock.monotonic()
        if any(end < self._positions.next(tp) for tp, end in ends.items()):
            self._doubt("a log is shorter than what was read of it", begin_anew=True)

    def _keep_alive(self) -> None:
        """Poll with all partitions paused when nobody fetched for a while, so that the group keeps its member."""
        self.after(KEEP_ALIVE, KeepAlive())
        consumer = self._consumer
        if consumer is None or self.clock.monotonic() - self._polled < KEEP_ALIVE:
            return
        try:
            consumer.pause(*consumer.assignment())
            self._poll(consumer, 1)
        except (KafkaError, OSError, PlatformError) as error:
            self.log.debug("keep-alive failed", error=str(error))

    def _measure_lag(self, consumer: KafkaConsumer) -> None:
        """Count what is there and not handed out, as far as fetches have told."""
        lag = 0
        for tp in consumer.assignment():
            if (high := consumer.highwater(tp)) is not None:
                lag += max(0, high - self._positions.next(tp))
        self.gauge("lag", lag)

    # Incidents

    def _doubt(self, because: str, *, begin_anew: bool) -> None:
        """Have the log compared with what was read of it.

        To begin anew drops what was fetched ahead, which may be of a log that is gone. It means to leave the group:
        not to be done with a store that has just restarted, whose group would wait for the member that could not.
        """
        self.log.info("checking the log", because=because)
        self._positions.doubt()
        self._membership.seated = False
        if begin_anew:
            self._close()

    def _report(self, kind: str, partition: TopicPartition, first: int, after: int, text: str) -> None:
        message = f"{partition.topic}/{partition.partition}: {text}"
        self.incident(
            Incident(self.clock.now(), self.name, kind, partition.topic, partition.partition, first, after, message)
        )

    # Connection

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            if error := ensure_topics(self._settings, self._subscription.topics):
                raise error
            self._consumer = connect(KafkaConsumer, **self._options())
            self._membership = Membership(self._consumer)
            self._consumer.subscribe([topic.name for topic in self._subscription.topics], listener=self._membership)
            self._proved = self.clock.monotonic()
            self.count("connections")
        return self._consumer

    def _outside(self) -> Transient:
        return Transient("broker", f"not a member of the group {self._subscription.group!r} at the moment")

    def _options(self) -> dict[str, Any]:
        subscription = self._subscription
        return self._settings.common(f"dataplatform-{self.name}") | {
            "group_id": subscription.group,
            "group_instance_id": subscription.instance_id,
            "session_timeout_ms": round(subscription.session_timeout * 1000),
            "heartbeat_interval_ms": min(3000, round(subscription.session_timeout * 1000 / 3)),
            "isolation_level": subscription.isolation,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # where to begin is decided by `Positions`, and only once
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
            "fetch_max_wait_ms": min(500, self._settings.milliseconds // 2),
        }
