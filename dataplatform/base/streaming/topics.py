"""Topics: created with their settings when they are missing, counted for the report."""

from __future__ import annotations

from collections.abc import Iterable

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from dataplatform.base.streaming.errors import explain
from dataplatform.base.streaming.settings import RedpandaSettings, TopicSpec
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["count_records", "ensure_topics"]


def ensure_topics(settings: RedpandaSettings, specs: Iterable[TopicSpec]) -> PlatformError | None:
    """Create the topics that are missing; answers what went wrong, None when all of them exist."""
    where = ", ".join(settings.brokers)
    try:
        admin = KafkaAdminClient(**settings.common("dataplatform-topics"))
        try:
            existing = set(admin.list_topics())
            missing = [spec for spec in specs if spec.name not in existing]
            for spec in missing:
                _create(admin, spec)
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        return explain(error, where)
    return None


def _create(admin: KafkaAdminClient, spec: TopicSpec) -> None:
    try:
        replication = spec.replication if spec.replication > 0 else -1
        admin.create_topics([NewTopic(spec.name, spec.partitions, replication, topic_configs=spec.configs)])
    except TopicAlreadyExistsError:
        return  # somebody else was faster


def count_records(settings: RedpandaSettings, topics: Iterable[str]) -> Result[dict[str, int]]:
    """Answer how many records each topic holds, as end less beginning offset; a topic that is missing is left out."""
    milliseconds = round(settings.request_timeout * 1000)
    try:
        consumer = KafkaConsumer(**settings.common("dataplatform-count"), group_id=None)
        try:
            counts = {}
            for topic in topics:
                partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
                if partitions:
                    first = consumer.beginning_offsets(partitions, timeout_ms=milliseconds)
                    ends = consumer.end_offsets(partitions, timeout_ms=milliseconds)
                    counts[topic] = sum(ends.values()) - sum(first.values())
        finally:
            consumer.close(autocommit=False, timeout_ms=500)
    except (KafkaError, OSError) as error:
        return Failure(explain(error, ", ".join(settings.brokers)))
    return Success(counts)
