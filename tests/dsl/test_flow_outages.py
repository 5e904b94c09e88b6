"""The flow in an outage: shown with its reason, waited out for as long as it lasts, and nothing is lost."""

from __future__ import annotations

from dataplatform.dsl.flow.feeds import FeedResult
from dataplatform.dsl.flow.source import FeedDue
from dataplatform.dsl.flow.target import WriteDue
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result
from tests.dsl.doubles import FeedSpec, Read
from tests.dsl.flows import SOURCE, Flow
from tests.dsl.scripts import Log, Poll, failing

COINS = [f"coin-{number}" for number in range(10)]
OUTAGE = Transient("database", "the server is restarting")
NO_RIGHT = Permanent("database", "permission denied for table crypto_prices")


# Outages of a target


def test_a_write_that_fails_is_tried_again_until_it_works_and_the_target_shows_why(flow: Flow) -> None:
    flow.store("table").acts += [failing(OUTAGE)] * 3
    flow.start(Log(coin_ids=COINS), "table")
    for _ in range(3):
        flow.timer(WriteDue)
        status = flow.status("table")
        assert status.shown == "degraded"
        assert status.degraded is not None
        assert status.degraded.reason == "database: the server is restarting"
        assert status.degraded.next_try is not None
        flow.quiet()
        flow.stage.clock.advance(8.0)
    flow.written(10)
    flow.quiet()
    assert flow.store("table").coins == COINS
    assert flow.status("table").shown == "running"
    assert flow.status("table").counters["failed_writes"] == 3
    assert flow.status("table").restarts == 0


def test_a_write_is_not_tried_again_before_the_other_side_wishes(flow: Flow) -> None:
    flow.store("table").acts.append(failing(Transient("busy", "later", retry_after=100.0)))
    flow.start(Log(coin_ids=["a"]), "table")
    flow.quiet()
    assert flow.wait_for(WriteDue) >= 100.0
    flow.written(1)


def test_a_failure_that_is_not_about_the_records_makes_no_dead_letters(flow: Flow) -> None:
    flow.store("table").acts += [failing(NO_RIGHT)] * 2
    flow.start(Log(coin_ids=COINS[:2]), "table", dead_letters="letters")
    flow.wait_for(WriteDue)
    flow.wait_for(WriteDue)
    flow.written(2)
    assert flow.account("table").dead_lettered == 0
    assert flow.store("table").sizes == [2, 2, 2], "such a batch is not halved either"
    assert flow.store("letters").rows == []


def test_a_target_whose_client_gives_no_answer_in_time_tries_again(flow: Flow) -> None:
    stall = flow.stall(flow.store("table"))
    flow.start(Log(coin_ids=COINS[:2]), "table")
    stall.reached()
    flow.quiet("table.client")
    flow.stage.clock.advance(15.0)
    flow.until(lambda: flow.reason("table") == "timeout: table.client gave no answer in 15 s")
    stall.open()
    flow.wait_for(WriteDue)
    flow.written(2)
    flow.quiet()
    assert flow.store("table").coins == COINS[:2] * 2, "at least once: the first write had worked, but said so too late"
    assert flow.account("table").in_flight == 0


# Outages of an input


def test_a_feed_that_fails_is_read_again_and_the_source_shows_why(flow: Flow) -> None:
    source = Poll()
    source.acts += [failing(OUTAGE)] * 3
    source.bring("a")
    flow.start(source, "table")
    for _ in range(3):
        flow.timer(FeedDue)
        assert flow.reason(SOURCE) == "database: the server is restarting"
        flow.stage.clock.advance(60.0)
    flow.written(1)
    assert flow.reason(SOURCE) is None
    assert flow.status(SOURCE).counters["failed_reads"] == 3


def test_a_feed_is_not_read_again_before_the_other_side_wishes(flow: Flow) -> None:
    source = Poll()
    source.acts.append(failing(Transient("rate_limited", "429", retry_after=119.0)))
    source.bring("a")
    flow.start(source, "table")
    assert flow.wait_for(FeedDue) >= 119.0
    flow.written(1)


