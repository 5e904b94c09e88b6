"""A partition that has messages is read, whatever its consumer was at; one that stands still is shown and mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from kafka import TopicPartition

from dataplatform.base.streaming import Fetch, GetAssignment, Slice, Subscription, TopicSpec
from dataplatform.base.streaming.stuck import Progress
from dataplatform.result import Result, Success
from tests.base.streaming.broker import Contents
from tests.base.streaming.clients import Clients, Consumer, agent, stop_fetching_for_good
from tests.support.waiting import until

PARTITIONS, EACH = 4, 200


def values(partition: int, first: int = 0, end: int = EACH) -> list[bytes]:
    return [b"%d/%d" % (partition, number) for number in range(first, end)]


def filled(broker: Contents, topic: str) -> Subscription:
    """Make a topic with messages in each partition, and return how a member of a group reads it."""
    broker.create(topic, PARTITIONS)
    for partition in range(PARTITIONS):
        broker.put(topic, values(partition), partition)
    return Subscription((TopicSpec(topic, PARTITIONS),), f"group-{topic}", session_timeout=6.0)


class Reading:
    """What was read of each partition, over all the readings of one consumer."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.read: Counter[bytes | None] = Counter()

    def fetch(self, most: int = 500, seconds: float = 0.0) -> list[Slice]:
        """Fetch once, after some time of the consumer's clock has passed."""
        self.consumer.stage.clock.advance(seconds)
        (slices,) = fetch_at_once([self], most)
        return slices

    def has(self, wanted: Iterable[bytes], seconds: float = 0.0) -> Callable[[], bool]:
        """Return what tells, after another fetch, whether all these values were read."""
        wanted = set(wanted)

        def found() -> bool:
            self.fetch(seconds=seconds)
            return wanted <= set(self.read)

        return found


def fetch_at_once(readings: Sequence[Reading], most: int = 500) -> list[list[Slice]]:
    """Have each fetch once, all at the same time: a group goes on only with all of its members."""
    futures = [one.consumer.ref.ask(Fetch(one.consumer.reader, most), block=False) for one in readings]
    answers: list[list[Slice]] = []
    for reading, future in zip(readings, futures, strict=True):
        answer: Result[list[Slice]] = future.get(timeout=60)
        answers.append(answer.data if isinstance(answer, Success) else [])
        for part in answers[-1]:
            reading.read.update(part.values)
    return answers


def everything() -> list[bytes]:
    return [value for partition in range(PARTITIONS) for value in values(partition)]


def stalls(reading: Reading) -> int:
    return reading.consumer.status.counters.get("stalls", 0)


def has_all(reading: Reading) -> bool:
    return len(reading.consumer.get(GetAssignment())) == PARTITIONS


def test_what_was_in_hand_when_a_rebalance_came_to_one_who_was_left_alone_is_read_after_all(
    clients: Clients, either: Contents, topic: str
) -> None:
    """kafka-python would park it, fetch of the partitions that are added, and give back what was parked never again."""
    subscription = filled(either, topic)
    first = Reading(clients.consumer(either.settings, subscription, "first"))
    other = Reading(clients.consumer(either.settings, subscription, "other"))
    until(lambda: all(fetch_at_once([first, other], most=5)), "both take part, with messages in hand")
    other.consumer.stop()

    def left_alone() -> bool:
        first.consumer.stage.clock.advance(1.5)  # the time of a `KeepAlive`
        return has_all(first)

    until(left_alone, "it has all partitions")
    until(first.has(everything()), "all is read")
    assert stalls(first) == 0


def test_one_who_is_left_alone_again_and_again_reads_all_and_nothing_twice(
    clients: Clients, either: Contents, topic: str
) -> None:
    reading = Reading(clients.consumer(either.settings, filled(either, topic)))
    until(lambda: reading.fetch(most=5), "something is read")
    while reading.read.total() < PARTITIONS * EACH:
        reading.consumer.stage.clock.advance(1.5)
        until(lambda: reading.fetch(most=7), "there is more")
    assert reading.read == Counter(everything())


# Standing still


def stop_fetching(consumer: Consumer, partition: TopicPartition) -> None:
    """Have kafka-python fetch the partition no more."""
    client: Any = agent(consumer)._consumer
    client.pause(partition)


