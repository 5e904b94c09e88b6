"""Reading a topic as a log: by time and offset, as a member of no group."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from dataplatform.base.streaming import RedpandaSettings
from dataplatform.base.streaming.log import (
    FindStretches,
    LogMessage,
    LogSlice,
    NoteRead,
    ReadStretch,
    RedpandaLog,
    Stretch,
)
from dataplatform.base.streaming.starts import timestamp_of
from dataplatform.errors import Permanent, Transient
from tests.base.streaming.broker import ApacheKafka, Broker, Contents
from tests.base.streaming.clients import PATIENCE, Client, Clients

BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
SECOND = timedelta(seconds=1)
Start = Callable[..., Client]


@pytest.fixture
def start(clients: Clients) -> Start:
    """Return a function that starts a log's agent; it ends with the test."""

    def start(settings: RedpandaSettings, group: str | None = None) -> Client:
        return clients._keep(Client("log", clients._start(RedpandaLog, "log", settings, group), clients.stage))

    return start


def fill(broker: Contents, topic: str, count: int, partitions: int = 1) -> None:
    """Put a message a second into a topic, into its partitions in turn."""
    broker.create(topic, partitions)
    with closing(KafkaProducer(bootstrap_servers=broker.address)) as producer:
        for number in range(count):
            stamp = round((BEGIN + number * SECOND).timestamp() * 1000)
            future = producer.send(topic, b"%d" % number, partition=number % partitions, timestamp_ms=stamp)
        future.get(timeout=PATIENCE)


def read(log: Client, stretch: Stretch, most: int = 5_000) -> list[LogMessage]:
    """Read a stretch to its end."""
    found: list[LogMessage] = []
    while stretch.first < stretch.end:
        piece = log.get(ReadStretch(stretch, most))
        found += piece.messages
        stretch = evolve(stretch, first=piece.next)
    return found


def test_a_topic_is_a_stretch_per_partition_as_long_as_it_is_now(broker: Broker, topic: str, start: Start) -> None:
    fill(broker, topic, 5, partitions=2)

    found = start(broker.settings).get(FindStretches(topic))

    assert found == [Stretch(topic, 0, 0, 3), Stretch(topic, 1, 0, 2)]


def test_times_choose_a_part_of_it(broker: Broker, topic: str, start: Start) -> None:
    fill(broker, topic, 10)

    (found,) = start(broker.settings).get(FindStretches(topic, BEGIN + 3 * SECOND, BEGIN + 7 * SECOND))
    (before,) = start(broker.settings).get(FindStretches(topic, BEGIN - 9 * SECOND, BEGIN))
    (after,) = start(broker.settings).get(FindStretches(topic, BEGIN + 99 * SECOND))

    assert (found.first, found.end) == (3, 7)
    assert (before.first, before.end) == (0, 0)
    assert (after.first, after.end) == (10, 10)


def test_a_topic_that_is_not_there_has_none(broker: Broker, topic: str, start: Start) -> None:
    assert start(broker.settings).get(FindStretches(topic)) == []


def test_it_is_read_in_pieces_with_the_messages_own_times(broker: Broker, topic: str, start: Start) -> None:
    fill(broker, topic, 10)
    log = start(broker.settings)

    assert len(log.get(ReadStretch(Stretch(topic, 0, 2, 9), most=3)).messages) == 3
    assert read(log, Stretch(topic, 0, 2, 9), most=3) == [
        LogMessage(number, timestamp_of(BEGIN + number * SECOND), b"%d" % number) for number in range(2, 9)
    ]


def test_what_was_aborted_is_passed_over(broker: Broker, topic: str, start: Start) -> None:
    broker.create(topic)
    with closing(KafkaProducer(bootstrap_servers=broker.address, transactional_id=topic)) as producer:
        producer.init_transactions()
        for value, end in ((b"kept", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send(topic, value)
            producer.flush()
            end()
    log = start(broker.settings)

    (stretch,) = log.get(FindStretches(topic))

    assert [message.value for message in read(log, stretch)] == [b"kept"]


def test_what_has_expired_since_it_was_found_is_passed_over(apache: ApacheKafka, topic: str, start: Start) -> None:
    fill(apache, topic, 10)
    log = start(apache.settings)
    (stretch,) = log.get(FindStretches(topic))
    with closing(apache.admin()) as admin:
        admin.delete_records({TopicPartition(topic, 0): 6})

    assert log.get(ReadStretch(evolve(stretch, end=4))) == LogSlice([], 4)
    assert [message.value for message in read(log, stretch)] == [b"6", b"7", b"8", b"9"]


def test_a_log_that_ends_before_what_was_found_is_another_one(either: Contents, topic: str, start: Start) -> None:
    """It would be tried again and again as an outage."""
    fill(either, topic, 3)

    error = start(either.settings).fail(ReadStretch(Stretch(topic, 0, 8, 10)))

    assert isinstance(error, Permanent)
    assert error.code == "log_truncated"
    assert error.message.startswith(f"{topic}/0 ends at offset 3, before 8")


def test_a_group_leaves_out_what_it_noted(broker: Broker, topic: str, start: Start) -> None:
    fill(broker, topic, 10)
    start(broker.settings, topic).get(NoteRead(topic, ((0, 4),)))

    (stretch,) = start(broker.settings, topic).get(FindStretches(topic, BEGIN + SECOND))

    assert (stretch.first, stretch.end) == (4, 10)
    assert broker.committed(topic, topic) == 4


def test_a_group_that_has_members_is_left_alone(broker: Broker, topic: str, start: Start) -> None:
    fill(broker, topic, 10)
    member = KafkaConsumer(
        topic, bootstrap_servers=broker.address, group_id=topic, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    with closing(member):
        deadline = time.monotonic() + PATIENCE
        while not member.assignment():
            assert time.monotonic() < deadline
            member.poll(100)
        error = start(broker.settings, topic).fail(NoteRead(topic, ((0, 4),)))

    assert error == Permanent(
        "group_in_use", f"the group {topic!r} has members, whose offsets these are", remedy="choose another group"
    )
    assert broker.committed(topic, topic) is None


def test_an_outage_is_a_failure_and_the_next_request_connects_anew(own: Broker, topic: str, start: Start) -> None:
    fill(own, topic, 3)
    log = start(own.settings)
    own.stop()
    error = log.fail(FindStretches(topic))
    own.start()

    assert isinstance(error, Transient)
    assert log.get(FindStretches(topic)) == [Stretch(topic, 0, 0, 3)]
    assert log.status.degraded is None
