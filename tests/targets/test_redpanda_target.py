"""The Redpanda target: which messages it makes of records, and for which topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataplatform.base.agent import Context
from dataplatform.base.streaming import Produced, TopicSpec
from dataplatform.dsl.flow import Rejection
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import DEAD_LETTERS, KINDS, LEVEL1, PRICES, Kind
from dataplatform.errors import Permanent
from dataplatform.targets.redpanda import RedpandaTarget, RedpandaTargetOptions
from tests.dsl.records import letter, prices, record
from tests.support.agents import Parent, Stage

Make = Callable[..., RedpandaTarget]
MIB = 1024 * 1024


@pytest.fixture
def make(stage: Stage) -> Make:
    """Return a target that is not started: its hooks are functions."""

    def target(**options: Any) -> RedpandaTarget:
        made = RedpandaTargetOptions(client="redpanda", **options)
        return RedpandaTarget(Context("stream", stage.runtime, Parent()), made, "redpanda.producer")

    return target


by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@by_kind
def test_records_become_messages_in_order_with_their_keys(make: Make, kind: Kind) -> None:
    records = [record(kind), record(kind, **{kind.message_key: "other"})]
    request = make()._request(kind, records)
    assert request.topic.name == kind.topic
    assert request.keys == kind.keys(records)
    assert request.keys[1] == b"other"
    assert [codec(kind).decode(value) for value in request.values] == records


def test_a_request_can_be_made_of_nothing(make: Make) -> None:
    request = make()._request(PRICES, [])
    assert (request.keys, request.values) == ([], [])


def test_each_coins_messages_have_the_same_key(make: Make) -> None:
    assert make()._request(PRICES, prices("a", "b", "a")).keys == [b"a", b"b", b"a"]


def test_what_the_producer_refused_is_rejected_by_its_index(make: Make) -> None:
    error = Permanent("rejected", "crypto-prices: MessageSizeTooLargeError")
    assert make()._rejections(Produced("crypto-prices", ((3, error),))) == [Rejection(3, error)]
    assert make()._rejections(Produced("crypto-prices")) == []


def test_a_topic_is_made_with_the_options_settings() -> None:
    options = RedpandaTargetOptions(client="r", topics={"prices": "my.prices"}, partitions=8, retention=3600.0)
    assert options.topic(PRICES) == TopicSpec("my.prices", 8, retention=3600.0)
    assert options.topic(LEVEL1) == TopicSpec("crypto-level1", 8, retention=3600.0)


def test_dead_letters_have_a_topic_that_keeps_them_long_and_takes_long_ones() -> None:
    spec = RedpandaTargetOptions(client="r", partitions=8, retention=60.0).topic(DEAD_LETTERS)
    assert (spec.name, spec.partitions, spec.retention) == ("crypto-dead-letters", 1, 30 * 86400.0)
    longest = letter(raw=b"\xff" * 4 * MIB, error="x" * 2_000)
    assert len(codec(DEAD_LETTERS).encode([longest])[0]) < spec.max_message_bytes


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"topics": {"tulips": "crypto-tulips"}}, "'tulips' is no kind of record"),
        ({"topics": {"prices": "two words"}}, "no name of a topic"),
        ({"topics": {"prices": "one", "ohlcv": "one"}}, "'one' would hold two"),
        ({"topics": {"prices": "crypto-dead-letters"}}, "'crypto-dead-letters' would hold two"),
        ({"partitions": 0}, "partitions"),
        ({"retention": 0.0}, "retention"),
        ({"credit": 0}, "credit"),
        ({"credit": 1_001}, "credit"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        RedpandaTargetOptions(client="redpanda", **options)