@pytest.mark.parametrize(("plant", "connections"), [(stop_fetching, 1), (stop_fetching_for_good, 2)])
def test_a_partition_that_stands_still_is_shown_and_mended(
    clients: Clients, either: Contents, topic: str, plant: Callable[[Consumer, TopicPartition], None], connections: int
) -> None:
    reading = Reading(clients.consumer(either.settings, filled(either, topic)))
    until(reading.has(everything()), "all is read")
    plant(reading.consumer, TopicPartition(topic, 2))
    for partition in range(PARTITIONS):
        either.put(topic, values(partition, EACH, EACH + 50), partition)
    healthy = [value for partition in (0, 1, 3) for value in values(partition, EACH, EACH + 50)]
    until(reading.has(healthy), "the others are read")

    since = reading.consumer.stage.clock.now()
    until(lambda: reading.fetch(seconds=0.5) or stalls(reading), "it is noticed")
    waited = (reading.consumer.stage.clock.now() - since).total_seconds()
    degraded = reading.consumer.status.degraded
    assert 14.0 <= waited <= 21.0
    assert degraded is not None
    assert degraded.reason.startswith(f"stalled: {topic}/2 has stood at offset {EACH} since 2026-01-01T")
    assert f"{50} before its end" in degraded.reason

    until(reading.has(values(2, EACH, EACH + 50), seconds=0.5), "it is mended")
    reading.fetch(seconds=2.0)
    assert reading.consumer.status.degraded is None
    assert reading.consumer.status.counters["connections"] == connections
    if connections == 1:
        assert reading.read == Counter(everything() + healthy + values(2, EACH, EACH + 50)), "nothing came twice"


def test_a_partition_that_nobody_asks_for_messages_does_not_stand_still(
    clients: Clients, broker: Contents, topic: str
) -> None:
    reading = Reading(clients.consumer(broker.settings, filled(broker, topic)))
    until(lambda: reading.fetch(most=5), "something is read")
    for _ in range(5):
        reading.fetch(most=1, seconds=60.0)
    assert stalls(reading) == 0
    assert reading.consumer.status.degraded is None


def test_a_partition_that_was_read_to_its_end_does_not_stand_still(
    clients: Clients, broker: Contents, topic: str
) -> None:
    reading = Reading(clients.consumer(broker.settings, filled(broker, topic)))
    until(reading.has(everything()), "all is read")
    for _ in range(60):
        reading.fetch(seconds=1.0)
    assert stalls(reading) == 0


# The watch


PLACE, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)


def test_only_the_time_counts_in_which_messages_were_asked_for(clients: Clients) -> None:
    now = clients.stage.clock.now()
    watch = Progress(stall_after=15.0)
    watch.look(now, {PLACE: 5}, {PLACE: 9})
    watch.ask(14.9)
    assert watch.look(now, {PLACE: 5}, {PLACE: 9}) == []
    watch.ask(0.1)
    (stall,) = watch.look(now, {PLACE: 5}, {PLACE: 12})
    assert (stall.offset, stall.end, stall.attempts) == (5, 12, 0)


def test_attempts_to_mend_come_at_growing_pauses_until_it_moves(clients: Clients) -> None:
    now = clients.stage.clock.now()
    watch = Progress(stall_after=1.0)
    attempts = []
    for second in range(60):
        attempts += [(second, stall.attempts) for stall in watch.look(now, {PLACE: 5}, {PLACE: 9})]
        watch.ask(1.0)
    assert attempts == [(1, 0), (3, 1), (7, 2), (15, 3), (31, 4), (51, 5)]
    assert len(watch.stalls) == 1
    watch.look(now, {PLACE: 6}, {PLACE: 9})
    assert len(watch.stalls) == 0


def test_a_partition_that_another_member_has_now_is_forgotten(clients: Clients) -> None:
    now = clients.stage.clock.now()
    watch = Progress(stall_after=1.0)
    watch.look(now, {PLACE: 5, OTHER: 0}, {PLACE: 9, OTHER: 3})
    watch.ask(1.0)
    assert len(watch.look(now, {PLACE: 5, OTHER: 0}, {PLACE: 9, OTHER: 3})) == 2
    watch.look(now, {OTHER: 0}, {OTHER: 3})
    assert [stall.partition for stall in watch.stalls] == [OTHER]
