"""Nothing that has work stands still in silence: it is shown since when, and what was lost on its way comes again."""

from __future__ import annotations

from typing import Any

import pytest

from dataplatform.base.agent import Deferred
from dataplatform.base.agent.messages import Reply
from dataplatform.dsl.flow import Deliver, Granted, Outbox
from dataplatform.dsl.flow.batches import Missing, Written
from dataplatform.dsl.flow.source import FeedDue
from dataplatform.dsl.flow.target import WriteDue
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.errors import Transient
from tests.dsl.doubles import Commit, FeedSpec, Read, Write
from tests.dsl.flows import SOURCE, Flow
from tests.dsl.records import prices
from tests.dsl.scripts import Act, Log, Poll, Script, failing

COINS = [f"coin-{number}" for number in range(10)]
OUTAGE = Transient("database", "the server is restarting")


def never(_: Any) -> Any:
    """Answer a request never."""
    return Deferred()


def lose_the_time_limit(flow: Flow, asked: Script, kind: type[object]) -> None:
    """Lose the scheduler's entries that would end the wait for the answer to a request of this kind."""
    flow.until(lambda: any(isinstance(request, kind) for request in asked.asked))
    for _, _, timer in list(flow.stage.scheduler._heap):
        if isinstance(timer.message, Reply):
            timer.cancel()


# Shown


def test_a_route_whose_target_is_down_is_not_running_however_well_its_source_is(flow: Flow) -> None:
    flow.store("table").acts += [failing(OUTAGE)] * 12
    flow.start(Log(coin_ids=COINS), "table")
    began = flow.stage.clock.monotonic()
    flow.in_time(lambda: flow.reason(SOURCE))
    assert 15.0 <= flow.stage.clock.monotonic() - began <= 22.0
    assert flow.status(SOURCE).shown == "degraded"
    assert str(flow.reason(SOURCE)).startswith("stalled: table has settled nothing since 2026-01-01T00:00:0")
    assert "has 4 batches to settle (database: the server is restarting)" in str(flow.reason(SOURCE))
    flow.in_time(lambda: flow.account("table").written == 10)
    flow.in_time(lambda: flow.status(SOURCE).shown == "running")
    assert flow.store("table").coins == COINS


def test_a_target_that_settles_now_and_then_is_none_that_stands_still(flow: Flow) -> None:
    flow.store("table").acts += [failing(OUTAGE), failing(OUTAGE), lambda _: None] * 5
    flow.start(Log(coin_ids=COINS), "table")
    while flow.account("table").written < 10:
        assert flow.reason(SOURCE) is None
        flow.stage.clock.advance(1.0)
        flow.quiet()


# What was lost comes again


@pytest.mark.parametrize("lost", [[Deliver], [Deliver, Deliver], [Deliver] * 4])
def test_a_batch_that_never_reached_its_target_is_sent_again(flow: Flow, lost: list[type[object]]) -> None:
    flow.lose("table", *lost)
    flow.start(Log(coin_ids=COINS), "table")
    flow.in_time(lambda: flow.account("table").written == 10)
    assert sorted(flow.store("table").coins) == COINS, "each once"
    assert flow.status(SOURCE).counters["batches_sent_again"] == len(lost)
    flow.in_time(lambda: flow.status(SOURCE).shown == "running")


def test_credit_comes_back_although_the_answer_was_lost(flow: Flow) -> None:
    flow.lose(SOURCE, *[Written] * 4)
    flow.start(Log(coin_ids=COINS), "table")
    flow.in_time(lambda: flow.account("table").written == 10)
    assert set(flow.store("table").coins) == set(COINS)
    assert flow.account("table").in_flight == 0
    source = flow.source
    assert isinstance(source, Log)
    flow.in_time(lambda: source.committed == 10)


def test_a_write_is_tried_again_although_its_turn_was_lost(flow: Flow) -> None:
    flow.store("table").acts.append(failing(OUTAGE))
    flow.start(Log(coin_ids=COINS), "table")
    flow.timer(WriteDue).cancel()
    flow.in_time(lambda: flow.account("table").written == 10)
    assert flow.store("table").coins == COINS
    assert flow.status("table").counters["lost_attempts"] == 1


