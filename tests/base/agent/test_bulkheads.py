"""What is behind a bulkhead may crash for ever: it pauses, is started again, and nobody else is harmed."""

from __future__ import annotations

from typing import Any

from dataplatform.base.agent import (
    AgentStatus,
    BackoffPolicy,
    Bulkhead,
    Drain,
    Drained,
    GaveUp,
    Link,
    PeerRestarted,
    Ready,
    RestartChild,
    RestartLimit,
    State,
    Terminated,
)
from dataplatform.base.agent.bulkhead import FORGIVEN, PAUSES, PauseOver
from dataplatform.base.agent.supervisor import StartDue
from dataplatform.result import Failure, Success
from tests.support.agents import DEADLINE, Hooks, Probe, Stage, Trace, fail

REASON = "crash_loop: a crashed: RuntimeError: boom (crash 1 under apart within 30 s); it is started again later"


def supervise(stage: Stage, restarts: int = 0, pauses: BackoffPolicy = PAUSES, **hooks: Any) -> None:
    """Start a root with a flow and a bulkhead, in which `a` and then `b` are started."""
    children = [stage.child("a", Hooks(**hooks)), stage.child("b", stage=1)]
    apart = Bulkhead.child("apart", children, RestartLimit(restarts=restarts), pauses)
    stage.supervise(apart, stage.child("flow", stage=1), restart_limit=RestartLimit(restarts=0))
    stage.parent.expect(Ready)


def crash(stage: Stage) -> None:
    """Have `a` crash once more than its bulkhead mends, and wait until that pauses."""
    incarnation = max(number for who, number in stage.trace.threads if who == "a")
    stage.tell("a", fail(RuntimeError("boom")))
    stage.trace.join("a", incarnation)


def pause(stage: Stage) -> float:
    """Let the pause pass, and return how long it was."""
    return stage.pass_timer(stage.scheduler.expect(PauseOver))


def status(stage: Stage, name: str) -> AgentStatus:
    found = stage.runtime.directory.status(name)
    assert found is not None
    return found


def test_a_crash_loop_behind_a_bulkhead_stops_what_is_there_and_nothing_else(stage: Stage, trace: Trace) -> None:
    supervise(stage)
    trace.rest()
    crash(stage)
    stage.scheduler.expect(PauseOver)
    trace.until("b#1 closed")
    stage.settle("apart")
    shown = status(stage, "apart")
    assert (shown.shown, shown.counters) == ("degraded", {"pauses": 1})
    assert shown.degraded is not None
    assert shown.degraded.reason == REASON
    assert shown.degraded.next_try is not None
    assert [status(stage, name).state for name in ("a", "b", "flow")] == [State.FAILED, State.STOPPED, State.RUNNING]
    assert not any(isinstance(message, Terminated) for message in stage.parent.rest())
    assert stage.restarts("apart", "flow") == {"apart": 0, "flow": 0}


def test_after_the_pause_it_is_started_again_and_its_crashes_are_forgotten(stage: Stage, trace: Trace) -> None:
    supervise(stage, restarts=1)
    crash(stage)
    stage.pass_backoff()
    trace.until("a#2 opens")
    crash(stage)
    pause(stage)
    trace.until("a#3 opens", "b#2 opens")
    stage.running("b")
    stage.settle("apart")
    assert status(stage, "apart").shown == "running"
    crash(stage)
    assert stage.pass_backoff() <= 1.0  # the first crash again, of which one is mended at once
    trace.until("a#4 opens")
    assert status(stage, "apart").counters == {"pauses": 1}


def test_pauses_double_up_to_a_cap_and_are_jittered(stage: Stage, trace: Trace) -> None:
    supervise(stage, pauses=BackoffPolicy(base=10.0, cap=100.0, jitter=0.5))
    pauses = []
    for incarnation in range(2, 10):
        crash(stage)
        pauses.append(pause(stage))
        trace.until(f"a#{incarnation} opens")
        stage.running("a")
    longest = [min(100.0, 10.0 * 2**n) for n in range(8)]
    assert all(top / 2 <= pause <= top for pause, top in zip(pauses, longest, strict=True))
    assert pauses[:4] == sorted(pauses[:4])
    assert len(set(pauses)) == len(pauses)


def test_the_platform_s_own_pauses_are_between_seconds_and_minutes() -> None:
    assert 5.0 <= PAUSES.delay(1) <= 10.0
    assert 300.0 <= PAUSES.delay(50) <= 600.0


def test_a_crash_loop_long_after_the_last_begins_with_the_shortest_pause(stage: Stage, trace: Trace) -> None:
    supervise(stage)
    for incarnation in (2, 3, 4):
        crash(stage)
        last = pause(stage)
        trace.until(f"a#{incarnation} opens")
        stage.running("a")
    assert last >= 20.0
    stage.clock.advance(FORGIVEN + 1.0)
    crash(stage)
    assert pause(stage) <= 10.0


