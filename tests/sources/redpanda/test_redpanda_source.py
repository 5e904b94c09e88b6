"""The Redpanda source: what it asks its consumer, and what it makes of the messages that come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dataplatform.base.agent import Context
from dataplatform.base.streaming import CommitOffsets, Fetch, RedpandaSettings, Slice, as_start
from dataplatform.dsl.flow import Position
from dataplatform.dsl.flow.feeds import FeedResult
from dataplatform.dsl.flow.plan import Plan, transformed
from dataplatform.dsl.flow.source import FeedDue
from dataplatform.dsl.operations.parts import Connection
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import ANALYTICS, DEAD_LETTERS, KINDS, PRICES, Kind
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.sources.redpanda import RedpandaSource, RedpandaSourceOptions
from dataplatform.system.config.checking import Problems, structure
from tests.dsl.doubles import Double
from tests.dsl.flows import INPUT, SOURCE, Flow
from tests.dsl.records import NOON, letter, price, record
from tests.support.agents import Parent, Stage

Make = Callable[..., RedpandaSource]


@pytest.fixture
def make(stage: Stage) -> Make:
    """Return a source that is not started: its hooks are functions."""

    def source(**options: Any) -> RedpandaSource:
        made = RedpandaSourceOptions(client="redpanda", **options)
        return RedpandaSource(Context("topics", stage.runtime, Parent()), made, "topics.consumer")

    return source


def slice_(topic: str, values: Sequence[bytes | None], partition: int = 0, first: int = 0) -> Slice:
    return Slice(position(topic, partition, first, first + len(values)), [None] * len(values), list(values))


def position(topic: str, partition: int, first: int, after: int, of: Sequence[int] | None = None) -> Position:
    """Return what was read of a partition; the offsets `of` its records are all of them, unless told."""
    return Position(topic, partition, first, after, offsets=range(first, after) if of is None else of)


def wire(*records: Record, kind: Kind = PRICES) -> list[bytes]:
    return codec(kind).encode(records)


def feed_results(source: RedpandaSource, *slices: Slice) -> list[FeedResult]:
    plan: Plan[list[FeedResult]] = get_data(source._stream())
    return get_data(transformed(plan, [list(slices)]))


# Requests


def test_a_reading_is_one_fetch_under_the_name_of_this_life(make: Make) -> None:
    source = make(most=7)
    assert get_data(source._stream()).requests == [Fetch("topics-1-0", 7)]
    (feed,) = source._feeds()
    assert feed.greedy


def test_committed_are_the_offsets_after_the_last_records(make: Make) -> None:
    positions = (Position("prices", 0, 0, 5), Position("prices", 3, 7, 9))
    assert make()._commit(positions).requests == [CommitOffsets(positions)]


# Messages


def test_messages_become_records_of_their_topics_kind_with_their_positions(make: Make) -> None:
    (feed_result,) = feed_results(make(), slice_("crypto-prices", wire(price("a"), price("b")), partition=3, first=40))
    assert (feed_result.kind, feed_result.records, feed_result.letters) == (PRICES, [price("a"), price("b")], [])
    assert feed_result.positions == (position("crypto-prices", 3, 40, 42),)


def test_the_partitions_of_a_topic_are_one_result_and_each_kind_is_its_own(make: Make) -> None:
    state = record(ANALYTICS)
    found = feed_results(
        make(),
        slice_("crypto-prices", wire(price("a")), partition=0),
        slice_("crypto-analytics", wire(state, kind=ANALYTICS), first=9),
        slice_("crypto-prices", [*wire(price("b")), b"{"], partition=1, first=5),
    )
    assert [(one.kind.name, one.records) for one in found] == [
        ("prices", [price("a"), price("b")]),
        ("analytics", [state]),
    ]
    assert found[0].positions == (position("crypto-prices", 0, 0, 1), position("crypto-prices", 1, 5, 7, of=[5]))
    assert [one.offset for one in found[0].letters] == [6]
    assert found[1].positions == (position("crypto-analytics", 0, 9, 10),)


def test_a_message_that_is_no_record_becomes_a_letter_with_its_place_and_bytes(make: Make, stage: Stage) -> None:
    values = [*wire(price("a")), b"\xff\x00 no json", None, wire(price("b"))[0].replace(b"77000.0", b"-1")]
    (feed_result,) = feed_results(make(), slice_("crypto-prices", values, partition=2, first=10))
    assert feed_result.records == [price("a")]
    assert feed_result.positions == (position("crypto-prices", 2, 10, 14, of=[10]),)
    assert [(one.stream, one.partition, one.offset, one.raw) for one in feed_result.letters] == [
        ("crypto-prices", 2, 11, b"\xff\x00 no json"),
        ("crypto-prices", 2, 12, b""),
        ("crypto-prices", 2, 13, values[3]),
    ]
    assert [one.error.partition(":")[0] for one in feed_result.letters] == ["malformed", "malformed", "invalid"]
    assert {(one.origin, one.target, one.time) for one in feed_result.letters} == {("topics", "", stage.clock.now())}


def test_a_record_of_an_impossible_time_becomes_a_letter_with_its_place(make: Make) -> None:
    odd = [price("past", last_updated=NOON.replace(year=1970)), price("ahead", last_updated=NOON.replace(year=9999))]
    values = [b"{", *wire(odd[0], price("a"), odd[1], price("b"))]
    (feed_result,) = feed_results(make(), slice_("crypto-prices", values, partition=2, first=10))
    assert feed_result.records == [price("a"), price("b")]
    assert feed_result.positions == (position("crypto-prices", 2, 10, 15, of=[12, 14]),)
    assert [(one.offset, one.raw, one.error.partition(":")[0]) for one in feed_result.letters] == [
        (10, values[0], "malformed"),
        (11, values[1], "invalid"),
        (13, values[3], "invalid"),
    ]
    assert "last_updated: expected a time from 2008 to a day from now, got 9999-" in feed_result.letters[2].error


def test_a_slice_of_nothing_but_bad_messages_keeps_its_position(make: Make) -> None:
    (feed_result,) = feed_results(make(), slice_("crypto-prices", [b"", b"{"], first=3))
    assert (feed_result.records, len(feed_result.letters)) == ([], 2)
    assert feed_result.positions == (position("crypto-prices", 0, 3, 5, of=[]),)


def test_nothing_that_came_is_no_result(make: Make) -> None:
    assert feed_results(make()) == []


def test_dead_letters_can_be_read_as_records(make: Make) -> None:
    source = make(topics={"dead_letters": "lost"})
    (feed_result,) = feed_results(source, slice_("lost", wire(letter("1"), kind=DEAD_LETTERS)))
    assert (feed_result.kind, feed_result.records) == (DEAD_LETTERS, [letter("1")])


# At work


def test_an_answer_that_came_too_late_is_fetched_again_from_the_committed_offset(flow: Flow) -> None:
    fetched: list[str] = []
    late = flow.stall(flow.store("unused"))
    flow.stores.clear()

    def consumer(request: Fetch | CommitOffsets) -> Result[Any]:
        if isinstance(request, CommitOffsets):
            return Success(None)
        fetched.append(request.reader)
        if len(fetched) == 1:
            late(request)
        new = len(set(fetched)) == len(fetched)
        return Success([slice_("crypto-prices", wire(price("a"), price("b")))] if new else [])

    flow.run(
        Double.child(INPUT, consumer),
        lambda outbox: RedpandaSource.child(SOURCE, RedpandaSourceOptions(client=INPUT), INPUT, outbox, stage=2),
        "table",
    )
    late.reached()
    flow.stage.clock.advance(20.0)
    flow.until(lambda: flow.reason(SOURCE) == "timeout: input gave no answer in 20 s")
    late.open()
    flow.wait_for(FeedDue)
    flow.until(lambda: flow.account("table").written == 2)
    assert flow.store("table").coins == ["a", "b"]
    assert fetched[:2] == ["source-1-0", "source-1-1"]


def test_a_broker_that_is_away_is_waited_for(flow: Flow) -> None:
    answers: list[Result[Any]] = [Failure(Transient("broker", "no broker answers"))] * 2
    answers.append(Success([slice_("crypto-prices", wire(price("a")))]))

    def consumer(request: Fetch | CommitOffsets) -> Result[Any]:
        if isinstance(request, CommitOffsets):
            return Success(None)
        return answers.pop(0) if answers else Success([])

    flow.run(
        Double.child(INPUT, consumer),
        lambda outbox: RedpandaSource.child(SOURCE, RedpandaSourceOptions(client=INPUT), INPUT, outbox, stage=2),
        "table",
    )
    for _ in range(2):
        flow.until(lambda: flow.reason(SOURCE) == "broker: no broker answers")
        flow.quiet()
        flow.wait_for(FeedDue)
    flow.until(lambda: flow.account("table").written == 1)
    flow.until(lambda: flow.reason(SOURCE) is None)


# Options


def test_prices_and_analytics_are_read_by_default() -> None:
    options = RedpandaSourceOptions(client="redpanda")
    assert options.topics == {"prices": "crypto-prices", "analytics": "crypto-analytics"}
    assert (options.group, options.start, options.instance_id) == ("dataplatform", "earliest", None)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"topics": {}}, "topics"),
        ({"topics": {"tulips": "crypto-tulips"}}, "'tulips' is no kind of record; there are prices, ohlcv"),
        ({"topics": {"prices": "two words"}}, "no name of a topic"),
        ({"topics": {"prices": ".."}}, "no name of a topic"),
        ({"topics": {"prices": ""}}, "no name of a topic"),
        ({"topics": {"prices": "x" * 250}}, "no name of a topic"),
        ({"topics": {"prices": 7}}, "no name of a topic"),
        ({"topics": {"prices": "one", "ohlcv": "one"}}, "'one' would hold two"),
        ({"topics": {"prices": "crypto-ohlcv"}}, "'crypto-ohlcv' would hold two"),
        ({"group": ""}, "group"),
        ({"start": "yesterday"}, "start: expected a start: 'earliest', 'latest'"),
        ({"start": "2026-01-01T00:00:00"}, "time zone, such as '2026-01-01T00:00:00Z'"),
        ({"start": {"crypto-prices": 5}}, "start: expected a topic and partition"),
        ({"view_from": -1}, "view_from: expected an offset"),
        ({"view_most": 0}, "view_most"),
        ({"session_timeout": 5.0}, "session_timeout"),
        ({"session_timeout": 301.0}, "session_timeout"),
        ({"most": 0}, "most"),
        ({"most": 100_001}, "most"),
        ({"partitions": 0}, "partitions"),
        ({"partitions": 1_001}, "partitions"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        RedpandaSourceOptions(client="redpanda", **options)


@pytest.mark.parametrize(
    "start", ["latest", "-6h", "2026-01-01T00:00:00Z", 1_500, "1500", {"crypto-prices/0": 1_500, "crypto-prices/1": 7}]
)
def test_a_file_may_say_where_reading_begins(start: Any) -> None:
    problems: Problems = []
    made = structure(RedpandaSourceOptions, {"client": "redpanda", "start": start, "view_from": start}, (), problems)
    assert problems == []
    assert as_start(made.start) == as_start(made.view_from) == as_start(start)


def test_every_kind_can_be_read() -> None:
    topics = {kind.name: kind.topic for kind in KINDS}
    assert RedpandaSourceOptions(client="redpanda", topics=topics).topics == topics


@pytest.mark.parametrize("light", [True, False])
def test_a_source_brings_along_a_consumer_of_its_own_and_a_view(light: bool) -> None:  # noqa: FBT001
    connection = Connection("redpanda", "redpanda", RedpandaSettings(["127.0.0.1:1"], light=light), ())
    part = RedpandaSource.part("topics", RedpandaSourceOptions(client="redpanda"), connection, None)
    assert [(spec.name, spec.kind) for spec in part.specs] == [("topics.consumer", "client"), ("topics", "source")]
    assert [(spec.name, spec.kind) for spec in part.apart] == [("topics.view", "client")]
    assert part.client == "topics.consumer"
