"""Streams: producer and consumer agents for Redpanda and Apache Kafka, topics, positions."""

from typing import TYPE_CHECKING

from dataplatform.faces import face

if TYPE_CHECKING:
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
        TopicMessage,
    )
    from dataplatform.base.streaming.settings import RedpandaSettings, Subscription, TopicSpec
    from dataplatform.base.streaming.starts import Start, as_start
    from dataplatform.base.streaming.topics import count_records, ensure_topics, tail, topic_names
    from dataplatform.base.streaming.view import Digest, Item, Latest, Seen, TopicView, ViewSpec
else:
    __getattr__, __dir__ = face(__name__)

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
    "topic_names",
    "unreadable",
]
