"""The producer: an agent that publishes batches and answers when every replica has them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import define, field
from kafka import KafkaProducer
from kafka.errors import KafkaError

from dataplatform.base.agent import Agent, Context, Incident
from dataplatform.base.streaming.connection import close_producer, connect, explain
from dataplatform.base.streaming.requests import CountRecords, Produce, Produced
from dataplatform.base.streaming.settings import RedpandaSettings, TopicSpec
from dataplatform.base.streaming.topics import count_records, largest_message
from dataplatform.base.streaming.transactions import FencedError, RefusedError, Transactions
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success, is_failure

__all__ = ["RedpandaProducer"]

LONGEST_REQUEST = 16 * 1024 * 1024
LONGEST_BATCH = 256 * 1024
LINGER = 5  # milliseconds; `flush` would send at once, but waits without bound for batches that were split or hang
REMEMBERED = 8  # requests that may be put again

Message: TypeAlias = Produce | CountRecords


@define
class Attempt:
    """What is still to be sent of a request, what was refused of it, and what was in a batch that was refused."""

    left: list[int]
    refused: list[tuple[int, PlatformError]] = field(factory=list)
    suspects: set[int] = field(factory=set)


class RedpandaProducer(Agent):
    """Idempotent, `acks=all`, one request at a time and so bounded in flight.

    kafka-python buffers without bound while a broker is down; here at most one request waits, for `delivery_timeout`.
    A message that may be too large for its topic goes alone: kafka-python fails whatever else is under way with it.
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: RedpandaSettings) -> None:
        super().__init__(context)
        self._settings = settings
        self._producer: KafkaProducer | None = None
        self._transactions = Transactions(settings)
        self._limits: dict[str, int] = {}  # bytes of the largest message, of topics that exist
        self._attempts: dict[Produce, Attempt] = {}
        self._ends: dict[tuple[str, int], int] = {}  # the offset after the last one acknowledged

    def receive(self, message: Message) -> Result[Any]:
        match message:
            case Produce(positions=()):
                return self._produce(message)
            case Produce():
                return self._transact(message)
            case CountRecords(topics):
                return count_records(self._settings, topics)
            case _:
                assert_never(message)

    def _close(self) -> None:
        self._disconnect()
        self._limits.clear()

    def _peer_restarted(self, name: str) -> None:
        if self.kind_of(name) != "server":
            return
        self.log.info("connection dropped", because=f"{name} restarted")
        self._close()  # the broker may have forgotten the topics and this producer's sequence numbers

    def _produce(self, request: Produce) -> Result[Produced]:
        attempt = self._attempt(request)
        if error := self._send(request, attempt):
            return self._failed(error)
        self.recover()
        return Success(Produced(request.topic.name, tuple(attempt.refused)))

    def _transact(self, request: Produce) -> Result[Produced]:
        """Publish the messages and their positions together; none of them when one is refused."""
        topic = request.topic.name
        try:
            if error := self._knows(request.topic):
                raise error
            self._published_together(request)
        except FencedError:
            self._close()
            self.count("fenced")
            return Success(Produced(topic, fenced=True))
        except RefusedError as refusal:
            self._close()
            return Success(
                Produced(topic, tuple((index, explain(why, topic)) for index, why in refusal.refused.items()))
            )
        except PlatformError as error:
            return self._failed(error)
        except (KafkaError, OSError) as error:
            return self._failed(explain(error, topic))
        self.recover()
        self.count("messages", len(request.values))
        return Success(Produced(topic))

    def _published_together(self, request: Produce) -> None:
        """Publish in one transaction; when a batch is refused, once more, with those alone that may be too large."""
        fits = _batch_size(min(self._limits[request.topic.name], LONGEST_REQUEST))
        large = [index for index, value in enumerate(request.values) if len(request.keys[index]) + len(value) > fits]
        try:
            self._transactions.publish(request, large, self._options())
        except RefusedError as error:
            if set(error.refused) <= set(large):
                raise
            self._transactions.close()
            self._transactions.publish(request, sorted({*large, *error.refused}), self._options())

    def _failed(self, error: PlatformError) -> Failure:
        self._close()  # its state may be at odds with the broker's: the next attempt begins with a new one
        self.count("failed")
        self.degrade(error)
        return Failure(error)

    def _attempt(self, request: Produce) -> Attempt:
        """Return what was done of a request before; the latest few are remembered, done ones too."""
        attempt = self._attempts.pop(request, None) or Attempt(list(range(len(request.values))))
        self._attempts[request] = attempt
        while len(self._attempts) > REMEMBERED:
            del self._attempts[next(iter(self._attempts))]
        return attempt

    # Sending

    def _send(self, request: Produce, attempt: Attempt) -> PlatformError | None:
        """Send what is left, part by part; answers the outage that kept some of it from being acknowledged."""
        begun = time.monotonic()
        while attempt.left:
            if time.monotonic() - begun > self._settings.delivery_timeout:
                return Transient("broker", f"{request.topic.name}: {len(attempt.left)} messages are still to be sent")
            if error := self._ready_for(request.topic):
                return error
            if error := self._send_part(request, attempt, next(self._parts(request, attempt))):
                return error
        return None

    def _parts(self, request: Produce, attempt: Attempt) -> Iterator[list[int]]:
        """Yield what to send together: runs of messages that surely fit, and each one that may not, alone."""
        fits = _batch_size(min(self._limits[request.topic.name], LONGEST_REQUEST))

        def goes_alone(index: int) -> bool:
            return index in attempt.suspects or len(request.keys[index]) + len(request.values[index]) > fits

        for alone, run in groupby(attempt.left, goes_alone):
            indices = list(run)
            yield indices[:1] if alone else indices

    def _send_part(self, request: Produce, attempt: Attempt, part: list[int]) -> PlatformError | None:
        acknowledged, failed = self._publish(request, part)
        attempt.left = [index for index in attempt.left if index not in acknowledged]
        self.count("messages", len(acknowledged))
        if not failed:
            return None
        rejected = [index for index, error in failed.items() if error.code == "rejected"]
        if not rejected:
            return next(iter(failed.values()))
        if len(part) > 1:
            attempt.suspects.update(rejected)
            return Transient("broker", f"{request.topic.name}: a batch was refused; its messages go one by one now")
        attempt.refused.append((part[0], failed[part[0]]))
        attempt.left.remove(part[0])
        self._disconnect()  # after this kafka-python's producer fails for good
        return None

    def _publish(self, request: Produce, part: list[int]) -> tuple[set[int], dict[int, PlatformError]]:
        """Send messages and wait for them; answers the acknowledged, and the failed (those not tried are neither)."""
        producer, name = self._producer, request.topic.name
        assert producer is not None
        pending: list[tuple[int, Any]] = []
        acknowledged: set[int] = set()
        failed: dict[int, PlatformError] = {}
        try:
            pending.extend((i, producer.send(name, key=request.keys[i], value=request.values[i])) for i in part)
        except (KafkaError, OSError) as error:
            failed[part[len(pending)]] = explain(error, name)
        deadline = time.monotonic() + self._settings.delivery_timeout + 1.0  # by then kafka-python should have given up
        for index, future in pending:
            try:
                self._acknowledge(future.get(timeout=max(0.0, deadline - time.monotonic())))
                acknowledged.add(index)
            except (KafkaError, OSError) as error:
                failed[index] = explain(error, name)
        return acknowledged, failed

    def _acknowledge(self, message: Any) -> None:
        """Report an acknowledged offset below one acknowledged before: the broker has lost what lay between."""
        topic, partition, offset = message.topic, message.partition, message.offset
        if offset < 0:
            return  # stored by an earlier try, at an offset that the broker does not tell
        end = self._ends.get((topic, partition), 0)
        if offset < end:
            lost = f"{topic}/{partition}: the broker lost offsets {offset} to {end - 1}, which it had acknowledged"
            self.incident(
                Incident(self.clock.now(), self.name, "acknowledged_lost", topic, partition, offset, end, lost)
            )
        self._ends[topic, partition] = offset + 1

    # Connection

    def _ready_for(self, topic: TopicSpec) -> PlatformError | None:
        """Connect and create the topic, where that is still to be done."""
        if unknown := self._knows(topic):
            return unknown
        if self._producer is None:
            try:
                self._producer = connect(KafkaProducer, self._settings, **self._options())
            except (KafkaError, OSError) as error:
                return explain(error, ", ".join(self._settings.brokers))
            self.count("connections")
        return None

    def _knows(self, topic: TopicSpec) -> PlatformError | None:
        """Create the topic, where it is missing, and ask for its limit, unless that is known."""
        if topic.name not in self._limits:
            limit = largest_message(self._settings, topic)
            if is_failure(limit):
                return limit.error
            if limit.data < min(self._limits.values(), default=0):
                self._disconnect()  # its batches may be too large for this topic
            self._limits[topic.name] = limit.data
        return None

    def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer)
        self._transactions.close()

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        return settings.common(f"dataplatform-{self.name}") | {
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": None if settings.compression == "none" else settings.compression,
            "linger_ms": LINGER,
            "batch_size": min(LONGEST_BATCH, _batch_size(min(self._limits.values()))),
            "max_request_size": LONGEST_REQUEST,
            "max_block_ms": settings.milliseconds,
            "delivery_timeout_ms": round(settings.delivery_timeout * 1000),
            "request_timeout_ms": round(min(settings.request_timeout, settings.delivery_timeout / 2) * 1000),
        }


def _batch_size(limit: int) -> int:
    """Return how many bytes of messages fit into a batch of `limit` bytes, whatever compression makes of them."""
    return max(1, limit - limit // 16 - 128)
