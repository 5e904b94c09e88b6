"""Topics: created with their settings when they are missing, asked for their limits, counted, and their ends shown.

The end of a topic, read once outside of any group: for a person who wants to see what is in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, NewTopic, OffsetSpec
from kafka.errors import AuthorizationError, KafkaError, TopicAlreadyExistsError, UnsupportedVersionError

from dataplatform.base.streaming.connection import close_consumer, connect, explain_at
from dataplatform.base.streaming.requests import TopicMessage
from dataplatform.base.streaming.settings import RedpandaSettings, TopicSpec
from dataplatform.base.streaming.starts import NO_TIMESTAMP, moment_of
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success, get_error

__all__ = ["count_records", "ensure_topics", "largest_message", "tail", "topic_names"]

T = TypeVar("T")
LIMIT = "max.message.bytes"


def ensure_topics(settings: RedpandaSettings, specs: Iterable[TopicSpec]) -> PlatformError | None:
    """Create the topics that are missing; answers what went wrong, None when all of them exist."""
    return get_error(_ask_admin(settings, lambda admin: _create_missing(admin, specs)))


def largest_message(settings: RedpandaSettings, spec: TopicSpec) -> Result[int]:
    """Create the topic if it is missing; answers how many bytes a message, or a batch of them, may have there."""

    def ask(admin: KafkaAdminClient) -> int:
        _create_missing(admin, [spec])
        return _limit(admin, spec)

    return _ask_admin(settings, ask)


def count_records(settings: RedpandaSettings, topics: Iterable[str]) -> Result[dict[str, int]]:
    """Answer how many records each topic holds, as end less beginning offset; a topic that is missing is left out."""
    return _ask_admin(settings, lambda admin: _count(admin, list(topics)))


def _ask_admin(settings: RedpandaSettings, run: Callable[[KafkaAdminClient], T]) -> Result[T]:
    try:
        admin = connect(KafkaAdminClient, settings, **settings.common("dataplatform-topics"))
        try:
            return Success(run(admin))
        finally:
            admin.close()
    except (KafkaError, OSError, RuntimeError) as error:  # the last is kafka-python's for a cluster without controller
        return Failure(explain_at(error, settings))


def _create_missing(admin: KafkaAdminClient, specs: Iterable[TopicSpec]) -> None:
    existing = set(admin.list_topics())
    for spec in specs:
        if spec.name not in existing:
            _create(admin, spec)


def _create(admin: KafkaAdminClient, spec: TopicSpec) -> None:
    replication = spec.replication if spec.replication > 0 else -1
    with suppress(TopicAlreadyExistsError):  # somebody else was faster
        admin.create_topics([NewTopic(spec.name, spec.partitions, replication, topic_configs=spec.configs)])


def _limit(admin: KafkaAdminClient, spec: TopicSpec) -> int:
    resource = ConfigResource("TOPIC", spec.name, {LIMIT: None})
    try:
        configs: dict[str, Any] = admin.describe_configs([resource], config_filter="all")["topic"][spec.name]
    except (AuthorizationError, UnsupportedVersionError):  # to ask takes a right that a producer need not have
        return spec.max_message_bytes
    return int(configs[LIMIT]["value"]) if LIMIT in configs else spec.max_message_bytes


def _count(admin: KafkaAdminClient, topics: list[str]) -> dict[str, int]:
    counts = {}
    if not topics:
        admin.list_topics()  # which tells whether brokers can be reached where they say they are
    for topic in admin.describe_topics(topics) if topics else []:
        partitions = [TopicPartition(topic["name"], partition["partition_index"]) for partition in topic["partitions"]]
        if partitions:
            first = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
            end = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
            counts[topic["name"]] = sum(end[tp].offset - first[tp].offset for tp in partitions)
    return counts


POLL = 100  # milliseconds


def topic_names(settings: RedpandaSettings) -> Result[list[str]]:
    """Answer the names of the topics that a user may see, in order."""
    return _ask_consumer(settings, lambda consumer: Success(sorted(consumer.topics())))


def tail(settings: RedpandaSettings, topic: str, most: int) -> Result[list[TopicMessage]]:
    """Answer the last `most` messages of a topic, over all its partitions, oldest first.

    Fails with `not_found` for a topic that is not there, `Transient` when the broker cannot be reached or is too slow.
    """
    return _ask_consumer(settings, lambda consumer: _tail(consumer, topic, most, settings.request_timeout))


def _ask_consumer(settings: RedpandaSettings, run: Callable[[KafkaConsumer], Result[T]]) -> Result[T]:
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
