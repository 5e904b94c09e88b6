"""What a view of topics answers: the latest values that stand in them at the time of asking."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from kafka import KafkaProducer
from kafka.admin import NewPartitions

from dataplatform.base.embedded.broker import broker_serves, find_kafka
from dataplatform.base.streaming import Digest, Item, Latest, Seen, TopicView, ViewSpec, as_start, view
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure
from tests.base.streaming.broker import GRACE, HOST, Broker, _free_port
from tests.base.streaming.clients import PATIENCE, Client, Clients
from tests.support.kafka import kafka_home
from tests.support.waiting import DEADLINE

TOPIC = "prices"


def digest(values: Sequence[bytes | None]) -> tuple[list[Item], int]:
    """Read `group key rank` from messages."""
    words = [(value or b"").decode().split() for value in values]
    items = [Item(group, key, int(rank), f"{group} {key} {rank}") for group, key, rank in filter(None, words)]
    return items, len(values) - len(items)


@frozen
class View:
    """A view of one topic, asked for it."""

    client: Client
    topic: str

    def look(self, *groups: str) -> list[str]:
        return sorted(self.seen(*groups).values)

    def seen(self, *groups: str) -> Seen:
        return self.client.get(Latest(self.topic, groups or None))

    def look_until_it_answers(self) -> list[str]:
        while not self.client.succeeds(Latest(self.topic)):
            pass
        return self.look()

    def look_by_itself(self) -> None:
        """Let the time pass after which the view looks for more, and wait until it has."""
        stage = self.client.stage
        stage.pass_timer(stage.scheduler.expect(view.Follow))
        stage.scheduler.expect(view.Follow)

    @property
    def counters(self) -> dict[str, int]:
        return self.client.status.counters


Make = Callable[..., View]


@pytest.fixture
def make(clients: Clients, broker: Broker, topic: str) -> Make:
    """Return a function that starts a view of the topic."""

    def start(on: Broker = broker, topic: str = topic, digest: Digest = digest, **spec: Any) -> View:
        made = evolve(ViewSpec({topic: digest}), **spec)
        agent = clients.stage.start(TopicView, on.settings, made, name="view")
        return View(clients._keep(Client("view", agent, clients.stage)), topic)

    return start


def kafka_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("kafka-io-")}


# While all is well


def test_it_costs_nothing_until_somebody_asks_and_leaves_nothing_behind(make: Make, broker: Broker, topic: str) -> None:
    before = kafka_threads()
    broker.create(topic)
    view = make()
    assert view.client.status.counters == {}
    assert kafka_threads() == before
    view.look()
    (connection,) = kafka_threads() - before
    view.client.stop()
    connection.join(PATIENCE)
    assert not connection.is_alive()


def test_the_latest_value_of_each_place_is_answered(make: Make, broker: Broker, topic: str) -> None:
    broker.create(topic, partitions=2)
    broker.put(topic, [b"btc usd 1", b"eth usd 1", b"btc eur 1", b"btc usd 2"], partition=0)
    broker.put(topic, [b"doge usd 7"], partition=1)
    assert make().look() == ["btc eur 1", "btc usd 2", "doge usd 7", "eth usd 1"]


def test_only_the_groups_asked_for_are_answered_and_unknown_ones_are_absent(
    make: Make, broker: Broker, topic: str
) -> None:
    broker.create(topic)
    broker.put(topic, [b"btc usd 1", b"btc eur 1", b"eth usd 1"])
    assert make().look("btc", "tulip") == ["btc eur 1", "btc usd 1"]


def test_an_answer_holds_all_that_was_written_before_the_asking(make: Make, broker: Broker, topic: str) -> None:
    broker.create(topic)
    view = make()
    for number in range(10):
        broker.put(topic, [b"btc usd %d" % number])
        assert view.look() == [f"btc usd {number}"]


def test_a_value_that_comes_late_does_not_displace_a_later_one(make: Make, broker: Broker, topic: str) -> None:
    broker.create(topic)
    view = make()
    broker.put(topic, [b"btc usd 5"])
    assert view.look() == ["btc usd 5"]
    broker.put(topic, [b"btc usd 4", b"eth usd 1"])
    assert view.look() == ["btc usd 5", "eth usd 1"]


def test_it_says_as_of_when_and_since_when(make: Make, broker: Broker, topic: str, clients: Clients) -> None:
    broker.create(topic, configs={"retention.ms": "-1"})  # the messages are years old
    view = make()
    assert view.seen().since is None
    with closing(KafkaProducer(bootstrap_servers=broker.address)) as producer:
        for milliseconds in (1_700_000_000_000, 1_700_000_060_000):
            producer.send(topic, b"btc usd 1", timestamp_ms=milliseconds).get(timeout=GRACE)
    seen = view.seen()
    assert seen.since is not None
    assert seen.since.timestamp() == 1_700_000_000
    assert seen.as_of == clients.stage.clock.now()


def test_malformed_messages_are_left_out_and_counted(make: Make, broker: Broker, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, [b"btc usd 1", b"", None, b"eth usd 1"])
    view = make()
    assert view.look() == ["btc usd 1", "eth usd 1"]
    assert (view.counters["messages"], view.counters["malformed"], view.counters["kept"]) == (4, 2, 2)
    assert view.seen().malformed == 2


def test_over_the_bound_the_ones_longest_not_renewed_go_and_are_counted(make: Make, broker: Broker, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, [b"a usd 1", b"b usd 1", b"c usd 1", b"a usd 2", b"d usd 1", b"e usd 1"])
    view = make(most=3)
    assert view.look() == ["a usd 2", "d usd 1", "e usd 1"]
    assert view.look("b") == []
    assert (view.counters["evicted"], view.counters["kept"]) == (2, 3)


def test_it_begins_where_it_is_told_to(make: Make, broker: Broker, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, [b"a usd 1", b"b usd 1", b"c usd 1"])
    assert make(start=as_start(2)).look() == ["c usd 1"]


def test_a_topic_that_is_not_there_is_not_found_until_it_is(make: Make, broker: Broker, topic: str) -> None:
    view = make()
    error = view.client.fail(Latest(topic))
    assert (type(error), error.code) == (Permanent, "not_found")
    assert topic in str(error)
    broker.create(topic)
    broker.put(topic, [b"btc usd 1"])
    assert view.look() == ["btc usd 1"]


def test_what_was_aborted_is_not_seen_and_does_not_hold_up(make: Make, broker: Broker, topic: str) -> None:
    broker.create(topic)
    with closing(KafkaProducer(bootstrap_servers=broker.address, transactional_id=topic)) as producer:
        producer.init_transactions()
        for value, end in ((b"a usd 1", producer.commit_transaction), (b"b usd 1", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send(topic, value).get(timeout=GRACE)
            end()
    assert make().look() == ["a usd 1"]


def test_more_than_one_request_has_time_for_is_caught_up_with_meanwhile(
    make: Make, broker: Broker, topic: str, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "PATIENCE", -1.0)
    broker.create(topic)
    broker.put(topic, [b"btc usd %d" % number for number in range(100)])
    made = make()
    error = made.client.fail(Latest(topic))
    assert isinstance(error, Transient)
    assert (str(error), error.retry_after) == (f"catching_up: {topic}: 100 messages are still to be read", 1.0)
    assert made.counters["behind"] == 100
    while made.counters.get("messages", 0) < 100:
        clients.stage.pass_timer(clients.stage.scheduler.expect(view.Follow))
    assert made.look() == ["btc usd 99"]
    assert made.counters["behind"] == 0
    assert made.client.status.degraded is None


# When the broker is not well


@pytest.fixture
def viewed(make: Make, own: Broker) -> View:
    """A view that has seen what a broker holds that was saved."""
    own.create(TOPIC)
    own.put(TOPIC, [b"btc usd 1", b"eth usd 1"])
    own.save()
    view = make(own, TOPIC)
    assert view.look() == ["btc usd 1", "eth usd 1"]
    return view


def test_a_broker_that_is_down_is_an_outage_and_the_view_recovers_by_itself(viewed: View, own: Broker) -> None:
    own.stop()
    assert isinstance(viewed.client.fail(Latest(TOPIC)), Transient)
    viewed.look_by_itself()
    assert viewed.client.status.degraded is not None
    own.start()
    own.put(TOPIC, [b"btc usd 2"])
    assert viewed.look_until_it_answers() == ["btc usd 2", "eth usd 1"]
    assert viewed.client.status.degraded is None


def test_what_a_broker_has_lost_is_answered_no_more(viewed: View, own: Broker) -> None:
    own.put(TOPIC, [b"btc usd 2", b"doge usd 1"])
    assert viewed.look() == ["btc usd 2", "doge usd 1", "eth usd 1"]
    own.lose()
    assert viewed.look_until_it_answers() == ["btc usd 1", "eth usd 1"]


def test_nor_when_the_log_is_as_long_again(viewed: View, own: Broker) -> None:
    own.put(TOPIC, [b"btc usd 2", b"doge usd 1"])
    assert viewed.look() == ["btc usd 2", "doge usd 1", "eth usd 1"]
    own.lose()
    own.put(TOPIC, [b"sol usd 1", b"ada usd 1", b"xrp usd 1"])
    viewed.client.peer_restarted()
    assert viewed.look_until_it_answers() == ["ada usd 1", "btc usd 1", "eth usd 1", "sol usd 1", "xrp usd 1"]


def test_a_topic_made_anew_is_another(viewed: View, own: Broker) -> None:
    own.delete(TOPIC)
    own.create(TOPIC)
    own.put(TOPIC, [b"sol usd 1"])
    assert viewed.look_until_it_answers() == ["sol usd 1"]


def test_a_topic_that_was_deleted_is_not_found(viewed: View, own: Broker) -> None:
    own.delete(TOPIC)
    while isinstance(error := viewed.client.fail(Latest(TOPIC)), Transient):
        pass
    assert error.code == "not_found"


def test_a_broker_that_hangs_holds_the_view_up_for_no_longer_than_the_request_time_out(
    viewed: View, own: Broker
) -> None:
    own.freeze()
    assert isinstance(viewed.client.fail(Latest(TOPIC)), Transient)
    own.thaw()
    assert viewed.look_until_it_answers() == ["btc usd 1", "eth usd 1"]


# With Apache Kafka


class Kafka(Broker):
    """Apache Kafka in the place of the light broker."""

    def __init__(self, folder: Path) -> None:
        found = find_kafka(os.environ | {"KAFKA_HOME": str(kafka_home())})
        assert found is not None
        self._kafka, self._folder, self._port, self._patience = found, folder, _free_port(), DEADLINE / 2
        found.write_settings(folder, self._port)
        subprocess.run(found.format_command(folder), cwd=folder, check=True, capture_output=True, timeout=GRACE)
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        command = self._kafka.server_command(self._folder)
        process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not broker_serves(HOST, self._port):
            assert process.poll() is None, "Kafka ended instead of starting"
        return process


@pytest.mark.long
def test_kafka_tells_of_topics_made_anew_of_more_partitions_and_of_what_was_aborted(make: Make, tmp_path: Path) -> None:
    broker = Kafka(tmp_path)
    try:
        broker.create(TOPIC)
        broker.put(TOPIC, [b"old usd 1"])
        view = make(broker, TOPIC)
        assert view.look() == ["old usd 1"]
        broker.delete(TOPIC)
        while not isinstance(view.client.ask(Latest(TOPIC)), Failure):
            pass
        broker.create(TOPIC)
        broker.put(TOPIC, [b"a usd 1", b"b usd 1"])
        assert view.look_until_it_answers() == ["a usd 1", "b usd 1"]
        with closing(broker.admin()) as admin:
            admin.create_partitions({TOPIC: NewPartitions(2)})
        with closing(KafkaProducer(bootstrap_servers=broker.address, transactional_id="t")) as producer:
            producer.init_transactions()
            producer.begin_transaction()
            producer.send(TOPIC, b"never usd 1", partition=1).get(timeout=GRACE)
            producer.abort_transaction()
        broker.put(TOPIC, [b"c usd 1"], partition=1)
        while view.look() != ["a usd 1", "b usd 1", "c usd 1"]:
            assert "never usd 1" not in view.look()
    finally:
        broker.kill()
