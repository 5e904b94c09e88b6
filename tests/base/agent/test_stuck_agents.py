"""An agent that hangs is reported and left behind; nobody waits for it longer than its spec says."""

from __future__ import annotations

from typing import Any

from dataplatform.base.agent import (
    AgentStatus,
    Drain,
    Drained,
    GaveUp,
    Ready,
    Restart,
    RestartLimit,
    State,
    Strategy,
    Supervisor,
    Terminated,
)
from dataplatform.base.agent.children import Phase
from dataplatform.base.agent.supervisor import StartDue
from dataplatform.result import Success
from tests.support.agents import DEADLINE, Gate, Get, Hooks, Stage, Trace, fail

Logs = list[dict[str, Any]]


def status(stage: Stage, name: str) -> AgentStatus:
    status = stage.runtime.directory.status(name)
    assert status is not None
    return status


def first_only(gate: Gate) -> Any:
    """Return a hook that holds up the first incarnation."""
    return lambda probe: gate(probe) if probe.context.incarnation == 1 else None


def stuck(logs: Logs) -> list[tuple[str, str]]:
    return [(log["child"], log["what"]) for log in logs if log["event"] == "stuck"]


def test_a_child_that_does_not_open_in_time_is_left_behind_and_restarted(
    stage: Stage, trace: Trace, logs: Logs
) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a", Hooks(on_open=first_only(gate)), start_timeout=10.0))
    gate.reached()
    assert stage.pass_limit("a", Phase.STARTING) == 10.0
    stage.pass_backoff()
    stage.parent.expect(Ready)
    assert stuck(logs) == [("a", "did not start")]
    seen = status(stage, "a")
    assert (seen.state, seen.restarts) == (State.RUNNING, 1)
    assert seen.last_error == "a is stuck: it did not start in time and is left behind"


