"""A feed at work: when it is tried again, and what it keeps of a reading that was broken off."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import evolve

from dataplatform.base.agent import Agent, Directory, ManualClock
from dataplatform.dsl.flow.feeds import Feed, FeedResult, FeedState
from dataplatform.dsl.flow.plan import Plan, PlanRun, transformed
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Success, get_data
from tests.dsl.records import price

OUTAGE = Transient("server_error", "500")
PLAN: Plan[list[FeedResult]] = Plan(Directory(ManualClock().monotonic).address("client"), [], lambda _: [])


def state(every: float = 60.0) -> FeedState:
    return FeedState(Feed("feed", lambda: Success(PLAN), every))


def test_failures_in_a_row_are_counted_until_one_reading_succeeds() -> None:
    feed = state()
    for _ in range(3):
        feed.failed(OUTAGE)
    assert (feed.backoff.failures, feed.failing, feed.reading) == (3, OUTAGE, False)
    feed.succeeded()
    assert (feed.backoff.failures, feed.failing, feed.reading) == (0, None, False)


def test_an_outage_is_tried_again_within_a_minute_or_when_the_other_side_wishes() -> None:
    feed = state(every=3600.0)
    assert max(feed.failed(OUTAGE) for _ in range(30)) <= 60.0
    assert feed.failed(Transient("rate_limited", "429", retry_after=119.0)) >= 119.0


def test_what_fails_for_good_is_not_tried_before_the_next_turn() -> None:
    assert state(every=3600.0).failed(Permanent("unauthorized", "401")) == 3600.0


def reading(feed: FeedState, *answers: str) -> FeedState:
    """Put a feed in the middle of a reading."""
    feed.run = PlanRun(cast("Agent", None), PLAN)  # which it asks nothing of
    feed.run.answers.extend(answers)
    return feed


def test_an_outage_between_two_requests_keeps_what_was_answered() -> None:
    feed = reading(state(), "page 1")
    feed.failed(OUTAGE)
    assert feed.run is not None
    assert feed.run.answers == ["page 1"]


@pytest.mark.parametrize(
    ("answers", "error"), [((), OUTAGE), (("page 1",), Permanent("not_found", "404"))], ids=["no answer", "for good"]
)
def test_else_a_reading_begins_anew(answers: tuple[str, ...], error: PlatformError) -> None:
    feed = reading(state(), *answers)
    feed.failed(error)
    assert feed.run is None


def test_a_polled_operation_keeps_its_notes_and_its_failures() -> None:
    row = price("bitcoin")
    noted: Plan[Any] = Plan(PLAN.client, [], lambda _: Success([row], ("a row was left out",)))
    feed_results = transformed(get_data(Feed.polling("prices", PRICES, lambda: Success(noted), 60.0).plan()), [])
    assert feed_results == Success([FeedResult(PRICES, [row])])
    assert isinstance(feed_results, Success)
    assert feed_results.notes == ("a row was left out",)

    def refuse(_: list[object]) -> list[FeedResult]:
        raise OUTAGE

    refused = evolve(PLAN, transform=refuse)
    plan = get_data(Feed.polling("prices", PRICES, lambda: Success(refused), 60.0).plan())
    assert transformed(plan, []) == Failure(OUTAGE)


def test_a_reading_that_succeeded_is_over() -> None:
    feed = reading(state())
    feed.succeeded()
    assert feed.run is None
