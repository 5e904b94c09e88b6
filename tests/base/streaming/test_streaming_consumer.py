"""What a consumer does while its broker is well."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from attrs import evolve
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from dataplatform.base.position import Position
from dataplatform.base.streaming import (
    CommitOffsets,
    Fetch,
    GetAssignment,
    RedpandaSettings,
    Slice,
    Subscription,
    TopicSpec,
)
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Result, Success, get_data
from tests.base.streaming.broker import ApacheKafka, Broker
from tests.base.streaming.clients import FETCHES, PATIENCE, Clients, Consumer


def numbered(first: int, end: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, end)]


@pytest.fixture
def subscription(topic: str) -> Subscription:
    return Subscription((TopicSpec(topic, 1),), f"group-{topic}", instance_id="only")


@pytest.fixture
def consumer(clients: Clients, broker: Broker, subscription: Subscription) -> Consumer:
    return clients.consumer(broker.settings, subscription)


def again(clients: Clients, broker: Broker, subscription: Subscription, name: str = "again") -> Consumer:
    """Start another consumer in the place of one that was stopped."""
    return clients.consumer(broker.settings, subscription, name)


# Where reading begins


def test_a_missing_topic_is_created_and_nothing_comes_from_it(broker: Broker, consumer: Consumer, topic: str) -> None:
    consumer.read_nothing()
    with closing(broker.admin()) as admin:
        (described,) = admin.describe_topics([topic])
    assert len(described["partitions"]) == 1


def test_a_group_that_has_committed_nothing_begins_with_the_earliest_message(
    broker: Broker, consumer: Consumer, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    assert consumer.read(10) == numbered(0, 10)


def test_or_with_the_first_message_after_it_joined(
    clients: Clients, broker: Broker, subscription: Subscription, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    consumer = clients.consumer(broker.settings, evolve(subscription, start="latest"))
    consumer.read_nothing()
    broker.put(topic, numbered(10, 15))
    assert consumer.read(5) == numbered(10, 15)


def test_where_a_group_begins_is_decided_only_once(
    clients: Clients, broker: Broker, subscription: Subscription, topic: str
) -> None:
    latest = evolve(subscription, start="latest")
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    first = clients.consumer(broker.settings, latest)
    first.read_nothing()
    first.stop()
    broker.put(topic, numbered(10, 15))
    assert again(clients, broker, latest).read(5) == numbered(10, 15)


def test_a_group_goes_on_where_it_committed(
    clients: Clients, broker: Broker, consumer: Consumer, subscription: Subscription, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    consumer.read(10)
    consumer.commit(topic, 3)
    consumer.stop()
    assert again(clients, broker, subscription).read(7) == numbered(3, 10)


def test_one_who_takes_his_predecessor_s_place_at_once_stays_in_it(
    clients: Clients, broker: Broker, subscription: Subscription, topic: str
) -> None:
    """Its group lets it in before it knows the topic's partitions; to learn of them makes it join once more."""
    broker.create(topic, partitions=4)
    for number in range(3):
        consumer = clients.consumer(broker.settings, subscription, f"consumer-{number}")
        consumer.read_nothing()
        for partition in range(4):
            broker.put(topic, [b"%d" % number], partition)
        assert consumer.read(4) == 4 * [b"%d" % number]
        for partition in range(4):
            consumer.commit(topic, number + 1, partition)
        consumer.stop()


