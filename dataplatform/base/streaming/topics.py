"""Topics: created with their settings when they are missing, asked for their limits, counted for the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, NewTopic, OffsetSpec
from kafka.errors import AuthorizationError, KafkaError, TopicAlreadyExistsError, UnsupportedVersionError

from dataplatform.base.streaming.connection import connect, explain_at
from dataplatform.base.streaming.settings import RedpandaSettings, TopicSpec
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success, get_error

__all__ = ["count_records", "ensure_topics", "largest_message"]

T = TypeVar("T")
LIMIT = "max.message.bytes"


def ensure_topics(settings: RedpandaSettings, specs: Iterable[TopicSpec]) -> PlatformError | None:
    """Create the topics that are missing; answers what went wrong, None when all of them exist."""
    return get_error(_ask(settings, lambda admin: _create_missing(admin, specs)))


def largest_message(settings: RedpandaSettings, spec: TopicSpec) -> Result[int]:
    """Create the topic if it is missing; answers how many bytes a message, or a batch of them, may have there."""

    def ask(admin: KafkaAdminClient) -> int:
        _create_missing(admin, [spec])
        return _limit(admin, spec)

    return _ask(settings, ask)


def count_records(settings: RedpandaSettings, topics: Iterable[str]) -> Result[dict[str, int]]:
    """Answer how many records each topic holds, as end less beginning offset; a topic that is missing is left out."""
    return _ask(settings, lambda admin: _count(admin, list(topics)))


def _ask(settings: RedpandaSettings, run: Callable[[KafkaAdminClient], T]) -> Result[T]:
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