def test_nobody_waits_for_what_does_not_come_up_behind_a_bulkhead(stage: Stage, trace: Trace) -> None:
    supervise(stage, restarts=2, on_open=fail(RuntimeError("boom")))
    assert "flow#1 opens" in trace.until("flow#1 opens")
    for _ in range(2):
        stage.pass_backoff()
    stage.scheduler.expect(PauseOver)
    stage.settle("apart")
    assert status(stage, "apart").shown == "degraded"
    assert status(stage, "flow").state is State.RUNNING


def test_a_drain_during_a_pause_ends_at_once_and_the_pause_starts_nothing(stage: Stage, trace: Trace) -> None:
    supervise(stage)
    crash(stage)
    timer = stage.scheduler.expect(PauseOver)
    trace.until("b#1 closed")
    trace.rest()
    stage.runtime.directory.address("root").tell(Drain())
    stage.parent.expect(Drained)
    stage.pass_timer(timer)
    assert [event for event in trace.rest() if "opens" in event] == []


def test_what_is_behind_a_bulkhead_drains_and_stops_with_the_rest(stage: Stage, trace: Trace) -> None:
    supervise(stage)
    trace.rest()
    stage.runtime.directory.address("root").tell(Drain())
    stage.parent.expect(Drained)
    events = trace.rest()
    assert events == [*(f"flow#1 {how}" for how in ("drains", "closed")),
                      *(f"{name}#1 {how}" for name in "ba" for how in ("drains", "closed"))]  # fmt: skip


def test_the_directory_says_who_supervises_whom_and_a_restart_goes_there(stage: Stage, trace: Trace) -> None:
    supervise(stage)
    directory = stage.runtime.directory
    entries = {name: directory.entry(name) for name in ("root", "apart", "flow", "a")}
    assert {name: entry.supervisor for name, entry in entries.items() if entry} == {
        "root": None, "apart": "root", "flow": "root", "a": "apart"}  # fmt: skip
    assert directory.address("apart").ask(RestartChild("a"), DEADLINE) == Success(None)
    trace.until("a#2 opens")
    refused = directory.address("root").ask(RestartChild("a"), DEADLINE)
    assert isinstance(refused, Failure)
    assert refused.error.code == "not_found"


def test_an_operator_s_restart_ends_the_pause(stage: Stage, trace: Trace) -> None:
    supervise(stage)
    crash(stage)
    late = stage.scheduler.expect(PauseOver)
    trace.until("b#1 closed")
    assert stage.runtime.directory.address("apart").ask(RestartChild("a"), DEADLINE) == Success(None)
    trace.until("a#2 opens", "b#2 opens")
    stage.running("b")
    stage.settle("apart")
    assert status(stage, "apart").shown == "running"
    crash(stage)
    next_pause = stage.scheduler.expect(PauseOver)
    stage.runtime.directory.address("apart").tell(late.message)
    stage.settle("apart")
    assert status(stage, "apart").shown == "degraded"  # the pause that was ended early ends no other
    stage.pass_timer(next_pause)
    trace.until("a#3 opens")


def test_a_peer_s_restart_reaches_those_behind_the_bulkhead(stage: Stage, trace: Trace) -> None:
    apart = Bulkhead.child("apart", [stage.child("a"), stage.child("b")], stage=1)
    stage.supervise(stage.child("server"), apart, links=[Link("server", "apart")])
    stage.parent.expect(Ready)
    stage.runtime.directory.address("apart").tell(PeerRestarted("server"))
    trace.until("a#1 lost server", "b#1 lost server")


def test_a_bug_of_the_bulkhead_itself_is_its_supervisor_s_to_count(stage: Stage) -> None:
    supervise(stage)
    stage.strike("apart")
    failure = stage.parent.expect(Terminated).failure
    assert isinstance(failure, GaveUp)
    assert str(failure).startswith("apart crashed: TypeError")


def test_an_end_for_good_behind_a_bulkhead_is_no_crash(stage: Stage, trace: Trace) -> None:
    apart = Bulkhead.child("apart", [stage.child("a", restart="transient")], RestartLimit(restarts=0))
    stage.supervise(apart)
    stage.parent.expect(Ready)
    stage.tell("a", Probe.stop)
    trace.until("a#1 closed")
    stage.settle("apart")
    entry = stage.runtime.directory.entry("a")
    assert entry is not None
    assert entry.ended
    assert status(stage, "apart").shown == "running"


def test_a_child_that_crashes_now_and_then_is_restarted_without_a_pause(stage: Stage, trace: Trace) -> None:
    supervise(stage, restarts=1)
    for incarnation in (2, 3, 4):
        crash(stage)
        stage.pass_timer(stage.scheduler.expect(StartDue))
        trace.until(f"a#{incarnation} opens")
        stage.running("a")
        stage.clock.advance(31.0)
    assert status(stage, "apart").counters == {}