def test_a_feed_that_fails_for_good_is_read_at_its_next_turn(flow: Flow) -> None:
    source = Poll()
    source.acts.append(failing(Permanent("unauthorized", "check the API key")))
    source.bring("a")
    flow.start(source, "table", feeds=[FeedSpec(every=300.0)])
    assert flow.wait_for(FeedDue) >= 300.0
    flow.written(1)


def test_a_reading_goes_on_where_an_outage_broke_it_off(flow: Flow) -> None:
    source = Poll()
    source.acts += [lambda _: None, failing(Transient("throttled", "used up", retry_after=12.0)), lambda _: None]
    source.acts.append(failing(Transient("throttled", "used up", retry_after=12.0)))
    for coin in "abc":
        source.bring(coin)
    flow.start(source, "table", feeds=[FeedSpec(pages=3, every=100.0, greedy=False)])
    flow.wait_for(FeedDue)
    flow.wait_for(FeedDue)
    flow.written(3)
    assert [request.page for request in source.asked] == [0, 1, 1, 2, 2]
    assert flow.store("table").coins == ["a", "b", "c"]


def test_the_reason_of_an_outage_is_shown_while_tries_are_held_back(flow: Flow) -> None:
    source = Poll()
    source.acts += [failing(Transient("unreachable", "no such host")), failing(Transient("throttled", "used up"))]
    source.bring("a")
    flow.start(source, "table", feeds=[FeedSpec(every=1.0)])
    for _ in range(2):
        flow.wait_for(FeedDue)
        assert flow.reason(SOURCE) == "unreachable: no such host"
        flow.quiet()
    flow.written(1)
    assert flow.reason(SOURCE) is None


def test_a_reading_that_fails_for_good_begins_anew(flow: Flow) -> None:
    source = Poll()
    source.acts += [lambda _: None, failing(Permanent("not_found", "no such page"))]
    for coin in "abc":
        source.bring(coin)
    flow.start(source, "table", feeds=[FeedSpec(pages=2, greedy=False)])
    flow.wait_for(FeedDue)
    flow.written(2)
    assert [request.page for request in source.asked] == [0, 1, 0, 1]


def test_while_one_of_two_feeds_fails_its_reason_stays_on_view(flow: Flow) -> None:
    source = Poll()

    def only_good(request: Read) -> Result[list[FeedResult]] | None:
        return Failure(Transient("server_error", request.feed, retry_after=3.0)) if request.feed != "good" else None

    source.acts.extend([only_good] * 8)
    feeds = [FeedSpec("good", greedy=False), FeedSpec("bad", greedy=False), FeedSpec("worse", greedy=False)]
    flow.start(source, "table", feeds=feeds)
    flow.until(lambda: len(source.asked) == 3)
    flow.wait_for(FeedDue)
    flow.until(lambda: len(source.asked) == 4)
    flow.quiet()
    assert source.asked[3].feed == "good"
    status = flow.status(SOURCE)
    assert status.shown == "degraded"
    assert status.degraded is not None
    assert status.degraded.reason == "server_error: bad"
    assert status.degraded.next_try is not None
    assert (status.degraded.next_try - flow.stage.clock.now()).total_seconds() >= 2.0
    source.acts.clear()
    for _ in range(4):
        flow.wait_for(FeedDue)
    flow.until(lambda: flow.reason(SOURCE) is None)


def test_an_answer_that_comes_too_late_loses_nothing_of_what_it_held(flow: Flow) -> None:
    log = Log(coin_ids=COINS)
    stall = flow.stall(log)
    flow.start(log, "table")
    stall.reached()
    flow.stage.clock.advance(10.0)
    flow.until(lambda: flow.reason(SOURCE) == "timeout: input gave no answer in 10 s")
    stall.open()
    flow.wait_for(FeedDue)
    flow.written(10)
    assert flow.store("table").coins == COINS
    assert log.readers == ["source-1-0", "source-1-1"]
