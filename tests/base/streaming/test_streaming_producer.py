"""What a producer does, with a broker that is well and with one that is not."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from itertools import groupby

import pytest
from attrs import evolve
from kafka.admin import ConfigResource

from dataplatform.base.streaming import CountRecords, Produce, Produced, TopicSpec
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure
from tests.base.streaming.broker import Broker
from tests.base.streaming.clients import PATIENCE, Client, Clients
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # kafka-python's, of failed connects


def messages(topic: TopicSpec, count: int, keys: int = 7) -> Produce:
    """Return a request for so many messages, numbered, with keys in turn."""
    return Produce(
        topic, [b"key%d" % (number % keys) for number in range(count)], [b"%d" % number for number in range(count)]
    )


def with_values(topic: TopicSpec, *values: bytes, key: bytes = b"k") -> Produce:
    return Produce(topic, [key] * len(values), list(values))


def stored(broker: Broker, topic: TopicSpec) -> list[tuple[bytes, bytes]]:
    return [message for number in range(topic.partitions) for message in broker.messages(topic.name, number)]


@pytest.fixture
def spec(topic: str) -> TopicSpec:
    return TopicSpec(topic, 3)


@pytest.fixture
def producer(clients: Clients, broker: Broker) -> Client:
    return clients.producer(broker.settings)


@pytest.fixture
def own_producer(clients: Clients, own: Broker) -> Client:
    return clients.producer(own.settings)


# Topics


def test_a_missing_topic_is_created_with_its_settings(broker: Broker, producer: Client, topic: str) -> None:
    producer.get(messages(TopicSpec(topic, 3, retention=3600.0, max_message_bytes=50_000), 1))
    with closing(broker.admin()) as admin:
        (described,) = admin.describe_topics([topic])
        configs = admin.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")["topic"][topic]
    assert len(described["partitions"]) == 3
    assert configs["retention.ms"]["value"] == "3600000"
    assert configs["max.message.bytes"]["value"] == "50000"


def test_an_existing_topic_is_used_as_it_is(broker: Broker, producer: Client, topic: str) -> None:
    broker.create(topic, partitions=2, configs={"retention.ms": "7200000"})
    producer.get(messages(TopicSpec(topic, 5, retention=3600.0), 1))
    with closing(broker.admin()) as admin:
        (described,) = admin.describe_topics([topic])
        configs = admin.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")["topic"][topic]
    assert len(described["partitions"]) == 2
    assert configs["retention.ms"]["value"] == "7200000"


def test_a_topic_that_vanished_is_made_again(own: Broker, own_producer: Client, spec: TopicSpec) -> None:
    own_producer.get(messages(spec, 10))
    own.delete(spec.name)
    request = messages(spec, 10)
    own_producer.ask(request)
    own_producer.get(request)
    assert len(stored(own, spec)) == 10


def test_records_are_counted_and_a_topic_that_is_missing_is_left_out(
    broker: Broker, producer: Client, spec: TopicSpec
) -> None:
    producer.get(messages(spec, 25))
    assert producer.get(CountRecords((spec.name, "missing"))) == {spec.name: 25}
    assert producer.get(CountRecords(())) == {}


# Messages


def test_each_key_has_its_partition_and_its_messages_stay_in_order(
    broker: Broker, producer: Client, spec: TopicSpec
) -> None:
    assert producer.get(messages(spec, 1_000)) == Produced(spec.name)
    assert producer.get(messages(spec, 1_000)) == Produced(spec.name)
    seen: dict[bytes, int] = {}
    for partition in range(3):
        for key, value in broker.messages(spec.name, partition):
            assert seen.setdefault(key, partition) == partition
            assert int(value) % 7 == int(key[3:])
    for key in set(seen):
        values = [int(value) for found, value in broker.messages(spec.name, seen[key]) if found == key]
        assert values == 2 * list(range(int(key[3:]), 1_000, 7))
    assert producer.status.counters == {"connections": 1, "messages": 2_000}


@pytest.mark.parametrize("compression", ["lz4", "gzip", "none"])
def test_every_compression_can_be_read(clients: Clients, broker: Broker, spec: TopicSpec, compression: str) -> None:
    clients.producer(evolve(broker.settings, compression=compression)).get(messages(spec, 50))
    assert len(stored(broker, spec)) == 50


def test_nothing_to_publish_is_published(producer: Client, spec: TopicSpec) -> None:
    assert producer.get(messages(spec, 0)) == Produced(spec.name)


def test_messages_that_are_too_large_are_refused_and_all_others_are_written_once_and_in_order(
    broker: Broker, producer: Client, topic: str
) -> None:
    spec = TopicSpec(topic, 1, max_message_bytes=20_000)
    values = [b"%d" % number for number in range(200)]
    for index in (0, 77, 78, 199):
        values[index] = os.urandom(50_000)
    answer = producer.get(with_values(spec, *values))
    assert [index for index, _ in answer.refused] == [0, 77, 78, 199]
    assert all(isinstance(error, Permanent) and error.code == "rejected" for _, error in answer.refused)
    assert broker.values(topic) == [value for value in values if len(value) < 50_000]


def test_how_large_is_too_large_is_asked_of_the_topic(broker: Broker, producer: Client, topic: str) -> None:
    broker.create(topic, configs={"max.message.bytes": "20000"})
    small = [b"%d" % number for number in range(500)]
    answer = producer.get(with_values(TopicSpec(topic, 1), *small, os.urandom(50_000), *small))
    assert [index for index, _ in answer.refused] == [500]
    assert broker.values(topic) == small + small


def test_a_large_message_that_compresses_well_is_written(broker: Broker, producer: Client, topic: str) -> None:
    spec = TopicSpec(topic, 1, max_message_bytes=20_000)
    assert producer.get(with_values(spec, b"a", b"b" * 100_000, b"c")).refused == ()
    assert [len(value) for value in broker.values(topic)] == [1, 100_000, 1]


def test_a_topic_with_a_smaller_limit_than_those_before_is_given_smaller_batches(
    broker: Broker, producer: Client, topic: str
) -> None:
    producer.get(with_values(TopicSpec(f"{topic}-wide", 1), b"x"))
    values = [os.urandom(900) for _ in range(100)]
    narrow = TopicSpec(f"{topic}-narrow", 1, max_message_bytes=2_000)
    assert producer.get(with_values(narrow, *values)).refused == ()
    assert broker.values(narrow.name) == values


# Outages


def test_a_broker_that_was_never_there_is_an_outage(own: Broker, own_producer: Client, spec: TopicSpec) -> None:
    own.stop()
    assert isinstance(own_producer.fail(messages(spec, 10)), Transient)
    assert own_producer.status.degraded is not None
    own.start()
    own_producer.get(messages(spec, 10))
    assert own_producer.status.degraded is None


def test_a_broker_that_goes_down_is_an_outage(own: Broker, own_producer: Client, spec: TopicSpec) -> None:
    own_producer.get(messages(spec, 10))
    own.kill()
    assert isinstance(own_producer.fail(messages(spec, 20_000)), Transient)
    own.start()


def test_one_that_hangs_does_not_hold_the_producer_up(own: Broker, own_producer: Client, spec: TopicSpec) -> None:
    own_producer.get(messages(spec, 10))
    own.freeze()
    assert isinstance(own_producer.fail(messages(spec, 10)), Transient)
    assert isinstance(own_producer.fail(CountRecords((spec.name,))), Transient)
    own.thaw()


def test_a_request_put_again_after_an_outage_is_written_once(own: Broker, own_producer: Client, topic: str) -> None:
    own_producer.get(with_values(TopicSpec(topic, 1), b"before"))
    own.save()  # a restart without a loss
    own.stop()
    request = with_values(TopicSpec(topic, 1), *[b"%d" % number for number in range(100)])
    assert isinstance(own_producer.fail(request), Transient)
    own.start()
    assert own_producer.get(request) == Produced(topic)
    assert own.values(topic) == [b"before", *request.values]


def test_what_was_acknowledged_the_first_time_is_not_sent_again(own: Broker, own_producer: Client, topic: str) -> None:
    spec = TopicSpec(topic, 1, max_message_bytes=20_000)
    values = [b"%d" % number + bytes(30_000) for number in range(300)]  # too large to go together
    request = with_values(spec, *values)
    answer = own_producer.ref.ask(request, block=False)
    until(
        lambda: own_producer.status.counters.get("messages", 0) >= 20 or own_producer.status.degraded, "it sends some"
    )
    own.freeze()
    assert isinstance(answer.get(timeout=PATIENCE), Failure)
    own.thaw()
    while not own_producer.succeeds(request):  # it may take more than one time-out's time
        pass
    written = own.values(topic)
    assert [value for value, _ in groupby(written)] == values
    assert len(written) <= len(values) + 1  # the one that was under way may have been written, and not acknowledged


def test_a_request_whose_answer_came_too_late_is_answered_again_and_not_sent_again(
    own: Broker, own_producer: Client, topic: str
) -> None:
    request = with_values(TopicSpec(topic, 1), b"1", b"2")
    own_producer.get(request)
    assert own_producer.get(request) == Produced(topic)
    assert own.values(topic) == [b"1", b"2"]


def test_a_producer_that_failed_is_gone_with_its_thread_and_all_that_it_held(
    own: Broker, own_producer: Client, topic: str
) -> None:
    """Else it would send its messages when the broker is back, after or among those of its successor."""
    spec = TopicSpec(topic, 1)
    own_producer.get(with_values(spec, b"before"))
    own.save()
    own.stop()
    own_producer.fail(with_values(spec, *[b"dropped"] * 100))
    assert sender_threads() == []
    own.start()
    own_producer.get(with_values(spec, b"after"))
    assert own.values(topic) == [b"before", b"after"]


def test_requests_that_fail_and_are_never_put_again_are_forgotten(
    own: Broker, own_producer: Client, clients: Clients, spec: TopicSpec
) -> None:
    own.stop()
    own_producer.fail(messages(spec, 10))
    own.start()
    for _ in range(20):
        own_producer.get(messages(spec, 1))
    actor = own_producer.ref._actor_weakref()
    assert actor is not None
    assert len(actor._attempts) == 8


# What the broker lost


def test_an_acknowledged_offset_that_comes_again_is_reported_with_the_offsets_that_are_lost(
    clients: Clients, own: Broker, own_producer: Client, topic: str
) -> None:
    spec = TopicSpec(topic, 1)
    own_producer.get(with_values(spec, *[b"kept"] * 30))
    own.save()
    own_producer.peer_restarted()
    own_producer.get(with_values(spec, *[b"lost"] * 20))
    own.lose()
    own_producer.peer_restarted()
    own_producer.get(with_values(spec, *[b"new"] * 5))
    (incident,) = clients.incidents()
    assert (incident.kind, incident.agent, incident.stream) == ("acknowledged_lost", "producer", topic)
    assert (incident.partition, incident.first, incident.next, incident.records) == (0, 30, 50, 20)
    assert incident.message == f"{topic}/0: the broker lost offsets 30 to 49, which it had acknowledged"
    assert own.values(topic) == [b"kept"] * 30 + [b"new"] * 5
    own_producer.get(with_values(spec, *[b"new"] * 50))
    assert len(clients.incidents()) == 1


def test_a_restart_without_a_loss_is_no_incident(
    clients: Clients, own: Broker, own_producer: Client, topic: str
) -> None:
    for _ in range(3):
        own_producer.get(with_values(TopicSpec(topic, 1), b"x"))
        own.save()
        own_producer.peer_restarted()
    assert clients.incidents() == []
    assert own_producer.status.counters["connections"] == 3


def sender_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.endswith("-network-thread")]
