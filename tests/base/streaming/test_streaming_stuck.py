"""A batch that cannot be read holds up its partition alone, is shown with what is missing, and can be given up."""

from __future__ import annotations

from typing import Any

import kafka.codec
import kafka.record.default_records as batches
import pytest
from attrs import evolve
from kafka import TopicPartition

from dataplatform.base.streaming import (
    Fetch,
    Latest,
    SkipBatch,
    Slice,
    Subscription,
    TopicSpec,
    TopicView,
    UnreadableBatch,
    ViewSpec,
    fetcher,
    tail,
)
from dataplatform.base.streaming.log import ReadStretch, RedpandaLog, Stretch
from dataplatform.base.streaming.log_identity import LogReader
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Success
from tests.base.streaming.broker import Contents
from tests.base.streaming.clients import Client, Clients, Consumer, agent, stop_fetching_for_good
from tests.base.streaming.codecs import ZEROS, codec, cut, put_in_one_batch, unpacked, zstd
from tests.support.waiting import until


def numbered(first: int, end: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, end)]


@pytest.fixture
def subscription(topic: str) -> Subscription:
    return Subscription((TopicSpec(topic, 2),), f"group-{topic}", instance_id="only")


@pytest.fixture
def held_up(either: Contents, topic: str, monkeypatch: pytest.MonkeyPatch) -> Contents:
    """A broker with a topic; in its partition 0 the messages 10 to 14 are in a batch of zstd, which nobody can read."""
    monkeypatch.setattr(kafka.codec, "has_zstd", lambda: False)
    either.create(topic, partitions=2)
    either.put(topic, numbered(0, 10))
    with codec("zstd", zstd, monkeypatch):
        put_in_one_batch(either, topic, [value + ZEROS for value in numbered(10, 15)], "zstd")
    either.put(topic, numbered(15, 20))
    either.put(topic, numbered(100, 110), partition=1)
    return either


def advanced(consumer: Consumer, seconds: float = 1.0) -> list[Slice]:
    """Fetch after some time has passed."""
    consumer.stage.clock.advance(seconds)
    return consumer.fetch()


def until_shown(consumer: Consumer) -> str:
    """Fetch until it is shown what is wrong; return that."""
    until(lambda: not advanced(consumer) and consumer.status.degraded, "it is shown")
    degraded = consumer.status.degraded
    assert degraded is not None
    return degraded.reason


# Waiting


def test_the_others_go_on_and_the_member_stays(
    clients: Clients, held_up: Contents, subscription: Subscription, topic: str
) -> None:
    consumer = clients.consumer(held_up.settings, subscription)
    assert set(consumer.read(20)) == {*numbered(0, 10), *numbered(100, 110)}
    until_shown(consumer)
    for number in range(110, 115):
        held_up.put(topic, [b"%d" % number], partition=1)
        assert consumer.read(1) == [b"%d" % number]
    assert consumer.status.counters["connections"] == 1
    assert consumer.status.counters.get("failed", 0) == 0
    assert consumer.status.counters.get("stalls", 0) == 0


def test_it_is_shown_with_its_place_and_what_is_missing(
    clients: Clients, held_up: Contents, subscription: Subscription, topic: str
) -> None:
    consumer = clients.consumer(held_up.settings, subscription)
    consumer.read(20)
    reason = until_shown(consumer)
    assert reason.startswith(
        f"unreadable: {topic}/0: the zstd batch at offsets 10 to 14 cannot be read: the library for zstd is missing;"
        f" it has waited since 2026-01-01T"
    )
    assert reason.endswith(f"; pip install zstandard, or give it up: skip {topic}/0")


