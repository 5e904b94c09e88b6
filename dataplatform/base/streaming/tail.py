"""The end of a topic, read once outside of any group: for a person who wants to see what is in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from attrs import field, frozen
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from dataplatform.base.streaming.connection import close_consumer, connect, explain_at
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.base.streaming.times import NO_TIMESTAMP, moment_of
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["TopicMessage", "tail", "topics"]

T = TypeVar("T")
POLL = 100  # milliseconds


@frozen
class TopicMessage:
    """One message as a person reads it: key and value as text, bytes that are not text replaced.

    `time` is in UTC; a timestamp that is no time is shown as the number that it is.
    """

    topic: str
    partition: int
    offset: int
    time: datetime | int
    key: str | None
    value: str | None = field(repr=lambda value: f"{len(value or '')} characters")


def topics(settings: RedpandaSettings) -> Result[list[str]]:
    """Answer the names of the topics that a user may see, in order."""
    return _ask(settings, lambda consumer: Success(sorted(consumer.topics())))


def tail(settings: RedpandaSettings, topic: str, most: int) -> Result[list[TopicMessage]]:
    """Answer the last `most` messages of a topic, over all its partitions, oldest first.

    Fails with `not_found` for a topic that is not there, `Transient` when the broker cannot be reached or is too slow.
    """
    return _ask(settings, lambda consumer: _tail(consumer, topic, most, settings.request_timeout))


def _ask(settings: RedpandaSettings, run: Callable[[KafkaConsumer], Result[T]]) -> Result[T]:
    options = settings.common("dataplatform-tail") | {"group_id": None, "isolation_level": "read_committed"}
    try:
        consumer = connect(KafkaConsumer, settings, **options)
        try:
            return run(consumer)
        finally:
            close_consumer(consumer)
    except (KafkaError, OSError) as error:
        return Failure(explain_at(error, settings))


def _tail(consumer: KafkaConsumer, topic: str, most: int, timeout: float) -> Result[list[TopicMessage]]:
    known = consumer.topics()
    if topic not in known:
        remedy = f"there are {', '.join(sorted(known)) or 'none'}"
        return Failure(Permanent("not_found", f"there is no topic {topic!r}", remedy=remedy))
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(partitions)
    first, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, max(first[partition], ends[partition] - most))
    found: list[Any] = []
    deadline = time.monotonic() + timeout
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        if time.monotonic() > deadline:
            return Failure(Transient("timeout", f"{topic} could not be read to its end in {timeout:g} s"))
        for messages in consumer.poll(POLL).values():
            found += messages
    found.sort(key=lambda message: (_timestamp(message), message.partition, message.offset))
    return Success([_shown(message) for message in found[-most:]])


def _shown(message: Any) -> TopicMessage:
    when = moment_of(message.timestamp) or _timestamp(message)
    key, value = (_text(part) for part in (message.key, message.value))
    return TopicMessage(message.topic, message.partition, message.offset, when, key, value)


def _timestamp(message: Any) -> int:
    return NO_TIMESTAMP if message.timestamp is None else int(message.timestamp)


def _text(part: bytes | None) -> str | None:
    return None if part is None else part.decode(errors="replace")
