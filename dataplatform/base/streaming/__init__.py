"""Streams: producer and consumer agents for Redpanda and Apache Kafka, topics, positions."""

from dataplatform.base.streaming.connection import unreadable
from dataplatform.base.streaming.consumer import RedpandaConsumer
from dataplatform.base.streaming.fetcher import UnreadableBatch
from dataplatform.base.streaming.producer import RedpandaProducer
from dataplatform.base.streaming.requests import (
    CommitOffsets,
    CountRecords,
    Fetch,
    GetAssignment,
    Produce,
    Produced,
    SkipBatch,
    Slice,
)
from dataplatform.base.streaming.settings import RedpandaSettings, Subscription, TopicSpec
from dataplatform.base.streaming.starts import Start, as_start
from dataplatform.base.streaming.topics import TopicMessage, count_records, ensure_topics, tail, topics
from dataplatform.base.streaming.view import Digest, Item, Latest, Seen, TopicView, ViewSpec

__all__ = [
    "CommitOffsets",
    "CountRecords",
    "Digest",
    "Fetch",
    "GetAssignment",
    "Item",
    "Latest",
    "Produce",
    "Produced",
    "RedpandaConsumer",
    "RedpandaProducer",
    "RedpandaSettings",
    "Seen",
    "SkipBatch",
    "Slice",
    "Start",
    "Subscription",
    "TopicMessage",
    "TopicSpec",
    "TopicView",
    "UnreadableBatch",
    "ViewSpec",
    "as_start",
    "count_records",
    "ensure_topics",
    "tail",
    "topics",
    "unreadable",
]