def test_a_write_is_made_anew_although_neither_its_answer_nor_the_end_of_the_wait_came(flow: Flow) -> None:
    flow.store("table").acts.append(never)
    flow.start(Log(coin_ids=COINS), "table")
    lose_the_time_limit(flow, flow.store("table"), Write)
    flow.in_time(lambda: flow.account("table").written == 10)
    assert flow.store("table").coins == COINS


@pytest.mark.parametrize("feed", [FeedSpec(greedy=True), FeedSpec(greedy=False)], ids=["greedy", "polling"])
def test_a_feed_is_read_again_although_its_turn_was_lost(flow: Flow, feed: FeedSpec) -> None:
    poll = Poll()
    poll.bring("a")
    flow.start(poll, "table", feeds=[feed])
    flow.written(1)
    flow.timer(FeedDue).cancel()
    poll.bring("b")
    flow.in_time(lambda: flow.account("table").written == 2)
    assert flow.store("table").coins == ["a", "b"]


def test_a_feed_is_read_again_although_neither_its_answer_nor_the_end_of_the_wait_came(flow: Flow) -> None:
    log = Log(coin_ids=COINS)
    log.acts.append(never)
    flow.start(log, "table")
    lose_the_time_limit(flow, log, Read)
    flow.in_time(lambda: flow.account("table").written == 10)
    assert flow.store("table").coins == COINS
    assert flow.status(SOURCE).counters["lost_readings"] == 1


def test_an_answer_that_comes_after_all_counts_for_nothing(flow: Flow) -> None:
    owed: Deferred[Any] = Deferred()
    poll = Poll()
    poll.acts.append(lambda _: owed)  # type: ignore[arg-type,return-value]
    poll.bring("a")
    flow.start(poll, "table")
    lose_the_time_limit(flow, poll, Read)
    flow.in_time(lambda: flow.account("table").written == 1)
    poll.acts.append(lambda request: owed.settle(poll._answer(request)))
    poll.bring("late")
    flow.in_time(lambda: len(poll.asked) > 5)
    assert "late" not in flow.store("table").coins


def at_the_next_commit(log: Log, act: Act) -> None:
    """Have a log answer its next commit by an act, and readings until then as it should."""

    def wait_for_it(request: Any) -> Any:
        if isinstance(request, Commit):
            return act(request)
        log.acts.appendleft(wait_for_it)
        return None

    log.acts.append(wait_for_it)


def test_positions_are_committed_although_neither_an_answer_nor_the_end_of_the_wait_came(flow: Flow) -> None:
    log = Log(coin_ids=COINS[:2])
    at_the_next_commit(log, never)
    flow.start(log, "table")
    lose_the_time_limit(flow, log, Commit)
    flow.in_time(lambda: log.committed == 2)
    assert flow.status(SOURCE).counters["lost_commits"] == 1


# The outbox


def test_only_what_is_still_in_hand_is_sent_again_and_in_order() -> None:
    outbox = Outbox(SOURCE, ("table",), "table")
    outbox.reopen(replayable=True)
    outbox.granted(Granted("table", 1, 3))
    sent = [sending for coin in "abcd" for sending in outbox.offer(PRICES, list(prices(coin)))]
    first, second, third = [sending.deliver.batch.id for sending in sent]
    outbox.settled(Written(first, "table"))
    assert outbox.missing(Missing("table", 2, frozenset({second}))) == [], "of another incarnation"
    again = outbox.missing(Missing("table", 1, frozenset({third, second, first})))
    assert [sending.deliver.batch.id for sending in again][:2] == [second, third]
    (waiting,) = outbox.waiting()
    assert (waiting.batches, waiting.settled) == (3, 1)


def test_what_was_forgotten_meanwhile_gives_its_credit_back_and_is_not_sent() -> None:
    outbox = Outbox(SOURCE, ("table",), "table")
    outbox.granted(Granted("table", 1, 1))
    (sent,) = outbox.offer(PRICES, list(prices("a")))
    outbox.forget()
    assert not outbox.has_credit()
    assert outbox.missing(Missing("table", 1, frozenset({sent.deliver.batch.id}))) == []
    assert outbox.has_credit()
