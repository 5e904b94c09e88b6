"""The flow when agents crash or stop: what was in hand comes again, and what is lost is told."""

from __future__ import annotations

import pytest

from dataplatform.base.agent import Context, Drain, Drained, PeerRestarted, Ready, State
from dataplatform.base.agent.children import Phase
from dataplatform.dsl.flow import Batch, Deliver, Outbox, Written
from dataplatform.dsl.flow.source import FeedDue
from dataplatform.dsl.flow.target import WriteDue
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.errors import Transient
from dataplatform.result import Failure
from tests.dsl.doubles import BareSource, BareTarget, Bomb, Commit, Double, Read, Write
from tests.dsl.flows import INPUT, SOURCE, Flow, drain, drained
from tests.dsl.records import price
from tests.dsl.scripts import Log, Poll
from tests.support.agents import Stage

COINS = [f"coin-{number}" for number in range(10)]
OUTAGE = Transient("database", "the server is restarting")


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
    flow.written(10)
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
    flow.written(10)
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
    flow.written(6)
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
    flow.written(12)
    assert flow.store("table").coins == COINS[:2] + COINS
    account = flow.account("table")
    assert (account.read, account.written, account.in_flight) == (12, 12, 0), "two were read, and written, twice"
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
    flow.in_time(lambda: flow.account("table").in_flight == 0)
    assert flow.account("table").read == flow.account("table").written == len(flow.store("table").coins) == 14


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
    flow.written(5, "fast")
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
    flow.written(1)
