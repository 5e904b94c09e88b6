"""Polls: what of a reading is new."""

from __future__ import annotations

from datetime import timedelta

from dataplatform.dsl.flow.feeds import Seen
from dataplatform.dsl.records.kinds import ANALYTICS, PRICES
from tests.dsl.records import NOON, price, record


def test_what_has_not_changed_since_the_last_poll_is_not_new() -> None:
    seen, later = Seen(), NOON + timedelta(minutes=1)
    assert seen.new(PRICES, [price("a"), price("b")]) == [price("a"), price("b")]
    assert seen.new(PRICES, [price("a"), price("b", last_updated=later), price("c")]) == [
        price("b", last_updated=later),
        price("c"),
    ]
    assert seen.new(PRICES, [price("b", last_updated=later)]) == []


def test_kinds_are_seen_apart() -> None:
    seen = Seen()
    assert seen.new(PRICES, [price("aggregate")]) == [price("aggregate")]
    assert seen.new(ANALYTICS, [record(ANALYTICS, exchange_id="aggregate")]) != []
    assert seen.new(ANALYTICS, [record(ANALYTICS, exchange_id="aggregate")]) == []
