"""The flow between real agents: batches in order, bounded by credit, committed when every target has written them."""

from __future__ import annotations

import pytest
from attrs import evolve

from dataplatform.base.agent import State
from dataplatform.dsl.flow import Batch, Deliver, Position
from dataplatform.dsl.flow.feeds import FeedResult
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.flow.source import CommitDue, FeedDue, Pause, Resume
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success, get_data
from tests.dsl.doubles import BareSource, Bomb, Commit, Double, FeedSpec, Read
from tests.dsl.flows import INPUT, SOURCE, Flow, drain, drained
from tests.dsl.records import letter, prices
from tests.dsl.scripts import Log, Poll, Stall, failing
from tests.support.agents import DEADLINE

COINS = [f"coin-{number}" for number in range(10)]
OUTAGE = Transient("broker", "no broker answers")


def reads(flow: Flow) -> int:
    return sum(isinstance(request, Read) for request in flow.source.asked)


def poll(*batches: str) -> Poll:
    """Return an API that brings these batches, each written as the ids of its coins."""
    source = Poll()
    for batch in batches:
        source.bring(*batch.split())
    return source


# Batches


def test_what_is_read_is_written_in_order(flow: Flow) -> None:
    flow.start(Log(coin_ids=COINS), "table")
    flow.until(lambda: flow.account("table").written == 10)
    assert flow.store("table").coins == COINS
    assert flow.store("table").sizes == [2] * 5


def test_every_target_of_a_route_gets_every_batch(flow: Flow) -> None:
    flow.start(Log(coin_ids=COINS), "table", "topic")
    flow.until(lambda: flow.account("table").written == flow.account("topic").written == 10)
    assert flow.store("table").coins == flow.store("topic").coins == COINS


def test_an_account_balances_and_nothing_is_in_flight_at_the_end(flow: Flow) -> None:
    flow.start(Log(coin_ids=COINS), "table")
    flow.until(lambda: flow.account("table").written == 10)
    account = flow.account("table")
    assert (account.read, account.dead_lettered, account.in_flight, account.batches_in_flight) == (10, 0, 0, 0)
    assert flow.status(SOURCE).counters["records"] == 10
    assert flow.status("table").counters["records"] == 10
    assert flow.status("table").counters["batches"] == 5


def test_input_that_is_no_record_goes_to_the_dead_letters_and_counts(flow: Flow) -> None:
    source = Poll()
    source.feed_results.append([FeedResult(PRICES, prices("a"), letters=[letter("1"), letter("2")])])
    source.feed_results.append([FeedResult(PRICES, [], letters=[letter("3")])])
    flow.start(source, "table", dead_letters="letters")
    flow.until(lambda: flow.account("table").in_flight == 0 and flow.account("table").read == 4)
    assert [one.id for one in flow.store("letters").letters] == ["1", "2", "3"]
    assert flow.store("table").coins == ["a"]
    account = flow.account("table")
    assert (account.written, account.dead_lettered) == (1, 3)


def test_a_batch_for_an_earlier_incarnation_is_ignored(flow: Flow) -> None:
    flow.start(Poll(), "table")
    stale = Deliver(Batch("source-0-1", PRICES, prices("stale")), SOURCE, 0)
    flow.stage.runtime.directory.address("table").tell(stale)
    flow.quiet()
    assert flow.store("table").rows == []
    assert flow.account("table").written == 0


# Polling


def test_a_feed_is_read_again_after_its_time(flow: Flow) -> None:
    flow.start(poll("a", "b"), "table", feeds=[FeedSpec(every=60.0, greedy=False)])
    flow.until(lambda: flow.account("table").written == 1)
    flow.quiet()
    assert reads(flow) == 1
    assert flow.wait_for(FeedDue) == 60.0
    flow.until(lambda: flow.account("table").written == 2)
    assert reads(flow) == 2


def test_a_greedy_feed_is_read_at_once_until_it_brings_nothing(flow: Flow) -> None:
    flow.start(poll("a", "b", "c"), "table", feeds=[FeedSpec(every=0.5)])
    flow.until(lambda: reads(flow) == 4)
    flow.quiet()
    assert reads(flow) == 4
    assert flow.wait_for(FeedDue) == 0.5
    flow.until(lambda: reads(flow) == 5)


