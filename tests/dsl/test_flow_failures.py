"""The flow when something fails: outages are waited out, bad records stand aside, crashes lose nothing."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from dataplatform.base.agent import Context, Drain, Drained, PeerRestarted, Ready, State
from dataplatform.base.agent.lifecycle import Phase
from dataplatform.dsl.codec import codec
from dataplatform.dsl.feeds import Crop
from dataplatform.dsl.flow import Batch, Deliver, Outbox, Written
from dataplatform.dsl.flow.source import FeedDue
from dataplatform.dsl.flow.target import WriteDue
from dataplatform.dsl.kinds import DEAD_LETTERS, PRICES
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result
from tests.dsl.doubles import BareSource, BareTarget, Bomb, Commit, Double, FeedSpec, Read, Write
from tests.dsl.flows import INPUT, SOURCE, Flow, Log, Poll, drain, drained, failing
from tests.dsl.records import letter, price
from tests.support.agents import Stage

COINS = [f"coin-{number}" for number in range(10)]
OUTAGE = Transient("database", "the server is restarting")
NO_RIGHT = Permanent("database", "permission denied for table crypto_prices")
Logs = list[MutableMapping[str, Any]]


def written(flow: Flow, count: int, target: str = "table") -> None:
    flow.until(lambda: flow.account(target).written == count)


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
    written(flow, 10)
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
    written(flow, 1)


def test_a_failure_that_is_not_about_the_records_makes_no_dead_letters(flow: Flow) -> None:
    flow.store("table").acts += [failing(NO_RIGHT)] * 2
    flow.start(Log(coin_ids=COINS[:2]), "table", dead_letters="letters")
    flow.wait_for(WriteDue)
    flow.wait_for(WriteDue)
    written(flow, 2)
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
    written(flow, 2)
    flow.quiet()
    assert flow.store("table").coins == COINS[:2] * 2, "at least once: the first write had worked, but said so too late"
    assert flow.account("table").in_flight == 0


# Records that can never be written


def test_a_poison_record_is_found_by_halving_and_goes_to_the_dead_letters(flow: Flow) -> None:
    flow.store("table").poison.add("coin-5")
    flow.start(Log(coin_ids=COINS, size=8), "table", dead_letters="letters")
    written(flow, 9)
    flow.until(lambda: flow.account("table").dead_lettered == 1)
    assert flow.store("table").coins == [coin for coin in COINS if coin != "coin-5"]
    assert flow.store("table").sizes == [8, 4, 4, 2, 1, 1, 2, 2]
    (dead,) = flow.store("letters").letters
    assert codec(PRICES).decode(dead.raw) == price("coin-5")
    assert (dead.origin, dead.target, dead.stream) == (SOURCE, "table", "prices")
    assert dead.error == "rejected: no row can hold coin-5"
    assert flow.account("table").in_flight == 0


@pytest.mark.parametrize("bad", [["coin-0"], ["coin-0", "coin-1"], COINS[1:8], COINS])
def test_all_poison_records_stand_aside_and_all_others_are_written(flow: Flow, bad: list[str]) -> None:
    flow.store("table").poison |= set(bad)
    flow.start(Log(coin_ids=COINS, size=10), "table")
    flow.until(lambda: flow.account("table").dead_lettered == len(bad))
    assert flow.store("table").coins == [coin for coin in COINS if coin not in bad]
    assert [json.loads(dead.raw)["coinId"] for dead in flow.store("table").letters] == bad
    account = flow.account("table")
    assert (account.written, account.in_flight) == (10 - len(bad), 0)


def test_an_outage_in_the_middle_of_the_halving_is_waited_out(flow: Flow) -> None:
    store = flow.store("table")
    store.poison.add("coin-1")
    store.acts += [lambda _: None, failing(OUTAGE), lambda _: None, failing(OUTAGE)]
    flow.start(Log(coin_ids=COINS[:4], size=4), "table", dead_letters="letters")
    flow.wait_for(WriteDue)
    flow.wait_for(WriteDue)
    written(flow, 3)
    assert store.coins == ["coin-0", "coin-2", "coin-3"]
    flow.until(lambda: len(flow.store("letters").letters) == 1)


def test_one_target_refuses_and_the_others_take(flow: Flow) -> None:
    log = Log(coin_ids=COINS[:2])
    flow.store("table").poison.add("coin-1")
    flow.start(log, "table", "topic")
    flow.until(lambda: log.committed == 2)
    assert flow.store("topic").coins == COINS[:2]
    assert flow.store("table").coins == COINS[:1]
    assert (flow.account("table").written, flow.account("table").dead_lettered) == (1, 1)
    assert (flow.account("topic").written, flow.account("topic").dead_lettered) == (2, 0)
    assert [dead.target for dead in flow.store("topic").letters] == ["table"]


def test_dead_letters_that_are_read_as_records_are_written_as_records(flow: Flow) -> None:
    source = Poll()
    source.crops.append([Crop(DEAD_LETTERS, [letter("1"), letter("2")])])
    flow.start(source, "table")
    written(flow, 2)
    assert flow.account("table").dead_lettered == 0


def test_a_letter_that_was_read_as_a_record_and_is_refused_gets_a_letter_of_its_own(flow: Flow) -> None:
    source = Poll()
    source.crops.append([Crop(DEAD_LETTERS, [letter("1")])])
    flow.store("table").acts.append(failing(Permanent("rejected", "too long")))
    flow.start(source, "table")
    flow.until(lambda: flow.account("table").dead_lettered == 1)
    (of_letter,) = flow.store("table").letters
    assert codec(DEAD_LETTERS).decode(of_letter.raw) == letter("1")
    assert flow.incidents == []


def test_a_dead_letter_that_is_refused_stays_in_the_log_and_is_an_incident(flow: Flow, logs: Logs) -> None:
    lost = letter("1", stream="crypto-prices", partition=3, offset=77, raw=b"\xff{")
    source = Poll()
    source.crops.append([Crop(PRICES, [], letters=[lost])])
    flow.store("table").acts.append(failing(Permanent("rejected", "too long")))
    flow.start(source, "table")
    flow.until(lambda: flow.account("table").dead_lettered == 1)
    (incident,) = flow.incidents
    assert (incident.kind, incident.agent) == ("dead_letter_lost", SOURCE)
    assert (incident.stream, incident.partition, incident.first, incident.next) == ("crypto-prices", 3, 77, 78)
    assert incident.message == "table refused a dead letter (rejected: too long); it is in the log alone"
    (line,) = [log for log in logs if log["event"] == "dead letter lost"]
    assert line["log_level"] == "error"
    assert codec(DEAD_LETTERS).decode(line["letter"].encode()) == lost
    assert flow.store("table").asked[1:] == [], "no dead letters are made of dead letters"
    assert flow.status(SOURCE).counters["dead_letters_lost"] == 1


def test_only_the_refused_ones_of_several_dead_letters_are_lost(flow: Flow) -> None:
    source = Poll()
    source.crops.append([Crop(PRICES, [], letters=[letter(str(number)) for number in range(4)])])
    flow.start(source, "table")

    def refuse(request: Write) -> Result[int] | None:
        ids = [one.id for one in request.records if one in letters]
        return Failure(Permanent("rejected", "no")) if "2" in ids else None

    letters = [letter(str(number)) for number in range(4)]
    flow.until(lambda: flow.account("table").dead_lettered == 4)
    assert [one.id for one in flow.store("table").letters] == ["0", "1", "2", "3"]
    source.crops.append([Crop(PRICES, [], letters=letters)])
    flow.store("table").acts.extend([refuse] * 20)
    flow.wait_for(FeedDue)
    flow.until(lambda: flow.account("table").dead_lettered == 8)
    assert [one.id for one in flow.store("table").letters[4:]] == ["0", "1", "3"]
    assert [incident.kind for incident in flow.incidents] == ["dead_letter_lost"]


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
    written(flow, 1)
    assert flow.reason(SOURCE) is None
    assert flow.status(SOURCE).counters["failed_reads"] == 3


def test_a_feed_is_not_read_again_before_the_other_side_wishes(flow: Flow) -> None:
    source = Poll()
    source.acts.append(failing(Transient("rate_limited", "429", retry_after=119.0)))
    source.bring("a")
    flow.start(source, "table")
    assert flow.wait_for(FeedDue) >= 119.0
    written(flow, 1)


def test_a_feed_that_fails_for_good_is_read_at_its_next_turn(flow: Flow) -> None:
    source = Poll()
    source.acts.append(failing(Permanent("unauthorized", "check the API key")))
    source.bring("a")
    flow.start(source, "table", feeds=[FeedSpec(every=300.0)])
    assert flow.wait_for(FeedDue) >= 300.0
    written(flow, 1)


def test_a_reading_goes_on_where_an_outage_broke_it_off(flow: Flow) -> None:
    source = Poll()
    source.acts += [lambda _: None, failing(Transient("throttled", "used up", retry_after=12.0)), lambda _: None]
    source.acts.append(failing(Transient("throttled", "used up", retry_after=12.0)))
    for coin in "abc":
        source.bring(coin)
    flow.start(source, "table", feeds=[FeedSpec(pages=3, every=100.0, greedy=False)])
    flow.wait_for(FeedDue)
    flow.wait_for(FeedDue)
    written(flow, 3)
    assert [request.page for request in source.asked] == [0, 1, 1, 2, 2]
    assert flow.store("table").coins == ["a", "b", "c"]


def test_a_reading_that_fails_for_good_begins_anew(flow: Flow) -> None:
    source = Poll()
    source.acts += [lambda _: None, failing(Permanent("not_found", "no such page"))]
    for coin in "abc":
        source.bring(coin)
    flow.start(source, "table", feeds=[FeedSpec(pages=2, greedy=False)])
    flow.wait_for(FeedDue)
    written(flow, 2)
    assert [request.page for request in source.asked] == [0, 1, 0, 1]


def test_while_one_of_two_feeds_fails_its_reason_stays_on_view(flow: Flow) -> None:
    source = Poll()

    def only_good(request: Read) -> Result[list[Crop]] | None:
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
    written(flow, 10)
    assert flow.store("table").coins == COINS
    assert log.readers == ["source-1-0", "source-1-1"]


# Crashes


def test_a_crashed_target_is_sent_again_what_it_had_in_hand_in_order(flow: Flow) -> None:
    log = Log(coin_ids=COINS)
    stall = flow.stall(flow.store("table"))
    flow.start(log, "table", credit=3)
    stall.reached()
    flow.until(lambda: flow.account("table").batches_in_flight == 3)
    flow.stage.runtime.directory.address("table").tell(Boom())
    flow.restart("table")
    stall.open()
    written(flow, 10)
    assert flow.store("table").coins == COINS[:2] + COINS, "at least once: the batch being written came again"
    assert flow.account("table").in_flight == 0
    flow.until(lambda: log.committed == 10)
    assert (flow.status("table").restarts, flow.status(SOURCE).restarts) == (1, 0)


class Boom:
    """No message of any agent: who gets it crashes over `assert_never`."""


def test_a_bug_in_a_target_costs_a_restart_and_no_record(flow: Flow) -> None:
    flow.plant("table", Deliver)
    flow.start(Log(coin_ids=COINS), "table")
    flow.restart("table")
    written(flow, 10)
    assert flow.store("table").coins == COINS


def test_a_crashed_source_that_cannot_read_again_sends_what_was_unsettled(flow: Flow) -> None:
    source = Poll()
    for coin in COINS[:6]:
        source.bring(coin)
    stall = flow.stall(flow.store("table"))
    flow.start(source, "table", credit=4)
    stall.reached()
    flow.until(lambda: flow.account("table").batches_in_flight == 4)
    flow.stage.runtime.directory.address(SOURCE).tell(Boom())
    flow.restart(SOURCE)
    assert flow.account("table").in_flight == 4
    stall.open()
    written(flow, 6)
    flow.quiet()
    assert flow.store("table").coins == [COINS[0], *COINS[:6]], "what the target had not begun is written once"
    assert flow.account("table").in_flight == 0
    assert flow.incidents == []


def test_a_crashed_source_that_can_read_again_reads_from_the_committed_position(flow: Flow) -> None:
    log = Log(coin_ids=COINS)
    stall = flow.stall(flow.store("table"))
    flow.start(log, "table", credit=2)
    stall.reached()
    flow.until(lambda: flow.account("table").batches_in_flight == 2)
    flow.stage.runtime.directory.address(SOURCE).tell(Boom())
    flow.restart(SOURCE)
    flow.until(lambda: flow.account("table").in_flight == 4)
    stall.open()
    written(flow, 10)
    assert flow.store("table").coins == COINS[:2] + COINS
    assert flow.account("table").read == 10
    assert log.readers == ["source-1-0", "source-2-0"]


@pytest.mark.parametrize("message", [Written, FeedDue])
def test_a_bug_in_a_source_costs_a_restart_and_no_record(flow: Flow, message: type[object]) -> None:
    flow.plant(SOURCE, message)
    log = Log(coin_ids=COINS)
    flow.start(log, "table")
    flow.restart(SOURCE)
    flow.until(lambda: log.committed == 10)
    assert list(dict.fromkeys(flow.store("table").coins)) == COINS
    assert flow.account("table").in_flight == 0


def test_a_crashed_client_of_a_source_reads_from_the_committed_position(flow: Flow) -> None:
    log = Log(coin_ids=COINS)
    stall = flow.stall(flow.store("table"))
    flow.start(log, "table", credit=2)
    stall.reached()
    flow.until(lambda: flow.account("table").batches_in_flight == 2)
    flow.plant(INPUT, Read)
    stall.open()
    flow.restart(INPUT)
    flow.in_time(lambda: log.committed == 10)
    assert list(dict.fromkeys(flow.store("table").coins)) == COINS
    assert flow.account("table").in_flight == 0
    assert flow.status(SOURCE).restarts == 0


def test_a_client_that_crashes_over_a_commit_is_asked_again(flow: Flow) -> None:
    flow.plant(INPUT, Commit)
    log = Log(coin_ids=COINS[:2])
    flow.start(log, "table")
    flow.restart(INPUT)
    flow.in_time(lambda: log.committed == 2)
    assert set(flow.store("table").coins) == set(COINS[:2])


def test_a_restarted_client_gives_the_target_no_more_than_its_credit(flow: Flow) -> None:
    log = Log(coin_ids=COINS)
    stall = flow.stall(flow.store("table"))
    flow.start(log, "table", credit=2)
    stall.reached()
    flow.until(lambda: flow.account("table").batches_in_flight == 2)
    flow.plant(INPUT, Boom)
    flow.stage.runtime.directory.address(INPUT).tell(Boom())
    flow.restart(INPUT)
    flow.quiet("table.client")
    assert flow.status("table").counters["delivered"] == 2, "it still holds the batches that the source has forgotten"
    assert flow.account("table").read == 0
    stall.open()
    flow.in_time(lambda: log.committed == 10)
    assert flow.account("table").read == flow.account("table").written == 10


def test_a_crashed_client_of_a_target_is_given_the_batch_again(flow: Flow) -> None:
    flow.plant("table.client", Write)
    flow.start(Log(coin_ids=COINS), "table")
    flow.restart("table.client")
    flow.in_time(lambda: flow.account("table").written == 10)
    assert flow.store("table").coins == COINS


# Stops that leave something undelivered


def test_a_stop_with_undelivered_batches_of_a_poll_is_an_incident(flow: Flow) -> None:
    source = Poll()
    source.bring("a", "b", "c")
    source.bring("d", "e")
    stall = flow.stall(flow.store("slow"))
    flow.start(source, "fast", "slow")
    stall.reached()
    written(flow, 5, "fast")
    drain(flow)
    flow.stage.pass_limit(SOURCE, Phase.DRAINING)
    flow.until(lambda: flow.status(SOURCE).state is State.STOPPED)
    stall.open()
    drained(flow)
    (incident,) = flow.incidents
    assert (incident.kind, incident.agent, incident.stream) == ("undelivered", SOURCE, SOURCE)
    assert (incident.partition, incident.first, incident.next, incident.records) == (0, 0, 5, 5)
    assert incident.message == (
        "source stopped with records that were read and not delivered: 5 for slow; it cannot read them again"
    )


def test_what_several_targets_wait_for_is_counted_once_and_told_for_each(flow: Flow) -> None:
    source = Poll()
    source.bring("a", "b", "c")
    stalls = [flow.stall(flow.store(name)) for name in ("one", "two")]
    flow.start(source, "one", "two")
    for stall in stalls:
        stall.reached()
    drain(flow)
    flow.stage.pass_limit(SOURCE, Phase.DRAINING)
    flow.until(lambda: flow.status(SOURCE).state is State.STOPPED)
    assert [(incident.records, "3 for one, 3 for two" in incident.message) for incident in flow.incidents] == [
        (3, True)
    ]


def test_a_loss_is_told_once_however_often_a_source_is_closed(stage: Stage) -> None:
    context = Context(SOURCE, stage.runtime, stage.parent)
    outbox = Outbox(SOURCE, ("table",), "table")
    outbox.offer(PRICES, [price()])
    source = BareSource(context, INPUT, outbox, (), Bomb())
    source._close()
    assert stage.runtime.journal.count == 0, "nobody has asked for a stop"
    context.stopping.set()
    source._close()
    source._close()
    assert stage.runtime.journal.count == 1


def test_a_target_whose_queue_a_restarted_source_took_back_has_drained(stage: Stage) -> None:
    stage.start(Double, lambda _: Failure(OUTAGE), name="client")
    table = stage.start(BareTarget, "client", 4, Bomb(), name="table")
    table.tell(Deliver(Batch("source-1-1", PRICES, [price()]), SOURCE, 1))
    stage.scheduler.expect(WriteDue)
    table.tell(Drain())
    stage.parent.until_type(Ready)
    table.tell(PeerRestarted(SOURCE))
    assert stage.parent.until_type(Drained) == Drained("table", 1)


def test_a_stop_with_undelivered_batches_of_a_topic_is_none(flow: Flow) -> None:
    stall = flow.stall(flow.store("table"))
    flow.start(Log(coin_ids=COINS), "table")
    stall.reached()
    drain(flow)
    flow.stage.pass_limit(SOURCE, Phase.DRAINING)
    flow.until(lambda: flow.status(SOURCE).state is State.STOPPED)
    assert flow.incidents == []


def test_a_crash_with_undelivered_batches_is_no_incident_as_they_are_sent_again(flow: Flow) -> None:
    source = Poll()
    source.bring("a")
    stall = flow.stall(flow.store("table"))
    flow.start(source, "table")
    stall.reached()
    flow.stage.runtime.directory.address(SOURCE).tell(Boom())
    flow.restart(SOURCE)
    assert flow.incidents == []
    stall.open()
    written(flow, 1)