def test_it_is_tried_again_at_growing_pauses(
    clients: Clients, held_up: Contents, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    uncompress = batches.DefaultRecordBatch._assert_has_codec

    def noted(batch: Any, compression_type: int) -> None:
        if compression_type == batch.CODEC_ZSTD:
            tries.append(consumer.stage.clock.monotonic())
        uncompress(batch, compression_type)

    monkeypatch.setattr(batches.DefaultRecordBatch, "_assert_has_codec", noted)
    consumer = clients.consumer(held_up.settings, subscription)
    consumer.read(20)
    for _ in range(100):
        advanced(consumer, 3.0)
    assert 5 <= len(tries) <= 60, "a pause is at most a minute, and at random between nothing and twice the one before"


def test_it_is_read_when_the_library_is_there(
    clients: Clients, held_up: Contents, subscription: Subscription, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = clients.consumer(held_up.settings, subscription)
    consumer.read(20)
    until_shown(consumer)
    monkeypatch.setattr(kafka.codec, "has_zstd", lambda: True)
    monkeypatch.setattr(batches, "zstd_decode", unpacked)
    until(lambda: advanced(consumer, 30.0), "it is tried again")
    assert consumer.status.degraded is None
    held_up.put(topic, [b"20"])
    assert consumer.read_until(b"20")[-1] == b"20"
    assert consumer.status.counters["messages"] == 31


@pytest.mark.parametrize("name", ["lz4", "gzip"])
def test_so_does_one_whose_frame_is_broken(
    clients: Clients,
    broker: Contents,
    subscription: Subscription,
    topic: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker.create(topic, partitions=2)
    broker.put(topic, numbered(0, 3))
    with codec(name, cut, monkeypatch):
        put_in_one_batch(broker, topic, numbered(3, 5), name)
    broker.put(topic, numbered(5, 8))
    consumer = clients.consumer(broker.settings, subscription)
    assert consumer.read(3) == numbered(0, 3)
    reason = until_shown(consumer)
    assert f"{topic}/0: the {name} batch at offsets 3 to 4 cannot be read: " in reason
    assert reason.endswith(f"; to give it up: skip {topic}/0")
    consumer.get(SkipBatch(topic, 0))
    assert consumer.read(3) == numbered(5, 8)
    assert consumer.status.counters["connections"] == 1


def test_one_that_is_tried_again_and_then_gives_nothing_stands_still(
    clients: Clients, held_up: Contents, subscription: Subscription, topic: str
) -> None:
    """After a first failure the batch is not shown, so that nothing else would tell of its partition."""
    consumer = clients.consumer(held_up.settings, subscription)
    assert set(consumer.read(20)) == {*numbered(0, 10), *numbered(100, 110)}
    partition = TopicPartition(topic, 0)
    until(lambda: not consumer.fetch() and agent(consumer)._stuck.waits(partition), "it failed once")
    stop_fetching_for_good(consumer, partition)
    until(lambda: not advanced(consumer) and consumer.status.counters.get("stalls", 0), "it is noticed")
    degraded = consumer.status.degraded
    assert degraded is not None
    assert degraded.reason.startswith(f"stalled: {topic}/0 has stood at offset 10 since ")
    until(lambda: not advanced(consumer) and consumer.status.counters["connections"] == 2, "the group is joined anew")
    assert "zstd batch at offsets 10 to 14" in until_shown(consumer)


# Giving it up


def given_up(consumer: Consumer, topic: str) -> Slice:
    """Have the batch skipped, and return what comes in its place."""
    assert "zstd batch at offsets 10 to 14" in consumer.get(SkipBatch(topic, 0))
    return until(lambda: advanced(consumer), "it is given up")[0]


def test_what_is_skipped_comes_as_the_batch_itself_and_reading_goes_on_behind_it(
    clients: Clients, held_up: Contents, subscription: Subscription, topic: str
) -> None:
    consumer = clients.consumer(held_up.settings, subscription)
    consumer.read(20)
    until_shown(consumer)
    part = given_up(consumer, topic)
    batch = part.unreadable
    assert isinstance(batch, UnreadableBatch)
    assert (part.topic, part.partition, part.position.first, part.position.next) == (topic, 0, 10, 15)
    assert (part.values, list(part.offsets)) == ([], [])
    assert (batch.first, batch.next, batch.codec) == (10, 15, "zstd")
    assert b"14" + ZEROS in batch.raw, "its bytes are kept as they are"
    assert consumer.read(5) == numbered(15, 20)
    assert consumer.status.degraded is None
    consumer.commit(topic, 20)
    assert held_up.committed(subscription.group, topic) == 20


def test_nothing_before_the_batch_is_skipped_by_one_who_has_to_read_again(
    clients: Clients, held_up: Contents, subscription: Subscription, topic: str
) -> None:
    consumer = clients.consumer(held_up.settings, subscription)
    consumer.read(20)
    until_shown(consumer)
    consumer.get(SkipBatch(topic, 0))
    consumer.reader = "reader-2"  # nothing was committed
    values: list[bytes | None] = []

    def all_come() -> bool:
        values.extend(value for part in advanced(consumer) for value in part.values)
        return len(values) >= 25

    until(all_come, "all come")
    assert set(values) == {*numbered(0, 10), *numbered(15, 20), *numbered(100, 110)}


def test_a_partition_that_is_well_cannot_be_skipped(
    clients: Clients, held_up: Contents, subscription: Subscription, topic: str
) -> None:
    consumer = clients.consumer(held_up.settings, subscription)
    consumer.read(20)
    until_shown(consumer)
    error = consumer.fail(SkipBatch(topic, 1))
    assert isinstance(error, Permanent)
    assert error.code == "not_found"
    assert error.remedy == f"stuck are: {topic}/0"


# Who else meets it


def test_whoever_else_reads_it_fails_saying_so_and_lives_on(
    clients: Clients, broker: Contents, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library's own exception, such as a RuntimeError of lz4's, would crash the agent."""
    broker.create(topic, partitions=1)
    with codec("lz4", cut, monkeypatch):
        put_in_one_batch(broker, topic, numbered(0, 3), "lz4")
    spec = ViewSpec({topic: lambda values: ([], len(values))})
    view = clients._keep(Client("view", clients._start(TopicView, "view", broker.settings, spec), clients.stage))
    log = clients._keep(Client("log", clients._start(RedpandaLog, "log", broker.settings), clients.stage))
    answers = [view.ask(Latest(topic)), log.ask(ReadStretch(Stretch(topic, 0, 0, 3))), tail(broker.settings, topic, 5)]
    for answer in answers:
        assert isinstance(answer, Failure)
        assert "the lz4 batch at offsets 0 to 2 cannot be read" in answer.error.message
    assert isinstance(view.ask(Latest(topic)), Failure), "it lives"


def test_a_log_is_read_back_around_a_batch_that_says_it_goes_on_for_ever(
    held_up: Contents, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = TopicPartition(topic, 0)
    describe = fetcher._unreadable
    monkeypatch.setattr(fetcher, "_unreadable", lambda *told: evolve(describe(*told), next=2**40))
    with LogReader(held_up.settings) as reader:
        assert sorted(reader.prints(partition, 0, 12)) == list(range(10))
        assert reader._connected().position(partition) == 12
        assert sorted(reader.prints(partition, 0, 10)) == list(range(10)), "it is read back again"
        assert sorted(reader.prints(partition, 15, 20)) == list(range(15, 20))


def test_a_log_is_known_again_although_some_of_it_cannot_be_read(
    clients: Clients, held_up: Contents, subscription: Subscription, topic: str
) -> None:
    """After a broker's restart what was read is compared with what is there, the batch in its middle left out."""
    consumer = clients.consumer(held_up.settings, subscription)
    consumer.read(20)
    until_shown(consumer)
    given_up(consumer, topic)
    consumer.read(5)
    consumer.ref._actor_weakref()._doubt("the broker restarted", begin_anew=False)  # type: ignore[union-attr]
    held_up.put(topic, [b"20"])
    assert consumer.read_until(b"20") == [b"20"]
    assert clients.incidents() == []
    assert isinstance(consumer.ask(Fetch(consumer.reader)), Success)
