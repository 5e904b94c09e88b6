"""Streams: producer and consumer agents for Redpanda and Apache Kafka, topics, positions."""

from dataplatform.base.streaming.consumer import CommitOffsets, Fetch, RedpandaConsumer, Slice, Subscription
from dataplatform.base.streaming.producer import CountRecords, Produce, Produced, RedpandaProducer
from dataplatform.base.streaming.settings import RedpandaSettings, TopicSpec
from dataplatform.base.streaming.topics import count_records, ensure_topics

__all__ = [
    "CommitOffsets",
    "CountRecords",
    "Fetch",
    "Produce",
    "Produced",
    "RedpandaConsumer",
    "RedpandaProducer",
    "RedpandaSettings",
    "Slice",
    "Subscription",
    "TopicSpec",
    "count_records",
    "ensure_topics",
]
