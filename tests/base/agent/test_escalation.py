"""When a supervisor gives up, and who deals with it."""

from __future__ import annotations

from typing import Any

from dataplatform.base.agent import GaveUp, Ready, RestartLimit, State, Strategy, Supervisor, Terminated
from tests.support.agents import Hooks, Probe, Stage, Trace, fail

NAMES = ("a", "b", "c")


def test_a_supervisor_gives_up_when_one_more_crash_comes_than_it_may_restart(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("a"), stage.child("b", stage=1), restart_limit=RestartLimit(restarts=2, within=30.0))
    stage.parent.expect(Ready)
    for incarnation in (2, 3):
        stage.crash("a")
        stage.pass_backoff()
        trace.until(f"a#{incarnation} opens")
    stage.crash("a")
    failure = stage.parent.expect(Terminated).failure
    assert isinstance(failure, GaveUp)
    assert str(failure) == "a crashed: RuntimeError: boom (crash 3 under root within 30 s)"


def test_crashes_of_all_children_count_together(stage: Stage) -> None:
    stage.supervise(*map(stage.child, NAMES), restart_limit=RestartLimit(restarts=2, within=30.0))
    stage.parent.expect(Ready)
    for name in NAMES:
        stage.crash(name)
    assert str(stage.parent.expect(Terminated).failure).startswith("c crashed: RuntimeError: boom (crash 3")


def test_a_supervisor_that_gives_up_stops_its_children_in_reverse_and_drains_them(stage: Stage, trace: Trace) -> None:
    children = [stage.child(name, stage=number) for number, name in enumerate(NAMES)]
    stage.supervise(*children, restart_limit=RestartLimit(restarts=0))
    stage.parent.expect(Ready)
    trace.rest()
    stage.crash("a")
    stage.parent.expect(Terminated)
    assert trace.rest() == ["a#1 closed", "c#1 drains", "c#1 closed", "b#1 drains", "b#1 closed"]


def test_a_supervisor_whose_child_never_starts_gives_up(stage: Stage) -> None:
    stage.supervise(stage.child("a", Hooks(on_open=fail(ValueError("no")))), restart_limit=RestartLimit(restarts=1))
    stage.pass_backoff()
    assert isinstance(stage.parent.expect(Terminated).failure, GaveUp)


def test_an_end_without_a_crash_counts_as_well(stage: Stage) -> None:
    stage.supervise(stage.child("a"), restart_limit=RestartLimit(restarts=0))
    stage.parent.expect(Ready)
    stage.tell("a", Probe.stop)
    failure = stage.parent.expect(Terminated).failure
    assert str(failure) == "a crashed: it stopped without being asked to (crash 1 under root within 30 s)"


def test_giving_up_is_logged_with_its_reason_and_no_traceback(stage: Stage, logs: list[dict[str, Any]]) -> None:
    stage.supervise(stage.child("a"), restart_limit=RestartLimit(restarts=0))
    stage.parent.expect(Ready)
    stage.crash("a")
    stage.parent.expect(Terminated)
    of_root = [log for log in logs if log["agent"] == "root"]
    assert [log["event"] for log in of_root] == ["giving up", "died"]
    assert "exception" not in of_root[1]
    status = stage.runtime.directory.status("root")
    assert status is not None
    assert (status.state, status.last_error) == (State.FAILED, f"GaveUp: {of_root[0]['reason']}")


def nested(stage: Stage, restarts_above: int) -> None:
    inner = Supervisor.child("inner", [stage.child("a")], (), Strategy.ONE_FOR_ONE, RestartLimit(restarts=0))
    stage.supervise(inner, restart_limit=RestartLimit(restarts=restarts_above))
    stage.parent.expect(Ready)


def crash_nested(stage: Stage, incarnation: int) -> None:
    """Crash the child of the inner supervisor; each of its incarnations is the first one of a new supervisor."""
    stage.trace.until("a#1 opens")
    stage.tell("a", fail(RuntimeError(f"boom {incarnation}")))
    stage.trace.until("a#1 closed")


def test_a_nested_supervisor_that_gives_up_is_restarted_by_its_parent(stage: Stage) -> None:
    nested(stage, restarts_above=1)
    crash_nested(stage, 1)
    stage.pass_backoff()
    stage.trace.until("a#1 opens")
    assert stage.restarts("inner", "a") == {"inner": 1, "a": 1}


def test_a_root_whose_nested_supervisors_give_up_too_often_gives_up_in_the_end(stage: Stage) -> None:
    nested(stage, restarts_above=2)
    for incarnation in (1, 2):
        crash_nested(stage, incarnation)
        stage.pass_backoff()
    crash_nested(stage, 3)
    failure = stage.parent.expect(Terminated).failure
    assert isinstance(failure, GaveUp)
    assert str(failure) == (
        "inner crashed: GaveUp: a crashed: RuntimeError: boom 3 (crash 1 under inner within 30 s)"
        " (crash 3 under root within 30 s)"
    )
