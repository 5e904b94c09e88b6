"""Messages and the positions of what they were made of, published together or not at all."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve
from kafka.errors import KafkaTimeoutError

from dataplatform.base.position import Member, Position
from dataplatform.base.streaming import Produce, Produced, Subscription, TopicSpec, transactions
from tests.base.streaming.broker import Broker
from tests.base.streaming.clients import Client, Clients, Consumer

pytestmark = pytest.mark.long

GROUP = "movers"


@pytest.fixture
def producer(clients: Clients, broker: Broker) -> Client:
    return clients.producer(broker.settings)


@pytest.fixture
def source(topic: str) -> TopicSpec:
    return TopicSpec(topic, 2)


@pytest.fixture
def out(topic: str) -> TopicSpec:
    return TopicSpec(f"{topic}-out", 2, max_message_bytes=10_000)


@pytest.fixture
def reader(clients: Clients, broker: Broker, source: TopicSpec) -> Consumer:
    """Return a member of the group, which has read twenty messages."""
    broker.create(source.name, partitions=2)
    for partition in (0, 1):
        broker.put(source.name, [b"%d" % number for number in range(10)], partition)
    return clients.consumer(broker.settings, Subscription((source,), f"{GROUP}-{source.name}", "only"))


def positions(reader: Consumer) -> tuple[Position, ...]:
    return tuple(part.position for part in reader.slices(20))


def published(clients: Clients, broker: Broker, out: TopicSpec, count: int) -> list[bytes | None]:
    subscription = Subscription((out,), f"readers-of-{out.name}", "one")
    return clients.consumer(broker.settings, subscription, name="afterwards").read(count)


def test_messages_and_positions_are_published_together(
    clients: Clients, broker: Broker, producer: Client, reader: Consumer, out: TopicSpec
) -> None:
    answer = producer.get(Produce(out, [b"a", b"b"], [b"1", b"2"], positions(reader)))
    assert answer == Produced(out.name)
    assert sorted(value or b"" for value in published(clients, broker, out, 2)) == [b"1", b"2"]
    reader.reader = "successor"
    reader.read_nothing()


def test_positions_alone_are_committed_too(producer: Client, reader: Consumer, out: TopicSpec) -> None:
    producer.get(Produce(out, [], [], positions(reader)))
    reader.reader = "successor"
    reader.read_nothing()


def test_one_that_is_too_large_is_named_and_nothing_is_published(
    clients: Clients, broker: Broker, producer: Client, reader: Consumer, out: TopicSpec
) -> None:
    large = Random(1).randbytes(50_000)
    answer = producer.get(Produce(out, [b"a"] * 3, [b"1", large, b"2"], positions(reader)))
    assert [(index, error.code) for index, error in answer.refused] == [(1, "rejected")]
    producer.get(Produce(out, [b"a"], [b"after"]))
    assert published(clients, broker, out, 1) == [b"after"]
    reader.reader = "successor"
    assert len(reader.read(20)) == 20, "the positions were not committed either"


def test_after_an_outage_a_request_that_is_put_again_is_published_once(
    clients: Clients, own: Broker, topic: str, out: TopicSpec
) -> None:
    own.create(topic, partitions=1)
    own.put(topic, [b"x"] * 5, 0)
    producer = clients.producer(own.settings)
    reader = clients.consumer(own.settings, Subscription((TopicSpec(topic, 1),), GROUP, "only"))
    read = tuple(part.position for part in reader.slices(5))
    producer.get(Produce(out, [b"a"], [b"before"]))
    own.stop()
    request = Produce(out, [b"a", b"a"], [b"1", b"2"], read)
    assert producer.fail(request).code == "broker"
    own.start()
    while not producer.succeeds(request):
        pass
    assert published(clients, own, out, 3) == [b"before", b"1", b"2"]


def test_one_whose_commit_was_not_heard_of_is_not_published_again(
    clients: Clients,
    broker: Broker,
    producer: Client,
    reader: Consumer,
    out: TopicSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = transactions.Transactions._wait
    request = Produce(out, [b"a"], [b"once"], positions(reader))
    answers: list[int] = []

    def unheard(self: transactions.Transactions, producer: object, result: object) -> None:
        wait(self, producer, result)
        answers.append(1)
        if len(answers) == 2:
            raise KafkaTimeoutError("not heard")

    monkeypatch.setattr(transactions.Transactions, "_wait", unheard)
    assert producer.fail(request).code == "broker"
    assert producer.succeeds(request)
    assert published(clients, broker, out, 1) == [b"once"]


# What is put again


def all_of(clients: Clients, broker: Broker, out: TopicSpec, count: int) -> list[bytes | None]:
    """Return what is in the output, sorted, after a last message of another kind: so nothing more can come."""
    last = clients.producer(broker.settings, name="last")
    last.get(Produce(out, [b"a", b"k0"], [b"~", b"~"]))
    subscription = Subscription((out,), f"readers-of-{out.name}", "one")
    return sorted(clients.consumer(broker.settings, subscription, name="afterwards").read(count + 2), key=str)[:count]


@pytest.mark.parametrize("way", ["put twice", "made anew", "by the producer's successor"])
def test_what_is_committed_is_not_published_again(
    clients: Clients, broker: Broker, producer: Client, reader: Consumer, out: TopicSpec, way: str
) -> None:
    read = positions(reader)
    request = Produce(out, [b"a", b"b"], [b"1", b"2"], read)
    producer.get(request)
    match way:
        case "put twice":
            assert producer.get(request) == Produced(out.name)
        case "made anew":
            assert producer.get(Produce(out, [b"a", b"b"], [b"1", b"2"], read)) == Produced(out.name)
        case _:
            producer.stop()
            assert clients.producer(broker.settings, name="successor").get(request) == Produced(out.name)
    assert all_of(clients, broker, out, 2) == [b"1", b"2"]


def test_input_that_was_read_again_while_it_was_published_is_left_out(
    clients: Clients, broker: Broker, producer: Client, reader: Consumer, out: TopicSpec
) -> None:
    read = positions(reader)[0]
    producer.get(Produce(out, [b"a"], [b"1"], (evolve(read, next=read.first + 5),)))
    assert producer.get(Produce(out, [b"a"], [b"again"], (read,))).fenced
    rest = evolve(read, first=read.first + 5)
    producer.get(Produce(out, [b"a"], [b"2"], (rest,)))
    assert all_of(clients, broker, out, 2) == [b"1", b"2"]


def test_doubt_about_one_request_is_not_settled_by_another(
    clients: Clients,
    broker: Broker,
    producer: Client,
    reader: Consumer,
    out: TopicSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, theirs = positions(reader)
    wait, answers = transactions.Transactions._wait, list[int]()

    def unheard(self: transactions.Transactions, producer: object, result: object) -> None:
        wait(self, producer, result)
        answers.append(1)
        if len(answers) == 2:
            raise KafkaTimeoutError("not heard")

    monkeypatch.setattr(transactions.Transactions, "_wait", unheard)
    request = Produce(out, [b"a"], [b"once"], (mine,))
    producer.fail(request)
    producer.get(Produce(out, [b"a"], [b"other"], (theirs,)))
    producer.get(request)
    assert all_of(clients, broker, out, 2) == [b"once", b"other"]


def test_one_whom_the_group_does_not_know_publishes_nothing(producer: Client, reader: Consumer, out: TopicSpec) -> None:
    group = f"{GROUP}-of-nobody"
    strange = tuple(evolve(one, member=Member(group, -1, "")) for one in positions(reader))
    assert producer.get(Produce(out, [b"a"], [b"1"], strange)).fenced