def test_the_pages_of_a_reading_are_asked_for_one_after_the_other(flow: Flow) -> None:
    flow.start(poll("a", "b", "c"), "table", feeds=[FeedSpec(pages=3, greedy=False)])
    flow.until(lambda: flow.account("table").written == 3)
    assert [request.page for request in flow.source.asked] == [0, 1, 2]
    assert flow.store("table").coins == ["a", "b", "c"]


def test_a_page_that_is_absent_is_passed_over_where_the_plan_says_so(flow: Flow) -> None:
    source = poll("a", "b")
    source.acts.append(failing(Permanent("not_found", "no such page")))
    flow.start(source, "table", feeds=[FeedSpec(pages=3, greedy=False, absent=frozenset({"not_found"}))])
    flow.written(2)
    assert flow.reason(SOURCE) is None


# Credit


@pytest.mark.parametrize("credit", [1, 3])
def test_a_stalled_target_stops_the_reading_at_its_credit(flow: Flow, credit: int) -> None:
    stall = flow.stall(flow.store("table"))
    flow.start(Log(coin_ids=COINS), "table", credit=credit)
    stall.reached()
    flow.until(lambda: flow.account("table").batches_in_flight == credit)
    flow.quiet("table.client")
    assert reads(flow) == credit
    assert flow.account("table").in_flight == 2 * credit
    stall.open()
    flow.until(lambda: flow.account("table").written == 10)
    assert flow.store("table").coins == COINS


def test_the_slowest_target_bounds_the_reading_for_all(flow: Flow) -> None:
    stall = flow.stall(flow.store("slow"))
    flow.start(Log(coin_ids=COINS), "fast", "slow", credit=2)
    stall.reached()
    flow.until(lambda: flow.account("fast").written == 4)
    flow.quiet("slow.client")
    assert reads(flow) == 2
    assert flow.account("slow").in_flight == 4
    stall.open()
    flow.until(lambda: flow.account("slow").written == 10)


def test_a_stalled_dead_letter_target_stops_the_reading_too(flow: Flow) -> None:
    stall = flow.stall(flow.store("letters"))
    source = Poll()
    for number in "123":
        source.feed_results.append([FeedResult(PRICES, prices(number), letters=[letter(number)])])
    flow.start(source, "table", dead_letters="letters", credit=1)
    stall.reached()
    flow.until(lambda: flow.account("table").written == 1)
    flow.quiet("letters.client")
    assert reads(flow) == 1
    stall.open()
    flow.until(lambda: flow.account("table").dead_lettered == flow.account("table").written == 3)
    assert flow.store("table").coins == ["1", "2", "3"]


def test_feeds_that_read_at_the_same_time_share_the_credit(flow: Flow) -> None:
    stall = flow.stall(flow.store("table"))
    feeds = [FeedSpec(f"feed-{number}") for number in range(5)]
    flow.start(poll(*COINS), "table", feeds=feeds, credit=1)
    stall.reached()
    flow.until(lambda: reads(flow) == 5)
    flow.quiet("table.client")
    assert flow.status("table").counters["delivered"] == 1
    assert reads(flow) == 5
    stall.open()
    flow.until(lambda: flow.account("table").written == 10)
    assert sorted(flow.store("table").coins) == COINS


# Positions


def test_positions_are_committed_when_every_target_has_written(flow: Flow) -> None:
    log = Log(coin_ids=COINS[:4])
    stall = flow.stall(flow.store("slow"))
    flow.start(log, "fast", "slow")
    stall.reached()
    flow.until(lambda: flow.account("fast").written == 4)
    flow.quiet("slow.client")
    assert log.commits == []
    stall.open()
    flow.until(lambda: log.committed == 4)
    assert log.commits == sorted(log.commits)


def test_positions_wait_for_the_dead_letters_of_their_records(flow: Flow) -> None:
    log = Log(coin_ids=["a", "b"])
    flow.store("table").poison.add("b")
    stall = flow.stall(flow.store("letters"))
    flow.start(log, "table", dead_letters="letters")
    stall.reached()
    flow.quiet("letters.client")
    assert flow.store("table").coins == ["a"]
    assert log.commits == []
    stall.open()
    flow.until(lambda: log.committed == 2)


