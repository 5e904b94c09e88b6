"""What a consumer does when its broker is away, hangs, or comes back with another log than it had."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from attrs import evolve
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from dataplatform.base.agent import Incident
from dataplatform.base.streaming import Subscription, TopicSpec
from dataplatform.errors import Transient
from tests.base.streaming.broker import Broker
from tests.base.streaming.clients import Clients, Consumer

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # kafka-python's, of failed connects
TOPIC = "prices"


def numbered(first: int, end: int, mark: str = "") -> list[bytes]:
    return [f"{mark}{number}".encode() for number in range(first, end)]


def kafka_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kafka-io-")]


def missing(*incidents: Incident) -> list[tuple[str, int, int, int]]:
    return [(incident.kind, incident.partition, incident.first, incident.next) for incident in incidents]


@pytest.fixture
def subscription() -> Subscription:
    return Subscription((TopicSpec(TOPIC, 1),), "group", instance_id="only")


@pytest.fixture
def consumer(clients: Clients, own: Broker, subscription: Subscription) -> Consumer:
    own.create(TOPIC)
    return clients.consumer(own.settings, subscription)


@pytest.fixture
def reader_of_150(own: Broker, consumer: Consumer) -> Consumer:
    """One who has read 150 messages of a broker that will have forgotten all but the first 100."""
    own.put(TOPIC, numbered(0, 100))
    consumer.read(100)
    own.save()
    own.put(TOPIC, numbered(100, 150))
    assert consumer.read(50) == numbered(100, 150)
    return consumer


# Outages


def test_a_broker_that_is_down_is_an_outage_and_the_consumer_recovers_by_itself(
    own: Broker, consumer: Consumer
) -> None:
    own.put(TOPIC, numbered(0, 10))
    consumer.read(10)
    consumer.commit(TOPIC, 10)
    own.stop()
    error = consumer.until_it_fails()
    assert isinstance(error, Transient)
    assert consumer.status.degraded is not None
    own.start()
    own.put(TOPIC, numbered(10, 20))
    assert consumer.read_until(b"19") == numbered(10, 20)
    assert consumer.status.degraded is None


def test_a_broker_that_was_never_there_is_an_outage(own: Broker, consumer: Consumer) -> None:
    own.stop()
    assert isinstance(consumer.fetch_failing(), Transient)
    own.start()
    consumer.read_nothing()


def test_a_broker_that_hangs_holds_the_consumer_up_neither_at_work_nor_in_stopping(
    own: Broker, consumer: Consumer
) -> None:
    consumer.read_nothing()
    own.freeze()
    consumer.stage.clock.advance(2.0)  # it is time to prove that the broker is there
    assert isinstance(consumer.fetch_failing(), Transient)
    consumer.stop()
    own.thaw()


def test_one_who_hangs_while_the_consumer_joins_does_not_hold_it_up_either(own: Broker, consumer: Consumer) -> None:
    own.freeze()
    assert isinstance(consumer.fetch_failing(), Transient)
    own.thaw()
    own.put(TOPIC, numbered(0, 3))
    consumer.until_it_answers()


def test_failed_tries_leave_no_thread_behind(own: Broker, consumer: Consumer) -> None:
    own.stop()
    consumer.fetch_failing()
    assert kafka_threads() == []
    own.start()


def test_committed_offsets_outlive_a_restart_of_the_broker(
    clients: Clients, own: Broker, consumer: Consumer, subscription: Subscription
) -> None:
    own.put(TOPIC, numbered(0, 10))
    consumer.read(10)
    consumer.commit(TOPIC, 6)
    consumer.stop()
    own.save()
    assert clients.consumer(own.settings, subscription, "again").read(4) == numbered(6, 10)


def test_a_restart_without_a_loss_skips_and_repeats_nothing(clients: Clients, own: Broker, consumer: Consumer) -> None:
    own.put(TOPIC, numbered(0, 100))
    consumer.read(40, most=40)
    own.save()
    consumer.peer_restarted()
    own.put(TOPIC, numbered(100, 110))
    assert consumer.read(70) == numbered(40, 110)
    assert clients.incidents() == []


# A log that lost its tail


def test_a_lost_tail_is_reported_exactly_and_reading_goes_on_where_the_log_ends_now(
    clients: Clients, own: Broker, reader_of_150: Consumer
) -> None:
    own.lose()
    reader_of_150.peer_restarted()
    reader_of_150.read_nothing()
    (incident,) = clients.incidents()
    assert missing(incident) == [("log_truncated", 0, 100, 150)]
    assert incident.records == 50
    assert incident.message == (
        "prices/0: the broker lost offsets 100 to 149, which had been read; reading goes on at 100"
    )
    own.put(TOPIC, numbered(0, 5, "new"))
    assert reader_of_150.read(5) == numbered(0, 5, "new")


@pytest.mark.parametrize("new", [20, 200])
def test_messages_that_came_in_place_of_the_lost_ones_are_not_taken_for_them(
    clients: Clients, own: Broker, reader_of_150: Consumer, new: int
) -> None:
    own.lose()
    own.put(TOPIC, numbered(0, new, "new"))
    reader_of_150.peer_restarted()
    assert reader_of_150.read(new) == numbered(0, new, "new")
    reader_of_150.read_nothing()
    assert missing(*clients.incidents()) == [("log_truncated", 0, 100, 150)]


def test_it_is_noticed_without_being_told_where_the_log_is_shorter_now(
    clients: Clients, own: Broker, reader_of_150: Consumer
) -> None:
    own.lose()
    while not clients.incidents():
        reader_of_150.stage.clock.advance(0.5)
        reader_of_150.until_it_answers()
    assert missing(*clients.incidents()) == [("log_truncated", 0, 100, 150)]
    own.put(TOPIC, numbered(0, 5, "new"))
    assert reader_of_150.read(5) == numbered(0, 5, "new")


def test_what_was_fetched_ahead_of_the_reader_is_dropped_with_the_log_it_came_from(
    clients: Clients, own: Broker, consumer: Consumer
) -> None:
    own.put(TOPIC, numbered(0, 20))
    consumer.read(20)
    own.save()
    own.put(TOPIC, numbered(20, 100))
    assert consumer.read(10, most=10) == numbered(20, 30)  # the other 70 are fetched, and not handed out
    own.lose()
    own.put(TOPIC, numbered(0, 10, "new"))
    consumer.peer_restarted()
    assert consumer.read(10) == numbered(0, 10, "new")
    consumer.read_nothing()
    assert missing(*clients.incidents()) == [("log_truncated", 0, 20, 30)]


def test_messages_of_the_new_log_that_were_read_before_anybody_told_do_not_hide_the_loss(
    clients: Clients, own: Broker, reader_of_150: Consumer
) -> None:
    own.lose()
    own.put(TOPIC, numbered(0, 80, "new"))
    assert reader_of_150.read_until(b"new79")[-30:] == numbered(50, 80, "new")
    reader_of_150.peer_restarted()
    assert reader_of_150.read(80) == numbered(0, 80, "new")
    assert missing(*clients.incidents()) == [("log_truncated", 0, 100, 180)]


def test_a_loss_that_is_found_by_the_reader_s_successor_is_reported_too(
    clients: Clients, own: Broker, reader_of_150: Consumer
) -> None:
    own.lose()
    own.put(TOPIC, numbered(0, 30, "new"))
    reader_of_150.peer_restarted()
    reader_of_150.reader = "reader-2"
    assert reader_of_150.read_until(b"new29") == [*numbered(0, 100), *numbered(0, 30, "new")]
    assert missing(*clients.incidents()) == [("log_truncated", 0, 100, 150)]


def test_a_position_that_the_log_no_longer_holds_is_committed_back(own: Broker, reader_of_150: Consumer) -> None:
    """Else a restart would go on at an offset at which by then something else stands."""
    own.lose()
    with closing(KafkaConsumer(bootstrap_servers=own.address, group_id="group")) as somebody:
        somebody.assign([TopicPartition(TOPIC, 0)])
        somebody.commit({TopicPartition(TOPIC, 0): OffsetAndMetadata(150, "", -1)})
    reader_of_150.peer_restarted()
    reader_of_150.read_nothing()
    assert own.committed("group", TOPIC) == 100


def test_a_verification_that_fails_is_done_again_and_reports_once(
    clients: Clients, own: Broker, reader_of_150: Consumer
) -> None:
    own.lose()
    own.freeze()
    reader_of_150.peer_restarted()
    assert isinstance(reader_of_150.fetch_failing(), Transient)
    own.thaw()
    reader_of_150.until_it_answers()
    own.put(TOPIC, numbered(0, 5, "new"))
    assert reader_of_150.read(5) == numbered(0, 5, "new")
    assert missing(*clients.incidents()) == [("log_truncated", 0, 100, 150)]


def test_each_partition_is_looked_at_for_itself(clients: Clients, own: Broker, subscription: Subscription) -> None:
    own.create(TOPIC, partitions=3)
    consumer = clients.consumer(own.settings, subscription)
    for partition in (0, 1, 2):
        own.put(TOPIC, numbered(0, 10), partition)
    consumer.read(30)
    own.save()
    own.put(TOPIC, numbered(10, 15), partition=0)
    own.put(TOPIC, numbered(10, 20), partition=2)
    consumer.read(15)
    own.lose()
    own.put(TOPIC, numbered(0, 3, "new"), partition=1)
    own.put(TOPIC, numbered(0, 30, "new"), partition=2)
    consumer.peer_restarted()
    assert len(consumer.read(33)) == 33
    assert missing(*clients.incidents()) == [("log_truncated", 0, 10, 15), ("log_truncated", 2, 10, 20)]


def test_a_group_whose_offsets_the_broker_lost_goes_on_where_it_was(
    clients: Clients, own: Broker, subscription: Subscription
) -> None:
    """Also one that begins with the latest message: to begin again would skip what came in between."""
    own.create(TOPIC)
    own.save()
    consumer = clients.consumer(own.settings, evolve(subscription, start="latest"))
    consumer.read_nothing()
    own.lose()  # the group's first commit is gone
    own.put(TOPIC, numbered(0, 5))
    consumer.peer_restarted()
    consumer.reader = "reader-2"
    assert consumer.read(5) == numbered(0, 5)


# Another log


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    clients: Clients, own: Broker, consumer: Consumer
) -> None:
    own.put(TOPIC, numbered(0, 10))
    consumer.read(10)
    consumer.commit(TOPIC, 10)
    own.delete(TOPIC)
    own.create(TOPIC)
    own.put(TOPIC, numbered(0, 5, "new"))
    consumer.stage.clock.advance(2.0)  # it is time to look at the log
    assert consumer.read_until(b"new4") == numbered(0, 5, "new")
    assert missing(*clients.incidents()) == [("log_truncated", 0, 0, 10)]


@pytest.mark.parametrize("new", [5, 10])
def test_also_when_that_happened_while_nobody_read(
    clients: Clients, own: Broker, consumer: Consumer, subscription: Subscription, new: int
) -> None:
    own.put(TOPIC, numbered(0, 10))
    consumer.read(10)
    consumer.commit(TOPIC, 10)
    consumer.stop()
    own.delete(TOPIC)
    own.create(TOPIC)
    own.put(TOPIC, numbered(0, new, "new"))
    again = clients.consumer(own.settings, subscription, "again")
    assert again.read(new) == numbered(0, new, "new")
    (incident,) = clients.incidents()
    assert (incident.kind, incident.next) == ("log_truncated", 10)
    assert "read of another log than this" in incident.message


def test_messages_that_expired_before_they_were_read_are_reported(
    clients: Clients, own: Broker, consumer: Consumer, subscription: Subscription
) -> None:
    own.put(TOPIC, numbered(0, 10))
    consumer.read(4, most=4)
    consumer.commit(TOPIC, 4)
    consumer.stop()
    with closing(own.admin()) as admin:
        admin.delete_records({TopicPartition(TOPIC, 0): 7})
    assert clients.consumer(own.settings, subscription, "again").read(3) == numbered(7, 10)
    assert missing(*clients.incidents()) == [("expired", 0, 4, 7)]
