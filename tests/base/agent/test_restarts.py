"""Who is restarted when a child dies, and how long that is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataplatform.base.agent import (
    Drain,
    Drained,
    Ready,
    Restart,
    RestartChild,
    RestartLimit,
    State,
    Strategy,
    Terminated,
)
from dataplatform.base.agent.supervisor import StartDue
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Success
from tests.support.agents import DEADLINE, Hooks, Probe, Stage, Trace, fail

NAMES = ("a", "b", "c")
AFFECTED = {Strategy.ONE_FOR_ONE: "b", Strategy.ONE_FOR_ALL: "abc", Strategy.REST_FOR_ONE: "bc"}

strategies = pytest.mark.parametrize("strategy", Strategy)
types = pytest.mark.parametrize("restart", Restart)


def family(stage: Stage, strategy: Strategy, **types: Restart) -> None:
    """Start a, b and c in this order, permanent where nothing else is said."""
    children = [stage.child(name, stage=n, restart=types.get(name, Restart.PERMANENT)) for n, name in enumerate(NAMES)]
    stage.supervise(*children, strategy=strategy)
    stage.parent.expect(Ready)


def restarted(stage: Stage, names: str) -> None:
    """Assert that these children, and no others, are started for the second time."""
    if names:
        stage.pass_backoff()
        stage.trace.until(*(f"{name}#2 opens" for name in names))
    stage.settle()
    assert stage.restarts(*NAMES) == {name: int(name in names) for name in NAMES}
    assert [timer for timer in stage.scheduler.timers.rest() if isinstance(timer.message, StartDue)] == []


@strategies
@types
def test_a_crash_restarts_a_child_that_is_not_temporary_and_the_siblings_its_strategy_says(
    stage: Stage, strategy: Strategy, restart: Restart
) -> None:
    family(stage, strategy, b=restart)
    stage.crash("b")
    restarted(stage, "" if restart is Restart.TEMPORARY else AFFECTED[strategy])


@strategies
@types
def test_a_child_that_ends_by_itself_is_restarted_only_if_it_is_permanent(
    stage: Stage, strategy: Strategy, restart: Restart
) -> None:
    family(stage, strategy, b=restart)
    stage.tell("b", Probe.stop)
    stage.trace.join("b")
    stage.settle()
    restarted(stage, AFFECTED[strategy] if restart is Restart.PERMANENT else "")


@strategies
@types
def test_a_sibling_of_a_crashed_child_is_restarted_unless_it_is_temporary(
    stage: Stage, strategy: Strategy, restart: Restart
) -> None:
    family(stage, strategy, c=restart)
    stage.crash("b")
    spared = "c" if restart is Restart.TEMPORARY else ""
    restarted(stage, AFFECTED[strategy].replace(spared, ""))
    gone = spared and strategy is not Strategy.ONE_FOR_ONE
    assert stage.runtime.directory.address("c").status().state is (State.STOPPED if gone else State.RUNNING)  # type: ignore[union-attr]


@strategies
def test_siblings_are_stopped_in_reverse_and_started_in_order(stage: Stage, strategy: Strategy) -> None:
    family(stage, strategy)
    stage.trace.rest()
    stage.crash("a")
    stage.pass_backoff()
    affected = "a" if strategy is Strategy.ONE_FOR_ONE else "abc"
    steps = [f"{name}#1 closed" for name in "a" + affected[:0:-1]] + [f"{name}#2 opens" for name in affected]
    assert stage.trace.until(steps[-1]) == steps


def test_started_after_means_a_later_stage_whatever_the_order_of_the_specs(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("late", stage=1), stage.child("early", stage=0), strategy=Strategy.REST_FOR_ONE)
    stage.parent.expect(Ready)
    stage.crash("early")
    stage.pass_backoff()
    trace.until("early#2 opens", "late#2 opens")
    assert stage.restarts("early", "late") == {"early": 1, "late": 1}


@pytest.mark.parametrize("bug", [ValueError("boom"), SystemExit(1), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("hook", ["on_init", "on_open"])
def test_a_child_that_fails_to_start_is_started_again(stage: Stage, hook: str, bug: BaseException) -> None:
    def once(probe: Probe) -> None:
        if probe.context.incarnation == 1:
            raise bug

    stage.supervise(stage.child("a", Hooks(**{hook: once})))
    stage.pass_backoff()
    assert stage.parent.expect(Ready) == Ready("root", 1)
    assert stage.restarts("a") == {"a": 1}


def test_a_failed_clean_up_of_a_child_that_was_told_to_stop_is_no_crash(stage: Stage, trace: Trace) -> None:
    root = stage.supervise(stage.child("a", Hooks(on_close=fail(OSError("disk full")))), restart_limit=RestartLimit(0))
    stage.parent.expect(Ready)
    root.tell(RestartChild("a"))
    trace.until("a#2 opens")


def test_the_death_of_a_supervisor_itself_stops_its_children_and_is_reported(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("a"), stage.child("b", stage=1))
    stage.parent.expect(Ready)
    stage.strike("root")
    assert isinstance(stage.parent.expect(Terminated).failure, TypeError)
    assert [event for event in trace.rest() if "closed" in event] == ["b#1 closed", "a#1 closed"]


def test_restarts_of_one_child_are_further_and_further_apart(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("a"), restart_limit=RestartLimit(restarts=100, within=1e6))
    for incarnation in range(1, 9):
        trace.until(f"a#{incarnation} opens")
        stage.crash("a")
        assert 0.0 < stage.pass_backoff() <= min(8.0, 2.0 ** (incarnation - 1))
    trace.until("a#9 opens")


def test_crashes_long_ago_do_not_lengthen_the_wait(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("a"), restart_limit=RestartLimit(restarts=3, within=30.0))
    for incarnation in range(1, 12):
        trace.until(f"a#{incarnation} opens")
        stage.crash("a")
        assert stage.pass_backoff() <= 1.0
        stage.clock.advance(31.0)


def test_a_child_is_restarted_on_request_after_a_drain_and_without_a_crash(stage: Stage, trace: Trace) -> None:
    root = stage.supervise(stage.child("a"), stage.child("b", stage=1), restart_limit=RestartLimit(restarts=0))
    stage.parent.expect(Ready)
    trace.rest()
    assert root.ask(RestartChild("a"), timeout=DEADLINE) == Success(None)
    assert trace.until("a#2 opens") == ["a#1 drains", "a#1 closed", "a#2 opens"]
    assert stage.restarts("a", "b") == {"a": 1, "b": 0}


def test_a_crash_during_a_restart_on_request_does_not_count(stage: Stage, trace: Trace) -> None:
    hooks = Hooks(on_drain=fail(ValueError("boom")))
    root = stage.supervise(stage.child("a", hooks), restart_limit=RestartLimit(restarts=0))
    stage.parent.expect(Ready)
    assert root.ask(RestartChild("a"), timeout=DEADLINE) == Success(None)
    trace.until("a#2 opens")


def test_a_restart_on_request_does_not_wait_for_the_backoff(stage: Stage, trace: Trace) -> None:
    root = stage.supervise(stage.child("a"))
    stage.parent.expect(Ready)
    stage.crash("a")
    assert root.ask(RestartChild("a"), timeout=DEADLINE) == Success(None)
    trace.until("a#2 opens")
    stage.clock.advance(10.0)  # the backoff ends for an incarnation that is no more
    stage.settle()
    assert stage.restarts("a") == {"a": 1}


def test_a_child_that_has_ended_for_good_can_be_restarted_on_request(stage: Stage, trace: Trace) -> None:
    root = stage.supervise(stage.child("a", restart=Restart.TEMPORARY))
    stage.parent.expect(Ready)
    stage.crash("a")
    assert root.ask(RestartChild("a"), timeout=DEADLINE) == Success(None)
    trace.until("a#2 opens")


def test_a_restart_of_an_unknown_child_says_which_there_are(stage: Stage) -> None:
    root = stage.supervise(stage.child("a"), stage.child("b"))
    assert root.ask(RestartChild("c"), timeout=DEADLINE) == Failure(
        Permanent("not_found", "no agent is called 'c'", remedy="there are a, b")
    )


def test_a_supervisor_that_drains_restarts_nothing(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    root = stage.supervise(stage.child("a", Hooks(on_drain=gate)), stage.child("b"))
    stage.parent.expect(Ready)
    root.tell(Drain())
    gate.reached()
    assert root.ask(RestartChild("a"), timeout=DEADLINE) == Failure(Transient("stopping", "root is stopping"))
    stage.tell("a", fail(ValueError("boom")))
    gate.open()
    stage.parent.expect(Drained)
    assert stage.restarts("a", "b") == {"a": 0, "b": 0}


def test_a_sibling_that_waits_for_its_own_restart_goes_on_waiting(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("a"), stage.child("b"), strategy=Strategy.REST_FOR_ONE)
    stage.parent.expect(Ready)
    stage.crash("b")
    due_b = stage.scheduler.expect(StartDue)
    stage.crash("a")
    due_a = stage.scheduler.expect(StartDue)
    first, second = sorted((due_a, due_b), key=lambda timer: timer.due)
    stage.pass_timer(first)
    trace.until(f"{first.message.name}#2 opens")  # type: ignore[attr-defined]
    assert sum(stage.restarts("a", "b").values()) == 1
    stage.pass_timer(second)
    trace.until(f"{second.message.name}#2 opens")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda stage: stage.supervise(stage.child("a"), stage.child("a")), "two children have one name: a"),
        (lambda stage: stage.child("a", restart="allways"), "'allways' is not a valid Restart"),
    ],
)
def test_specs_that_cannot_be_are_refused(stage: Stage, build: Callable[[Stage], Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build(stage)


def test_a_supervisor_without_children_is_ready_and_drained_at_once(stage: Stage) -> None:
    root = stage.supervise()
    stage.parent.expect(Ready)
    root.tell(Drain())
    stage.parent.expect(Drained)