def test_a_child_that_is_left_behind_while_it_opens_is_shown_as_failed(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a", Hooks(on_open=gate), start_timeout=10.0))
    gate.reached()
    stage.pass_limit("a", Phase.STARTING)
    stage.scheduler.expect(StartDue)
    gate.open()
    trace.join("a")
    assert status(stage, "a").state is State.FAILED


def test_a_child_that_was_left_behind_closes_when_it_comes_to_itself(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a", Hooks(on_open=first_only(gate)), start_timeout=10.0))
    gate.reached()
    stage.pass_limit("a", Phase.STARTING)
    stage.pass_backoff()
    trace.until("a#2 opens")
    gate.open()
    trace.join("a", 1)
    assert trace.rest() == ["a#1 closed"]


def test_the_late_death_of_a_child_that_was_left_behind_is_not_a_second_crash(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a", Hooks(on_open=gate), start_timeout=10.0), restart_limit=RestartLimit(restarts=1))
    gate.reached()
    stage.pass_limit("a", Phase.STARTING)
    stage.scheduler.expect(StartDue)
    gate.open()
    trace.join("a", 1)  # it has told its supervisor by now, which waits for the backoff to be over
    stage.settle()
    assert [timer for timer in stage.scheduler.timers.rest() if isinstance(timer.message, StartDue)] == []
    assert stage.parent.rest() == []


def test_a_temporary_child_that_does_not_open_in_time_is_not_restarted(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a", Hooks(on_open=gate), start_timeout=10.0, restart=Restart.TEMPORARY))
    gate.reached()
    stage.pass_limit("a", Phase.STARTING)
    stage.parent.expect(Ready)
    assert status(stage, "a").state is State.FAILED


def test_starts_that_take_too_long_count_as_crashes(stage: Stage) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a", Hooks(on_open=gate), start_timeout=10.0), restart_limit=RestartLimit(restarts=0))
    gate.reached()
    stage.pass_limit("a", Phase.STARTING)
    failure = stage.parent.expect(Terminated).failure
    assert isinstance(failure, GaveUp)
    assert "TimeoutError: a is stuck: it did not start in time and is left behind" in str(failure)


def test_a_child_that_does_not_stop_in_time_is_reported_and_left_behind(stage: Stage, trace: Trace, logs: Logs) -> None:
    gate = stage.gate()
    root = stage.supervise(stage.child("client"), stage.child("source", stage=1, drain_timeout=1.0))
    stage.parent.expect(Ready)
    stage.tell("source", gate)
    gate.reached()
    root.tell(Drain())
    stage.pass_limit("source", Phase.DRAINING)
    assert stage.pass_limit("source", Phase.STOPPING) == 5.0
    stage.parent.expect(Drained)
    assert stuck(logs) == [("source", "did not stop")]
    assert status(stage, "source").state is State.FAILED
    assert status(stage, "source").last_error == "source is stuck: it did not stop in time and is left behind"
    assert status(stage, "client").state is State.STOPPED


def test_a_stop_waits_for_all_stuck_children_of_a_stage_together(stage: Stage) -> None:
    gates = [stage.gate() for _ in range(20)]
    root = stage.supervise(*(stage.child(f"a{number}") for number in range(20)))
    stage.parent.expect(Ready)
    for number, gate in enumerate(gates):
        stage.tell(f"a{number}", gate)
        gate.reached()
    root.tell(Drain())
    stage.pass_limit("a19", Phase.DRAINING)
    stage.pass_limit("a19", Phase.STOPPING)
    stage.parent.expect(Drained)
    assert stage.clock.monotonic() == 4.0 + 5.0


def test_a_restart_of_siblings_does_not_wait_for_one_that_is_stuck(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a"), stage.child("b"), strategy=Strategy.ONE_FOR_ALL)
    stage.parent.expect(Ready)
    stage.tell("b", gate)
    gate.reached()
    stage.crash("a")
    stage.pass_limit("b", Phase.STOPPING)
    stage.clock.advance(8.0)
    trace.until("a#2 opens", "b#2 opens")


def test_a_child_that_hangs_in_its_clean_up_after_a_crash_is_left_behind_and_restarted(
    stage: Stage, trace: Trace, logs: Logs
) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a", Hooks(on_close=first_only(gate)), shutdown_timeout=3.0))
    stage.parent.expect(Ready)
    stage.tell("a", fail(ValueError("boom")))
    gate.reached()
    limit = stage.scheduler.expect(Terminated)
    assert stage.pass_timer(limit) == 3.0
    stage.pass_backoff()
    trace.until("a#2 opens")
    assert stuck(logs) == [("a", "did not finish its clean-up")]
    gate.open()
    trace.join("a", 1)
    stage.settle()
    assert stage.runtime.directory.address("a").ask(Get(lambda probe: probe.context.incarnation), DEADLINE) == Success(
        2
    )
    assert [timer for timer in stage.scheduler.timers.rest() if isinstance(timer.message, StartDue)] == []


def test_a_clean_up_that_ends_in_time_is_reported_once(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("a", Hooks(on_close=first_only(gate)), shutdown_timeout=3.0))
    stage.parent.expect(Ready)
    stage.tell("a", fail(ValueError("boom")))
    gate.reached()
    limit = stage.scheduler.expect(Terminated)
    gate.open()
    trace.join("a")
    assert limit.cancelled
    limit.recipient.tell(limit.message)  # as if the scheduler had had it in hand already
    stage.settle()
    stage.pass_backoff()
    trace.until("a#2 opens")
    assert [timer for timer in stage.scheduler.timers.rest() if isinstance(timer.message, StartDue)] == []


def test_a_supervisor_that_dies_does_not_wait_longer_for_its_children_than_they_may_take(
    stage: Stage, logs: Logs
) -> None:
    gates = [stage.gate() for _ in range(3)]
    root = stage.supervise(*(stage.child(f"a{number}", shutdown_timeout=0.01) for number in range(3)))
    stage.parent.expect(Ready)
    for number, gate in enumerate(gates):
        stage.tell(f"a{number}", gate)
        gate.reached()
    root.stop(block=False)
    stage.parent.expect(Terminated)
    assert stuck(logs) == [("a0", "did not stop"), ("a1", "did not stop"), ("a2", "did not stop")]


def test_a_nested_supervisor_that_is_stuck_is_left_behind(stage: Stage, trace: Trace, logs: Logs) -> None:
    """Its constructor runs children's constructors in its own thread, and one of them hangs."""
    gate = stage.gate()
    inner = Supervisor.child("inner", [stage.child("a", Hooks(on_init=gate))], start_timeout=10.0)
    stage.supervise(inner, restart_limit=RestartLimit(restarts=0))
    gate.reached()
    stage.pass_limit("inner", Phase.STARTING)
    assert isinstance(stage.parent.expect(Terminated).failure, GaveUp)
    assert stuck(logs) == [("inner", "did not start")]
