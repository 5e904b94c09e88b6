"""What an agent shows of itself, asked or not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from dataplatform.base.agent import (
    AgentStatus,
    Context,
    Degraded,
    Drain,
    GetStatus,
    Incident,
    Ready,
    Restart,
    State,
    Terminated,
)
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Success
from tests.support.agents import DEADLINE, Do, Get, Hooks, Parent, Probe, Stage, Trace, fail

START = datetime(2026, 1, 1, tzinfo=UTC)
DOWN = Transient("down", "the database is down")


def status(stage: Stage, name: str = "agent") -> AgentStatus:
    status = stage.runtime.directory.status(name)
    assert status is not None
    return status


def run(stage: Stage, name: str, what: Do) -> None:
    """Run something in an agent, and wait until it is done."""
    stage.runtime.directory.address(name).ask(Get(what.run), DEADLINE)


def test_the_status_tells_who_the_agent_is_and_how_it_is(stage: Stage, parent: Parent) -> None:
    stage.clock.advance(5.0)
    agent = stage.probe()
    parent.expect(Ready)
    stage.clock.advance(7.0)
    assert agent.ask(GetStatus(), timeout=DEADLINE) == Success(
        AgentStatus(
            name="agent",
            kind="supervisor",
            state=State.RUNNING,
            since=START + timedelta(seconds=5),
            restarts=0,
            handled=0,
            busy_s=0.0,
            waiting=0,
            degraded=None,
            last_error=None,
            counters={},
        )
    )


def test_an_agent_that_nobody_registered_answers_so(stage: Stage, parent: Parent) -> None:
    agent = Probe.start(Context("loner", stage.runtime, parent), stage.trace)
    assert agent.ask(GetStatus(), timeout=DEADLINE) == Failure(Transient("absent", "loner is not registered"))
    agent.stop()


def test_an_agent_stuck_in_a_call_is_seen_without_being_asked(stage: Stage, parent: Parent) -> None:
    gate = stage.gate()
    agent = stage.probe()
    parent.expect(Ready)
    agent.tell(Do(gate))
    gate.reached()
    agent.tell(Do(gate))
    stage.clock.advance(12.5)
    seen = status(stage)
    assert (seen.state, seen.busy_s, seen.waiting, seen.handled) == (State.RUNNING, 12.5, 1, 0)
    gate.open()
    agent.stop()
    stage.clock.advance(1.0)
    assert status(stage).busy_s == 0.0


def test_messages_are_counted(stage: Stage, parent: Parent) -> None:
    agent = stage.probe()
    for _ in range(3):
        agent.ask(Get(lambda _: None), timeout=DEADLINE)
    agent.stop()
    parent.until_type(Terminated)
    assert status(stage).handled == 4  # the stop is one


def test_counters_and_the_last_error_survive_a_restart(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("a"))
    trace.until("a#1 opens")
    run(stage, "a", Do(lambda probe: probe.count("batches", 3)))
    stage.crash("a")
    stage.pass_backoff()
    trace.until("a#2 opens")
    run(stage, "a", Do(lambda probe: probe.count("batches")))
    seen = status(stage, "a")
    assert (seen.counters, seen.last_error, seen.restarts) == ({"batches": 4}, "RuntimeError: boom", 1)


def test_the_states_of_a_life_are_shown(stage: Stage, parent: Parent) -> None:
    opening, closing, draining = stage.gate(), stage.gate(), stage.gate()
    agent = stage.probe(on_open=opening, on_close=closing, on_drain=draining)
    opening.reached()
    assert status(stage).state is State.STARTING
    opening.open()
    parent.expect(Ready)
    assert status(stage).state is State.RUNNING
    agent.tell(Drain())
    draining.reached()
    assert status(stage).state is State.DRAINING
    draining.open()
    agent.stop(block=False)
    closing.reached()
    assert status(stage).state is State.DRAINING
    closing.open()
    parent.expect(Terminated)
    assert status(stage).state is State.STOPPED


def test_an_agent_that_crashed_shows_so_before_its_clean_up_is_over(stage: Stage, parent: Parent) -> None:
    gate = stage.gate()
    agent = stage.probe(on_close=gate)
    parent.expect(Ready)
    stage.clock.advance(3.0)
    agent.tell(Do(fail(ValueError("boom"))))
    gate.reached()
    seen = status(stage)
    assert (seen.state, seen.last_error, seen.since) == (
        State.FAILED,
        "ValueError: boom",
        START + timedelta(seconds=3),
    )


def test_an_agent_that_was_never_born_is_shown_as_failed(stage: Stage) -> None:
    stage.supervise(stage.child("a", Hooks(on_init=fail(ValueError("no such setting"))), restart=Restart.TEMPORARY))
    stage.parent.expect(Ready)
    seen = status(stage, "a")
    assert (seen.state, seen.last_error) == (State.FAILED, "ValueError: no such setting")


def test_a_degraded_agent_shows_why_since_when_and_when_it_tries_again(stage: Stage, parent: Parent) -> None:
    stage.probe()
    parent.expect(Ready)
    run(stage, "agent", Do(lambda probe: probe.degrade(DOWN, 4.0)))
    seen = status(stage)
    assert seen.degraded == Degraded("down: the database is down", START, START + timedelta(seconds=4))
    assert (seen.state, seen.shown, seen.last_error) == (State.RUNNING, "degraded", "down: the database is down")


def test_a_lasting_outage_keeps_its_beginning(stage: Stage, parent: Parent) -> None:
    stage.probe()
    parent.expect(Ready)
    run(stage, "agent", Do(lambda probe: probe.degrade(DOWN)))
    stage.clock.advance(60.0)
    run(stage, "agent", Do(lambda probe: probe.degrade(Transient("refused", "connection refused"))))
    assert status(stage).degraded == Degraded("refused: connection refused", START)


def test_an_outage_that_is_over_is_no_longer_shown(stage: Stage, parent: Parent) -> None:
    stage.probe()
    parent.expect(Ready)
    run(stage, "agent", Do(lambda probe: probe.degrade(DOWN)))
    run(stage, "agent", Do(Probe.recover))
    seen = status(stage)
    assert (seen.degraded, seen.shown, seen.last_error) == (None, "running", "down: the database is down")


def test_an_agent_that_died_in_an_outage_is_not_degraded_but_failed(stage: Stage, parent: Parent) -> None:
    agent = stage.probe()
    run(stage, "agent", Do(lambda probe: probe.degrade(DOWN)))
    agent.tell(Do(fail(ValueError("boom"))))
    parent.until_type(Terminated)
    assert status(stage).shown == "failed"


def test_an_outage_is_logged_when_its_reason_changes_and_when_it_ends(
    stage: Stage, parent: Parent, logs: list[dict[str, object]]
) -> None:
    stage.probe()
    parent.expect(Ready)
    for error in (DOWN, DOWN, Transient("refused", "connection refused")):
        run(stage, "agent", Do(partial(Probe.degrade, error=error)))
    stage.clock.advance(60.0)
    run(stage, "agent", Do(Probe.recover))
    run(stage, "agent", Do(Probe.recover))
    assert [(log["event"], log.get("reason"), log.get("after_s")) for log in logs] == [
        ("degraded", "down: the database is down", None),
        ("degraded", "refused: connection refused", None),
        ("recovered", None, 60.0),
    ]


def test_a_retry_is_told_when_its_backoff_is_over(stage: Stage, trace: Trace) -> None:
    stage.probe()
    trace.until("agent#1 opens")
    stage.tell("agent", lambda probe: probe.retry(DOWN, Do(lambda me: me.trace("tries again"))))
    timer = stage.scheduler.expect(Do)
    assert timer.due <= 1.0
    stage.clock.advance(timer.due)
    trace.until("agent#1 tries again")
    assert status(stage).degraded == Degraded(str(DOWN), START, START + timedelta(seconds=timer.due))


def test_a_retry_waits_as_long_as_the_other_side_asked_for(stage: Stage, trace: Trace) -> None:
    stage.probe()
    trace.until("agent#1 opens")
    stage.tell("agent", lambda probe: probe.retry(Transient("rate_limited", "429", retry_after=30.0), Do(Probe.stop)))
    assert stage.scheduler.expect(Do).due == 30.0


def test_a_permanent_error_can_be_retried_too(stage: Stage, trace: Trace) -> None:
    stage.probe()
    trace.until("agent#1 opens")
    stage.tell("agent", lambda probe: probe.retry(Permanent("denied", "wrong password"), Do(Probe.stop)))
    assert stage.scheduler.expect(Do).due <= 1.0


def test_a_recovery_starts_the_backoff_anew(stage: Stage, trace: Trace) -> None:
    agent = stage.probe()
    for _ in range(5):
        stage.tell("agent", lambda probe: probe.retry(DOWN, Do(Probe.recover)))
    stage.tell("agent", Probe.recover)
    assert agent.ask(Get(lambda probe: probe.backoff.failures), timeout=DEADLINE) == Success(0)


def test_an_incident_is_logged_and_kept(stage: Stage, parent: Parent, logs: list[dict[str, object]]) -> None:
    stage.probe()
    parent.expect(Ready)
    lost = Incident(START, "agent", "log_truncated", "crypto-prices", 2, 100, 140, "the broker lost its tail")
    run(stage, "agent", Do(lambda probe: probe.incident(lost)))
    assert stage.runtime.journal.incidents() == [lost]
    assert [(log["event"], log["kind"], log["first"], log["next"]) for log in logs] == [
        ("incident", "log_truncated", 100, 140)
    ]


def test_an_agent_can_tell_the_kind_of_another(stage: Stage, trace: Trace) -> None:
    agent = stage.probe()
    stage.supervise(stage.child("store", kind="target"))
    trace.until("store#1 opens")
    assert agent.ask(Get(lambda probe: probe.kind_of("store")), timeout=DEADLINE) == Success("target")
    assert agent.ask(Get(lambda probe: probe.kind_of("nobody")), timeout=DEADLINE) == Success(None)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State.STARTING, "starting"),
        (State.RUNNING, "degraded"),
        (State.PAUSED, "paused"),
        (State.DRAINING, "degraded"),
        (State.STOPPED, "stopped"),
        (State.FAILED, "failed"),
    ],
)
def test_an_outage_is_shown_while_the_agent_works(stage: Stage, parent: Parent, state: State, shown: str) -> None:
    stage.probe()
    parent.expect(Ready)
    run(stage, "agent", Do(lambda probe: probe.degrade(DOWN)))
    run(stage, "agent", Do(lambda probe: probe.become(state)))
    assert status(stage).shown == shown
