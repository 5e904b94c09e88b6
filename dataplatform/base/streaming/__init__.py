"""Streams: producer and consumer agents for Redpanda and Apache Kafka, topics, positions."""

from dataplatform.base.streaming.consumer import RedpandaConsumer
from dataplatform.base.streaming.producer import RedpandaProducer
from dataplatform.base.streaming.requests import CommitOffsets, CountRecords, Fetch, Produce, Produced, Slice
from dataplatform.base.streaming.settings import RedpandaSettings, Subscription, TopicSpec
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
