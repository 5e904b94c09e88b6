"""The producer: an agent that publishes batches and answers when every replica has them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import define, field, frozen
from kafka import KafkaProducer
from kafka.errors import KafkaError

from dataplatform.base.agent import Agent, Context, Incident, Request
from dataplatform.base.streaming.errors import explain
from dataplatform.base.streaming.settings import RedpandaSettings, TopicSpec
from dataplatform.base.streaming.topics import count_records, ensure_topics
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["CountRecords", "Produce", "Produced", "RedpandaProducer"]

LONGEST_REQUEST = 16 * 1024 * 1024
REMEMBERED = 8


@frozen
class Produced:
    """All replicas acknowledged all messages but the `refused` ones (index and why), which they never will."""

    topic: str
    refused: tuple[tuple[int, PlatformError], ...] = ()


@frozen(eq=False)
class Produce(Request[Produced]):
    """Publish messages, given as keys and values, to a topic, in order per key.

    When it fails it may be put again: what was acknowledged the first time is not sent twice.
    """

    topic: TopicSpec
    keys: list[bytes] = field(repr=False)
    values: list[bytes] = field(repr=lambda values: f"{len(values)} messages")


@frozen
class CountRecords(Request[dict[str, int]]):
    """Answers how many records each of the topics holds."""

    topics: tuple[str, ...]


Message: TypeAlias = Produce | CountRecords


@define
class Attempt:
    """What is still to be sent of a request, and what was refused of it."""

    left: list[int]
    refused: list[tuple[int, PlatformError]] = field(factory=list)


class RedpandaProducer(Agent):
    """Idempotent, `acks=all`, one request at a time and so bounded in flight.

    kafka-python buffers without bound while a broker is down; here at most one batch waits, for `delivery_timeout`.
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: RedpandaSettings) -> None:
        super().__init__(context)
        self._settings = settings
        self._producer: KafkaProducer | None = None
        self._topics: set[str] = set()
        self._attempts: dict[Produce, Attempt] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def receive(self, message: Message) -> Result[Any]:
        match message:
            case Produce():
                return self._produce(message)
            case CountRecords(topics):
                return count_records(self._settings, topics)
            case _:
                assert_never(message)

    def _close(self) -> None:
        if self._producer is not None:
            with suppress(KafkaError, OSError):
                self._producer.close(timeout=0.5)
        self._producer = None
        self._topics.clear()

    def _peer_restarted(self, name: str) -> None:
        if self.kind_of(name) != "server":
            return
        self.log.info("connection dropped", because=f"{name} restarted")
        self._close()  # the broker may have forgotten the topics and this producer's sequence numbers

    def _produce(self, request: Produce) -> Result[Produced]:
        attempt = self._attempts.pop(request, None) or Attempt(list(range(len(request.values))))
        error = self._ready_for(request.topic) or self._send(request, attempt)
        if error is not None:
            self._remember(request, attempt)
            self._close()  # its state may be at odds with the broker's: the next attempt begins with a new one
            self.count("failed")
            self.degrade(error)
            return Failure(error)
        self.recover()
        self.count("messages", len(request.values) - len(attempt.refused))
        return Success(Produced(request.topic.name, tuple(attempt.refused)))

    def _remember(self, request: Produce, attempt: Attempt) -> None:
        self._attempts[request] = attempt
        while len(self._attempts) > REMEMBERED:
            del self._attempts[next(iter(self._attempts))]

    def _ready_for(self, topic: TopicSpec) -> PlatformError | None:
        """Connect and create the topic, where that is still to be done."""
        if topic.name not in self._topics:
            if error := ensure_topics(self._settings, [topic]):
                return error
            self._topics.add(topic.name)
        if self._producer is None:
            try:
                self._producer = KafkaProducer(**self._options())
            except (KafkaError, OSError) as error:
                return explain(error, ", ".join(self._settings.brokers))
            self.count("connections")
        return None

    def _send(self, request: Produce, attempt: Attempt) -> PlatformError | None:
        """Send what is left and wait for its acknowledgements; answers the outage that kept some from coming."""
        assert self._producer is not None
        name = request.topic.name
        left: list[int] = []
        pending: list[tuple[int, Any]] = []
        offsets: dict[int, list[int]] = {}
        outage: PlatformError | None = None
        for index in attempt.left:
            try:
                if outage is None:
                    key, value = request.keys[index], request.values[index]
                    pending.append((index, self._producer.send(name, key=key, value=value)))
                else:
                    left.append(index)
            except (KafkaError, OSError) as error:
                outage = self._judge(index, explain(error, name), attempt, left)
        self._flush()
        for index, future in pending:
            try:
                acknowledged = future.get(timeout=0)
                offsets.setdefault(acknowledged.partition, []).append(acknowledged.offset)
            except (KafkaError, OSError) as error:
                outage = self._judge(index, explain(error, name), attempt, left) or outage
        attempt.left = sorted(left)
        self._check_order(name, offsets)
        return outage

    def _check_order(self, topic: str, offsets: dict[int, list[int]]) -> None:
        """Report an acknowledged offset below one acknowledged before: the broker has lost what lay between."""
        for partition, acknowledged in offsets.items():
            first, end = min(acknowledged), self._ends.get((topic, partition), 0)
            if 0 <= first < end:
                lost = f"{topic}/{partition}: the broker lost offsets {first} to {end - 1}, which it had acknowledged"
                self.incident(
                    Incident(self.clock.now(), self.name, "acknowledged_lost", topic, partition, first, end, lost)
                )
            self._ends[topic, partition] = max(acknowledged) + 1

    def _judge(self, index: int, error: PlatformError, attempt: Attempt, left: list[int]) -> PlatformError | None:
        """Sort one failed message: refused for ever, or left for the next attempt because of an outage."""
        if error.code == "rejected":
            attempt.refused.append((index, error))
            return None
        left.append(index)
        return error

    def _flush(self) -> None:
        assert self._producer is not None
        with suppress(KafkaError):  # what was not sent in time says so in its own future
            self._producer.flush(timeout=self._settings.delivery_timeout + 1.0)

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        return settings.common(f"dataplatform-{self.name}") | {
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": None if settings.compression == "none" else settings.compression,
            "linger_ms": 20,
            "batch_size": 256 * 1024,
            "max_request_size": LONGEST_REQUEST,
            "max_block_ms": round(settings.request_timeout * 1000),
            "delivery_timeout_ms": round(settings.delivery_timeout * 1000),
            "request_timeout_ms": round(min(settings.request_timeout, settings.delivery_timeout / 2) * 1000),
        }
