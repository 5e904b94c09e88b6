"""Where reading begins: what people may write, and which offset that is in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from dataplatform.base.streaming import Subscription, TopicSpec, as_start
from dataplatform.base.streaming.starts import LATEST, Start, starting_offset
from tests.base.streaming.broker import GRACE, Broker
from tests.base.streaming.clients import Clients

NOW = round(time.time())
AGES = [3 * 3600, 2 * 3600, 3600]  # of the messages at the offsets 0, 1 and 2


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("earliest", "earliest"),
        ("latest", "latest"),
        ("-90s", timedelta(seconds=90)),
        ("-5m", timedelta(minutes=5)),
        ("-6h", timedelta(hours=6)),
        ("-7d", timedelta(days=7)),
        ("0", 0),
        (1_500, 1_500),
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T01:30:00+01:30", datetime(2026, 1, 1, tzinfo=UTC)),
        ({"crypto-prices/2": 7, "a.b/0": 0}, {("crypto-prices", 2): 7, ("a.b", 0): 0}),
        (LATEST, "latest"),
    ],
)
def test_a_start_is_written_as_people_would(written: Any, at: Any) -> None:
    assert as_start(written) == Start(at)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "expected a start: 'earliest', 'latest', a time like"),
        ("yesterday", "got 'yesterday'"),
        ("6h", "an age like '-6h'"),
        ("-6 weeks", "an age like '-6h'"),
        ("2026-13-01T00:00:00Z", "a time like '2026-01-01T00:00:00Z'"),
        ("2026-01-01T00:00:00", "a time zone, such as '2026-01-01T00:00:00Z'"),
        (-1, "a whole number from 0 on, got -1"),
        (True, "expected a start: .*, got True"),
        (1.5, "got 1.5"),
        (None, "got None"),
        ({"crypto-prices": 5}, "a topic and partition to start in, like 'crypto-prices/0'"),
        ({"crypto-prices/0": "5"}, "a whole number from 0 on, got '5'"),
    ],
)
def test_what_is_no_start_is_refused_with_what_would_be_one(written: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        as_start(written)


@pytest.fixture
def consumer(broker: Broker) -> Iterator[KafkaConsumer]:
    with closing(KafkaConsumer(bootstrap_servers=broker.address, group_id=None)) as consumer:
        yield consumer


@pytest.fixture
def log(broker: Broker, topic: str) -> TopicPartition:
    """A log of three messages, an hour apart."""
    broker.create(topic)
    with closing(KafkaProducer(bootstrap_servers=broker.address)) as producer:
        for age in AGES:
            written = producer.send(topic, b"%d" % age, partition=0, timestamp_ms=(NOW - age) * 1000)
            written.get(timeout=GRACE)
    return TopicPartition(topic, 0)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.mark.parametrize(
    ("start", "offset"),
    [
        ("earliest", 0),
        ("latest", 3),
        (2, 2),
        (1_000, 3),
        ("0001-01-01T00:00:00+14:00", 0),
        ("9999-12-31T23:59:59Z", 3),
        ("-150m", 1),
        ("-30m", 3),
        ("-999999999d", 0),
    ],
)
def test_a_start_is_an_offset_of_the_log_or_its_nearer_end(
    consumer: KafkaConsumer, log: TopicPartition, start: str | int, offset: int
) -> None:
    assert starting_offset(consumer, log, 0, 3, as_start(start), 3_000) == offset


@pytest.mark.parametrize(("after", "offset"), [(-1, 1), (0, 1), (1, 2), (AGES[1], 3)])
def test_a_time_is_the_first_message_from_then_on(
    consumer: KafkaConsumer, log: TopicPartition, after: int, offset: int
) -> None:
    moment = datetime.fromtimestamp(NOW - AGES[1] + after, UTC)
    assert starting_offset(consumer, log, 0, 3, Start(moment), 3_000) == offset


def test_an_offset_that_has_expired_is_the_first_that_is_left(consumer: KafkaConsumer, log: TopicPartition) -> None:
    assert starting_offset(consumer, log, 2, 3, as_start(1), 3_000) == 2


def test_offsets_of_partitions_are_theirs_alone(consumer: KafkaConsumer, log: TopicPartition) -> None:
    start = as_start({f"{log.topic}/0": 1})
    assert starting_offset(consumer, log, 0, 3, start, 3_000) == 1
    assert starting_offset(consumer, TopicPartition(log.topic, 1), 0, 3, start, 3_000) == 0


@pytest.mark.parametrize(("start", "read"), [(1, AGES[1:]), ("-90m", AGES[2:]), ("earliest", AGES)])
def test_a_group_that_has_committed_nothing_begins_there(
    clients: Clients, broker: Broker, log: TopicPartition, start: str | int, read: list[int]
) -> None:
    group = f"group-{log.topic}"
    consumer = clients.consumer(broker.settings, Subscription((TopicSpec(log.topic, 1),), group, "only", start))
    assert consumer.read(len(read)) == [b"%d" % age for age in read]
    assert broker.committed(group, log.topic) == 3 - len(read)


def test_a_group_goes_on_where_it_was_whatever_the_start_says(
    clients: Clients, broker: Broker, log: TopicPartition
) -> None:
    group = f"group-{log.topic}"
    consumer = clients.consumer(broker.settings, Subscription((TopicSpec(log.topic, 1),), group, "only", 2))
    consumer.read(1)
    consumer.stop()
    again = clients.consumer(broker.settings, Subscription((TopicSpec(log.topic, 1),), group, "only", 0), "again")
    assert again.read(1) == [b"%d" % AGES[2]]
