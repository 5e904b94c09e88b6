"""Members of the group that are not ours, and do not keep to the protocol of consumers."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from dataplatform.base.streaming import GetAssignment, Subscription, TopicSpec
from dataplatform.errors import Transient
from tests.base.streaming.broker import ApacheKafka, Contents
from tests.base.streaming.clients import Clients
from tests.support.waiting import DEADLINE

VALUES = [b"%d" % number for number in range(5)]


class ForgetfulLeader(RangePartitionAssignor):  # type: ignore[misc]  # kafka-python is untyped
    """Assigns partitions to itself alone, and nothing at all to the others, not even no partition."""

    @classmethod
    def metadata(cls, topics: set[str]) -> Any:
        return ConsumerProtocolSubscription(cls.version, list(topics), b"stranger")

    @classmethod
    def assign(cls, cluster: Any, members: Any) -> Any:
        return super().assign(cluster, [one for one in members if one.metadata.user_data == b"stranger"])


class Babbler(RangePartitionAssignor):  # type: ignore[misc]
    """Says of itself what is none of the protocol."""

    @classmethod
    def metadata(cls, topics: set[str]) -> bytes:
        del topics
        return b"\x00"


@contextmanager
def stranger(
    broker: Contents, topic: str, group: str, assignor: type[RangePartitionAssignor]
) -> Iterator[threading.Event]:
    """Have another program's consumer take part in the group while the block runs; the event tells that it reads."""
    reads, ended = threading.Event(), threading.Event()

    def take_part() -> None:
        with closing(
            KafkaConsumer(
                topic,
                bootstrap_servers=broker.address,
                group_id=group,
                partition_assignment_strategy=[assignor],
                enable_auto_commit=False,
            )
        ) as consumer:
            while not ended.is_set():
                with suppress(struct.error):  # as the leader it cannot read itself
                    consumer.poll(100)
                if consumer.assignment():
                    reads.set()

    thread = threading.Thread(target=take_part, name="stranger")
    thread.start()
    try:
        yield reads
    finally:
        ended.set()
        thread.join(DEADLINE)


def test_a_member_that_the_leader_forgets_is_degraded_and_joins_anew(
    clients: Clients, either: Contents, topic: str
) -> None:
    either.create(topic)
    either.put(topic, VALUES)
    subscription = Subscription((TopicSpec(topic, 1),), f"group-{topic}")
    consumer = clients.consumer(either.settings, subscription)
    with stranger(either, topic, subscription.group, ForgetfulLeader) as reads:
        assert reads.wait(DEADLINE)
        error = consumer.until_it_fails()
    assert isinstance(error, Transient)
    assert f"group {subscription.group}: what its leader has assigned to this member cannot be read" in error.message
    assert consumer.read_until(VALUES[-1]) == VALUES
    assert consumer.get(GetAssignment()) == ((topic, 0),)
    assert consumer.ref.is_alive()


def test_a_leader_to_whom_a_member_babbles_is_degraded_until_that_one_leaves(
    clients: Clients, apache: ApacheKafka, topic: str
) -> None:
    """Not at the light broker, whose group waits for the leader that left it in the middle of a rebalance."""
    apache.create(topic)
    apache.put(topic, VALUES)
    subscription = Subscription((TopicSpec(topic, 1),), f"group-{topic}")
    consumer = clients.consumer(apache.settings, subscription)
    assert consumer.read_until(VALUES[-1]) == VALUES
    with stranger(apache, topic, subscription.group, Babbler):
        error = consumer.until_it_fails()
        assert isinstance(error, Transient)
        assert "what a member of it says of itself cannot be read" in error.message
    apache.put(topic, [b"new"])
    assert consumer.read_until(b"new")[-1] == b"new"