def test_a_commit_that_fails_is_tried_again_and_stops_nothing(flow: Flow) -> None:
    log = Log(coin_ids=COINS[:2])
    flow.start(log, "table")
    flow.until(lambda: log.committed == 2)
    flow.quiet()
    fail_commits(log, 2)
    log.coin_ids += COINS[2:4]
    flow.wait_for(FeedDue)
    flow.wait_for(CommitDue)
    assert flow.account("table").written == 4
    assert log.committed == 2
    log.coin_ids += COINS[4:]
    flow.wait_for(FeedDue)
    flow.until(lambda: flow.account("table").written == 10)
    flow.wait_for(CommitDue)
    flow.until(lambda: log.committed == 10)
    assert flow.store("table").coins == COINS
    assert flow.reason(SOURCE) is None


def test_one_commit_is_under_way_at_a_time_and_the_next_is_of_all_that_settled_meanwhile(flow: Flow) -> None:
    log, writing, commit = Log(coin_ids=COINS[:6]), flow.stall(flow.store("table")), Stall()
    log.acts.extend([lambda request: commit(request) if isinstance(request, Commit) else None] * 6)
    flow.start(log, "table")
    flow.until(lambda: reads(flow) == 4)
    flow.quiet("table.client")
    writing.open()
    commit.reached()
    flow.until(lambda: flow.account("table").written == 6)
    commit.open()
    flow.until(lambda: log.committed == 6)
    assert log.commits == [2, 6]


def test_a_drain_waits_no_longer_for_a_reading_that_failed(flow: Flow) -> None:
    source = Poll()
    stall = flow.stall(source)
    flow.start(source, "table")
    stall.reached()
    drain(flow)
    flow.until(lambda: flow.status(SOURCE).state is State.DRAINING)
    flow.stage.clock.advance(10.0)  # the reading's time is over, the drain's is not
    flow.until(lambda: flow.status(SOURCE).state is State.STOPPED)
    stall.open()
    drained(flow)


def fail_commits(log: Log, times: int) -> None:
    """Have the next commits fail, whatever is read in between."""

    def act(request: object) -> Failure | None:
        nonlocal times
        if isinstance(request, Commit) and times:
            times -= 1
            return Failure(OUTAGE)
        return None

    log.acts.extend([act] * 50)


# Drain


def test_a_drain_finishes_what_is_in_flight_and_reads_no_more(flow: Flow) -> None:
    log = Log(coin_ids=COINS)
    stall = flow.stall(flow.store("table"))
    flow.start(log, "table", credit=2)
    stall.reached()
    flow.until(lambda: flow.account("table").batches_in_flight == 2)
    drain(flow)
    flow.until(lambda: flow.status(SOURCE).state is State.DRAINING)
    stall.open()
    drained(flow)
    assert flow.store("table").coins == COINS[:4]
    assert log.committed == 4
    assert flow.account("table").in_flight == 0
    assert flow.incidents == []


def test_a_drain_takes_in_what_is_being_read(flow: Flow) -> None:
    log = Log(coin_ids=COINS[:2])
    stall = flow.stall(log)
    flow.start(log, "table")
    stall.reached()
    drain(flow)
    flow.until(lambda: flow.status(SOURCE).state is State.DRAINING)
    stall.open()
    drained(flow)
    assert flow.store("table").coins == COINS[:2]
    assert log.committed == 2


def test_a_drain_waits_for_a_commit_that_has_to_be_tried_again(flow: Flow) -> None:
    log = Log(coin_ids=COINS[:2])
    log.acts.append(lambda _: None)
    fail_commits(log, 1)
    flow.start(log, "table")
    timer = flow.timer(CommitDue)
    drain(flow)
    flow.until(lambda: flow.status(SOURCE).state is State.DRAINING)
    flow.stage.pass_timer(timer)
    drained(flow)
    assert log.committed == 2


def test_an_idle_flow_drains_at_once(flow: Flow) -> None:
    flow.start(Log(), "table")
    drain(flow)
    drained(flow)
    assert flow.incidents == []