def test_also_after_its_process_was_killed(
    clients: Clients, broker: Broker, subscription: Subscription, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    command = [sys.executable, "-W", "ignore", "-m", "tests.base.streaming.consumer_process"]
    process = subprocess.Popen(
        [*command, broker.address, topic, subscription.group, "only", "6"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "committed 6\n"
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert again(clients, broker, subscription).read(4) == numbered(6, 10)


def test_a_commit_of_another_program_is_gone_on_from_whatever_it_noted_there(
    broker: Broker, consumer: Consumer, subscription: Subscription, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    place = TopicPartition(topic, 0)
    with closing(KafkaConsumer(bootstrap_servers=broker.address, group_id=subscription.group)) as other:
        other.assign([place])
        other.commit({place: OffsetAndMetadata(4, "12:no fingerprint", -1)})
    assert consumer.read(6) == numbered(4, 10)


# Reading


def test_no_message_is_skipped_or_repeated(clients: Clients, broker: Broker, topic: str) -> None:
    broker.create(topic, partitions=4)
    subscription = Subscription((TopicSpec(topic, 4),), f"group-{topic}", instance_id="only")
    consumer = clients.consumer(broker.settings, subscription)
    expected = {partition: numbered(1000 * partition, 1000 * partition + 300) for partition in range(4)}
    for begin in (0, 150):
        for partition, values in expected.items():
            broker.put(topic, values[begin : begin + 150], partition)
        for part in consumer.slices(600, most=37):
            assert part.position.next == part.position.first + len(part.values) == part.offsets[-1] + 1
            assert part.values == expected[part.partition][part.position.first : part.position.next]
            consumer.stage.clock.advance(0.3)  # now and then long enough for a `KeepAlive`
            consumer.commit(topic, part.position.next, part.partition)
    consumer.read_nothing()
    assert [broker.committed(subscription.group, topic, partition) for partition in range(4)] == [300] * 4


def test_a_fetch_brings_no_more_than_it_asked_for(broker: Broker, consumer: Consumer, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    assert [len(part.values) for part in consumer.slices(10, most=4)] == [4, 4, 2]


def test_keys_and_values_may_be_missing(broker: Broker, consumer: Consumer, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, [b"v"], key=None)
    broker.put(topic, [None], key=b"k")
    keys = [key for part in consumer.slices(2) for key in part.keys]
    assert keys == [None, b"k"]


def test_an_idle_fetch_does_not_spin(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer.fetch()
    poll, polls = KafkaConsumer.poll, itertools.count()
    monkeypatch.setattr(KafkaConsumer, "poll", lambda *args, **how: (next(polls), poll(*args, **how))[1])
    consumer.read_nothing()
    assert FETCHES <= next(polls) <= 5 * FETCHES


def test_a_reader_s_successor_begins_at_the_committed_offsets(broker: Broker, consumer: Consumer, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    consumer.read(8, most=4)
    consumer.commit(topic, 5)
    consumer.reader = "reader-2"
    assert consumer.read(5) == numbered(5, 10)


def test_the_lag_is_what_is_there_and_not_handed_out(broker: Broker, consumer: Consumer, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    consumer.read(4, most=4)
    assert consumer.status.counters["lag"] == 6
    consumer.read(6)
    assert consumer.status.counters["lag"] == 0
    assert consumer.status.counters["messages"] == 10


# Committing


def test_a_commit_beyond_what_was_handed_out_is_not_made(
    broker: Broker, consumer: Consumer, subscription: Subscription, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    consumer.read(4, most=4)
    consumer.commit(topic, 5)
    assert broker.committed(subscription.group, topic) == 0
    consumer.commit(topic, 4)
    assert broker.committed(subscription.group, topic) == 4


@pytest.mark.parametrize(("partition", "offset"), [(0, -1), (7, 1)])
def test_a_commit_that_makes_no_sense_is_not_made_and_harms_no_other(
    broker: Broker, consumer: Consumer, subscription: Subscription, topic: str, partition: int, offset: int
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    consumer.read(10)
    consumer.get(
        CommitOffsets(
            (Position(topic, partition, 0, offset), Position("elsewhere", 0, 0, 1), Position(topic, 0, 0, 10))
        )
    )
    assert broker.committed(subscription.group, topic) == 10


def test_one_who_is_told_to_commit_before_it_read_joins_and_commits_nothing(
    broker: Broker, consumer: Consumer, subscription: Subscription, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    consumer.commit(topic, 1)
    assert broker.committed(subscription.group, topic) == 0
    assert consumer.read(10) == numbered(0, 10)


def test_a_commit_of_one_who_cannot_join_is_an_outage(
    clients: Clients, broker: Broker, subscription: Subscription, topic: str
) -> None:
    """The light broker waits for ever for a member that has vanished without a word."""
    broker.create(topic)
    vanished = KafkaConsumer(topic, bootstrap_servers=broker.address, group_id=subscription.group)
    while not vanished.assignment():
        vanished.poll(100)
    settings = RedpandaSettings((broker.address,), request_timeout=3.0, light=True)
    consumer = clients.consumer(settings, evolve(subscription, instance_id=None))
    error = consumer.fail(CommitOffsets((Position(topic, 0, 0, 1),)))
    assert isinstance(error, Transient)
    assert "not a member of the group" in error.message
    vanished.close()


# Membership


def test_one_who_is_not_asked_stays_a_member_and_drops_nothing(
    broker: Broker, consumer: Consumer, subscription: Subscription, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 10))
    consumer.read(3, most=3)
    for _ in range(5):
        consumer.stage.clock.advance(1.5)  # the time of a `KeepAlive`
    consumer.commit(topic, 3)
    assert broker.committed(subscription.group, topic) == 3
    assert consumer.read(7) == numbered(3, 10)
    assert consumer.status.counters["connections"] == 1


def test_members_share_the_partitions_and_take_over_those_of_one_who_leaves(
    clients: Clients, broker: Broker, topic: str
) -> None:
    broker.create(topic, partitions=2)
    subscription = Subscription((TopicSpec(topic, 2),), f"group-{topic}", session_timeout=30.0)
    first = clients.consumer(broker.settings, subscription, "first")
    for partition in (0, 1):
        broker.put(topic, numbered(0, 10), partition)
    first.read(20)

    second = clients.consumer(broker.settings, subscription, "second")
    share = together(lambda read: len(read["second"]) >= 10, first, second)
    assert share["second"] == numbered(0, 10)  # of which nothing was committed
    assert len(second.get(GetAssignment())) == 1

    second.stop()
    for partition in (0, 1):
        broker.put(topic, [b"new"], partition)
    rest = together(lambda read: read["first"].count(b"new") == 2, first)["first"]
    assert [value for value in rest if value != b"new"] in ([], numbered(0, 10))  # again, if it was another's meanwhile
    assert first.get(GetAssignment()) == ((topic, 0), (topic, 1))


def test_a_group_does_not_wait_for_a_member_that_lives_and_does_not_rejoin(
    clients: Clients, apache: ApacheKafka, topic: str
) -> None:
    """Its heartbeats go on. The light broker, too, may wait so long for a member that has rejoined already."""
    apache.create(topic, partitions=2)
    subscription = Subscription((TopicSpec(topic, 2),), f"group-{topic}", session_timeout=6.0)
    idle = clients.consumer(apache.settings, subscription, "idle")
    for partition in (0, 1):
        apache.put(topic, numbered(0, 10), partition)
    idle.read(20)

    second = clients.consumer(apache.settings, subscription, "second")
    share = together(lambda read: len(read["second"]) >= 20, second)
    assert share["second"].count(b"9") == 2  # of which nothing was committed
    assert second.get(GetAssignment()) == ((topic, 0), (topic, 1))


def test_who_is_no_member_yet_has_no_partitions(consumer: Consumer, topic: str) -> None:
    assert consumer.get(GetAssignment()) == ()
    consumer.read_nothing()
    assert consumer.get(GetAssignment()) == ((topic, 0),)


def together(
    done: Callable[[dict[str, list[bytes | None]]], bool], *members: Consumer
) -> dict[str, list[bytes | None]]:
    """Have all members fetch at the same time until it is done; return what each has read.

    A failure that passes is passed over: the light broker forgets to tell a member its assignment at times.
    """
    read: dict[str, list[bytes | None]] = {member.name: [] for member in members}
    deadline = time.monotonic() + PATIENCE
    while not done(read):
        assert time.monotonic() < deadline, read
        futures = {member.name: member.ref.ask(Fetch(member.reader), block=False) for member in members}
        for name, future in futures.items():
            answer: Result[list[Slice]] = future.get(timeout=PATIENCE)
            if isinstance(answer, Success) or not isinstance(answer.error, Transient):
                read[name] += [value for part in get_data(answer) for value in part.values]
    return read


# Settings


def test_a_session_timeout_that_the_broker_does_not_allow_has_to_be_mended(
    clients: Clients, broker: Broker, subscription: Subscription
) -> None:
    error = clients.consumer(broker.settings, evolve(subscription, session_timeout=0.5)).fetch_failing()
    assert isinstance(error, Permanent)
    assert "InvalidSessionTimeoutError" in error.message
    assert "settings" in error.remedy


def test_time_outs_shorter_than_kafka_python_s_own_are_taken(
    clients: Clients, broker: Broker, subscription: Subscription
) -> None:
    settings = RedpandaSettings((broker.address,), request_timeout=0.4, light=True)
    clients.consumer(settings, subscription).read_nothing()
