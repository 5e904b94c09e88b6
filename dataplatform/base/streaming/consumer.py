"""The consumer: an agent that is one member of a consumer group, polls when asked, and stays a member when not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
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
from dataplatform.base.streaming.connection import close_consumer, connect, explain_at
from dataplatform.base.streaming.fetcher import BrokenBatchError, UnreadableBatch, has_more, let_go, place_of, stay
from dataplatform.base.streaming.membership import NOBODY, Membership, group_of, member_of
from dataplatform.base.streaming.offsets import Positions
from dataplatform.base.streaming.requests import CommitOffsets, Fetch, GetAssignment, SkipBatch, Slice
from dataplatform.base.streaming.settings import RedpandaSettings, Subscription
from dataplatform.base.streaming.stuck import Progress, Stall, StuckPartitions
from dataplatform.base.streaming.topics import ensure_topics
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["RedpandaConsumer"]

LOOK_EVERY, LOOK_AGAIN = 2.0, 10.0  # seconds between two looks at the logs' ends; after one in vain, while all flows
KEEP_ALIVE = 1.0
KEEPER_TIMEOUT = 5.0
JOIN_STEP, JOIN_STEPS = 100, 10  # milliseconds that a poll waits for the group, and how many polls a request may take
ABSENCE = 30.0  # seconds that the group waits for a member which is alive and does not rejoin, at least
REBALANCING = (CommitFailedError, RebalanceInProgressError)
T = TypeVar("T")


@frozen
class KeepAlive:
    """Poll if nobody asked for a while, so that the group does not take the partitions away."""


Message: TypeAlias = Fetch | SkipBatch | CommitOffsets | GetAssignment | KeepAlive


class RedpandaConsumer(Agent):
    """Reads its share of the partitions. An offset is committed when it is told to, never by itself.

    A log that ends before the position that was read (a broker that lost its tail, a topic made anew) is an incident:
    it is reported, and reading goes on where the log that is there now parts from the one that was read.

    A batch that cannot be read holds up its partition alone, until it can be or is given up by `SkipBatch`. A partition
    that stands still is positioned anew, and when that does not help the group is joined anew. Both are shown.
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
        self._polled = self._asked = 0.0  # when the group last heard of this member, and when somebody last fetched
        self._look_due = 0.0
        self._ends: dict[TopicPartition, int] = {}  # as last seen
        self._progress = Progress(subscription.stall_after)
        self._stuck = StuckPartitions()

    def _open(self) -> None:
        self.after(KEEP_ALIVE, KeepAlive())

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case KeepAlive():
                self._keep_alive()
                return None
            case Fetch(reader, most):
                return self._with_consumer(lambda consumer: self._fetch(consumer, reader, most))
            case SkipBatch():
                return self._skip(message)
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
            return self._failed(explain_at(error, self._settings), error)
        except PlatformError as error:
            return self._failed(error, None)
        if trouble := self._trouble():
            self.degrade(trouble)
        else:
            self.recover()
        return Success(answer)

    def _failed(self, error: PlatformError, cause: BaseException | None) -> Failure:
        self.count("failed")
        self.degrade(error)
        if isinstance(cause, KafkaError) and not cause.retriable and not isinstance(cause, REBALANCING):
            self._close()  # the group may have thrown it out: the next request joins anew
        return Failure(error)

    def _trouble(self) -> PlatformError | None:
        """Return what is wrong with single partitions, while the others go on."""
        errors: list[PlatformError] = [one.error() for one in self._stuck.shown()]
        errors += [one.error() for one in self._progress.stalls]
        if len(errors) <= 1:
            return errors[0] if errors else None
        others = f"; {len(errors) - 1} more partitions do not move"
        return Transient(errors[0].code, errors[0].message + others, remedy=errors[0].remedy)

    def _fetch(self, consumer: KafkaConsumer, reader: str, most: int) -> list[Slice]:
        if reader != self._reader:
            self._positions.rewind()
            self._membership.seated = False
            self._reader = reader
        slices = self._poll(consumer, most)
        if self._consumer is consumer:
            self._watch(consumer, idle=not slices)
        if self._consumer is consumer and self._membership.seated:
            self._measure_lag(consumer)
        return slices

    def _skip(self, request: SkipBatch) -> Result[str]:
        batch = self._stuck.skip(TopicPartition(request.topic, request.partition))
        if batch is not None:
            return Success(str(batch))
        stuck = ", ".join(f"{one.batch.partition.topic}/{one.batch.partition.partition}" for one in self._stuck.shown())
        text = f"no batch of {request.topic}/{request.partition} that cannot be read holds {self.name} up"
        return Failure(Permanent("not_found", text, remedy=f"stuck are: {stuck}" if stuck else "no partition is stuck"))

    def _commit(self, consumer: KafkaConsumer, positions: Iterable[Position]) -> None:
        if not self._membership.joined:
            self._attend(consumer)
        if not self._membership.joined:
            raise self._outside()
        self._positions.commit(consumer, positions)

    def _assignment(self) -> tuple[tuple[str, int], ...]:
        assigned = self._consumer.assignment() if self._consumer and self._membership.joined else ()
        return tuple(sorted((tp.topic, tp.partition) for tp in assigned))

    # Polling

    def _attend(self, consumer: KafkaConsumer) -> bool:
        """Take part in the group, fetching nothing, for a second at most; tell whether reading is seated.

        A poll has to wait for the group: one that joins and cannot wait begins anew each time.
        """
        self._polled = self.clock.monotonic()
        stay(consumer, 0)
        for _ in range(JOIN_STEPS):
            if self._membership.joined:
                break
            stay(consumer, JOIN_STEP)
        if self._membership.joined and not self._membership.seated:
            self._seat(consumer)
        return self._membership.seated

    def _poll(self, consumer: KafkaConsumer, most: int) -> list[Slice]:
        """Return what has come; nothing in an assignment in which reading has yet to be seated.

        It does not wait at the light broker, which answers an empty fetch at once, so that waiting would burn a core.
        """
        if not self._attend(consumer):
            return []
        self._try_stuck(consumer)
        try:
            messages = consumer.poll(0 if self._settings.light else 100, max_records=most)
        except BrokenBatchError as error:
            return self._hold(consumer, error.batch)
        except NoOffsetForPartitionError:
            self._membership.seated = False
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            self._doubt(str(error), begin_anew=True)
        if not self._membership.seated:
            return []
        slices = [self._slice(tp, some) for tp, some in messages.items()]
        self._stuck.passed(self._positions.next)
        return slices

    def _seat(self, consumer: KafkaConsumer) -> None:
        """Begin to read an assignment; what kafka-python itself has begun to read of it does not count."""
        if self._membership.lost:
            self._positions.doubt()
        self._group, self._member = group_of(consumer, self._subscription.group), member_of(consumer)
        self._positions.find(consumer, self._kept())
        self._release(consumer, consumer.assignment())
        self._stuck.keep(consumer.assignment())
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

    def _keep_alive(self) -> None:
        """Take part in the group when nobody fetched for a while, so that it keeps its member."""
        self.after(KEEP_ALIVE, KeepAlive())
        consumer = self._consumer
        if consumer is None or self.clock.monotonic() - self._polled < KEEP_ALIVE:
            return
        try:
            self._attend(consumer)
        except (KafkaError, OSError, PlatformError) as error:
            self.log.debug("keep-alive failed", error=str(error))

    # Partitions that do not move

    def _hold(self, consumer: KafkaConsumer, batch: UnreadableBatch) -> list[Slice]:
        """Have a partition wait behind a batch that cannot be read, unless that is given up."""
        stuck = self._stuck.add(batch, self.clock.now(), self.clock.monotonic())
        let_go(consumer, [batch.partition])
        consumer.pause(batch.partition)
        if not stuck.skipped:
            return []
        end = self._end_of(consumer, batch)  # where that cannot be told now, the partition waits on
        consumer.resume(batch.partition)
        self.count("skipped_batches")
        self.log.warning("batch given up", batch=str(batch))
        position = self._positions.skip(consumer, batch.partition, end, self._group, self._member)
        self._stuck.passed(self._positions.next)
        return [Slice(position, [], [], batch)]

    def _end_of(self, consumer: KafkaConsumer, batch: UnreadableBatch) -> int:
        ends = consumer.end_offsets([batch.partition], timeout_ms=self._settings.milliseconds)
        return batch.after(int(ends[batch.partition]))

    def _try_stuck(self, consumer: KafkaConsumer) -> None:
        for stuck in self._stuck.due(self.clock.monotonic()):
            self._read_anew(consumer, stuck.batch.partition)

    def _read_anew(self, consumer: KafkaConsumer, partition: TopicPartition) -> None:
        self._release(consumer, [partition])
        self._positions.anew(consumer, partition)

    @staticmethod
    def _release(consumer: KafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        """Undo a pause and what came of it; a seek has to go with it."""
        let_go(consumer, partitions)
        consumer.resume(*partitions)

    def _watch(self, consumer: KafkaConsumer, *, idle: bool) -> None:
        """Look now and then whether the broker is there, its logs are as long as they were, and all partitions move.

        A look in vain is an outage while nothing comes; else what has come is worth more.
        """
        now = self.clock.monotonic()
        if not has_more(consumer):
            self._progress.ask(min(now - self._asked, KEEP_ALIVE))
        self._asked = now
        if now < self._look_due:
            return
        try:
            self._look(consumer, idle=idle)
        except (KafkaError, OSError, PlatformError) as error:
            if idle:
                raise
            self._look_due = now + LOOK_AGAIN
            self.log.debug("the ends of the logs could not be seen", error=str(error))

    def _look(self, consumer: KafkaConsumer, *, idle: bool) -> None:
        if not self._membership.seated:
            raise self._outside()
        assigned = consumer.assignment()
        self._ends = consumer.end_offsets(assigned, timeout_ms=self._settings.milliseconds) if assigned else {}
        self._look_due = self.clock.monotonic() + LOOK_EVERY
        if idle and any(end < self._positions.next(tp) for tp, end in self._ends.items()):
            self._doubt("a log is shorter than what was read of it", begin_anew=True)
            return
        places = {tp: place_of(consumer, tp) for tp in assigned if not self._stuck.waits(tp)}
        for stall in self._progress.look(self.clock.now(), places, self._ends):
            self._mend(consumer, stall)

    def _mend(self, consumer: KafkaConsumer, stall: Stall) -> None:
        """Have a partition fetched anew; where that has not helped, join the group anew."""
        self.count("stalls")
        self.log.warning("a partition stands still", reason=str(stall.error()), attempts=stall.attempts)
        if not stall.attempts:
            self._read_anew(consumer, stall.partition)
        elif self._consumer is consumer:
            self._close()

    def _measure_lag(self, consumer: KafkaConsumer) -> None:
        """Count what is there and not handed out, as far as fetches and looks have told."""
        lag = 0
        for tp in consumer.assignment():
            end = max(consumer.highwater(tp) or 0, self._ends.get(tp, 0))
            lag += max(0, end - max(self._positions.next(tp), place_of(consumer, tp)))
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
            self._consumer = connect(KafkaConsumer, self._settings, **self._options())
            self._membership = Membership(self._consumer)
            self._consumer.subscribe([topic.name for topic in self._subscription.topics], listener=self._membership)
            self._look_due = self.clock.monotonic() + LOOK_EVERY
            self._ends = {}
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
            "max_poll_interval_ms": round(max(ABSENCE, subscription.session_timeout) * 1000),  # else it is 5 minutes
            "heartbeat_interval_ms": min(3000, round(subscription.session_timeout * 1000 / 3)),
            "isolation_level": subscription.isolation,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # where to begin is decided by `Positions`, and only once
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
            "fetch_max_wait_ms": min(500, self._settings.milliseconds // 2),
        }