# Pause


def test_a_paused_source_reads_nothing_and_what_is_in_flight_settles(flow: Flow) -> None:
    log = Log(coin_ids=COINS)
    stall = flow.stall(flow.store("table"))
    flow.start(log, "table", credit=1)
    stall.reached()
    source = flow.stage.runtime.directory.address(SOURCE)
    assert source.ask(Pause(), DEADLINE) == Success(None)
    stall.open()
    flow.until(lambda: log.committed == 2)
    flow.quiet()
    assert flow.status(SOURCE).shown == "paused"
    assert flow.store("table").coins == COINS[:2]
    assert source.ask(Resume(), DEADLINE) == Success(None)
    flow.until(lambda: flow.account("table").written == 10)
    assert flow.store("table").coins == COINS


def test_a_feed_that_came_due_during_a_pause_is_read_at_its_end(flow: Flow) -> None:
    flow.start(poll("a", "b"), "table", feeds=[FeedSpec(every=60.0, greedy=False)])
    source = flow.stage.runtime.directory.address(SOURCE)
    flow.until(lambda: flow.account("table").written == 1)
    source.ask(Pause(), DEADLINE)
    flow.wait_for(FeedDue)
    flow.quiet()
    assert reads(flow) == 1
    source.ask(Resume(), DEADLINE)
    flow.until(lambda: flow.account("table").written == 2)


def test_a_pause_and_its_end_do_not_read_a_feed_before_its_time(flow: Flow) -> None:
    flow.start(poll("a", "b"), "table", feeds=[FeedSpec(every=60.0, greedy=False)])
    source = flow.stage.runtime.directory.address(SOURCE)
    flow.until(lambda: flow.account("table").written == 1)
    source.ask(Pause(), DEADLINE)
    source.ask(Resume(), DEADLINE)
    flow.quiet()
    assert reads(flow) == 1


def test_a_paused_source_drains(flow: Flow) -> None:
    flow.start(Log(coin_ids=COINS), "table")
    flow.stage.runtime.directory.address(SOURCE).ask(Pause(), DEADLINE)
    drain(flow)
    drained(flow)


@pytest.mark.parametrize("request_", [Pause(), Resume()])
def test_a_draining_source_is_neither_paused_nor_resumed(flow: Flow, request_: Pause | Resume) -> None:
    log = Log(coin_ids=COINS)
    stall = flow.stall(flow.store("table"))
    flow.start(log, "table", credit=1)
    stall.reached()
    drain(flow)
    flow.until(lambda: flow.status(SOURCE).state is State.DRAINING)
    answer = flow.stage.runtime.directory.address(SOURCE).ask(request_, DEADLINE)
    assert isinstance(answer, Failure)
    assert (type(answer.error), answer.error.code) == (Transient, "stopping")
    stall.open()
    drained(flow)
    assert flow.store("table").coins == COINS[:2]


def test_the_place_of_a_reading_without_records_is_committed_in_its_turn(flow: Flow) -> None:
    source = Log(coin_ids=[])
    where = Position("log", 0, 0, 7)
    source.acts.append(lambda _: Success([FeedResult(PRICES, [], (where,))]))
    flow.start(source, "table")
    flow.until(lambda: source.committed == 7)
    assert flow.account("table").read == 0


def test_what_a_reading_has_to_note_is_counted_and_costs_nothing(flow: Flow) -> None:
    class Noting(BareSource):
        def _plan(self, spec: FeedSpec) -> Result[Plan[list[FeedResult]]]:
            plan = get_data(super()._plan(spec))
            return Success(evolve(plan, transform=lambda answers: Success(answers[0], ("a row was left out",))))

    source = poll("bitcoin")
    flow.source = source
    flow.run(
        Double.child(INPUT, source.answer),
        lambda outbox: Noting.child(SOURCE, INPUT, outbox, [FeedSpec(greedy=False)], Bomb(), stage=2),
        "table",
    )
    flow.until(lambda: flow.account("table").written == 1)
    assert flow.status(SOURCE).counters["notes"] == 1
    assert flow.reason(SOURCE) is None
