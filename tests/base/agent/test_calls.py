"""`Agent.call`: a request whose answer comes back as a message, always, and in time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dataplatform.base.agent import Ready, Reply, Request, Terminated
from dataplatform.base.agent.agent import CallOverdue
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success, get_error, is_failure
from tests.support.agents import Do, Get, Parent, Probe, Stage, Told, fail

Answers = Told[Result[Any]]


@pytest.fixture
def answers() -> Answers:
    return Told()


def call(stage: Stage, request: Request[Any], answers: Answers, callee: str = "callee", timeout: float = 10.0) -> None:
    """Have the agent `caller` call; its answers are collected."""
    stage.tell("caller", lambda probe: probe.call(probe.address(callee), request, answers.tell, timeout=timeout))


def test_a_call_is_answered_in_the_callers_own_thread(stage: Stage, parent: Parent, answers: Answers) -> None:
    stage.probe("callee")
    stage.probe("caller")
    parent.expect(Ready)
    parent.expect(Ready)
    threads: Told[threading.Thread] = Told()

    def then(result: Result[Any]) -> None:
        answers.tell(result)
        threads.tell(threading.current_thread())

    stage.tell("caller", lambda probe: probe.call(probe.address("callee"), Get(lambda _: 42), then, timeout=10.0))
    assert answers.next() == Success(42)
    assert threads.next() is stage.trace.threads["caller", 1]


def test_a_call_that_takes_too_long_is_answered_with_a_transient_failure(stage: Stage, answers: Answers) -> None:
    gate = stage.gate()
    stage.probe("callee")
    stage.probe("caller")
    call(stage, Get(gate), answers)
    gate.reached()
    stage.scheduler.expect(Reply)
    stage.clock.advance(10.0)
    assert answers.next() == Failure(Transient("timeout", "callee gave no answer in 10 s"))


def test_an_answer_after_the_time_out_is_ignored(stage: Stage, answers: Answers) -> None:
    gate = stage.gate()
    stage.probe("callee")
    stage.probe("caller")
    call(stage, Get(gate), answers)
    gate.reached()
    stage.clock.advance(10.0)
    assert is_failure(answers.next())
    gate.open()
    call(stage, Get(lambda _: "second"), answers)
    assert answers.next() == Success("second")
    assert answers.rest() == []


def test_a_time_out_after_the_answer_is_ignored(stage: Stage, answers: Answers) -> None:
    stage.probe("callee")
    stage.probe("caller")
    call(stage, Get(lambda _: "first"), answers)
    assert answers.next() == Success("first")
    timer = stage.scheduler.expect(Reply)
    assert timer.cancelled
    timer.recipient.tell(timer.message)  # as if the scheduler had had it in hand already
    call(stage, Get(lambda _: "second"), answers)
    assert answers.next() == Success("second")
    assert answers.rest() == []


def test_a_patient_call_waits_as_long_as_the_callee_says_that_it_is_at_work_and_no_longer(
    stage: Stage, answers: Answers
) -> None:
    stage.probe("callee")
    stage.probe("caller")
    steps = [stage.gate(), stage.gate()]

    def work(probe: Probe) -> str:
        for step in steps:
            probe.busy_for(30.0)
            step(probe)
        return "done"

    def wait(probe: Probe) -> None:
        probe.call(probe.address("callee"), Get(work), answers.tell, timeout=10.0, while_busy=True)

    for begun in (0, 1):  # in the second call the callee is stuck in its second step
        stage.tell("caller", wait)
        stage.scheduler.expect(CallOverdue)
        steps[0].reached()
        stage.clock.advance(10.0)
        again = stage.scheduler.expect(CallOverdue)
        assert again.due - stage.clock.monotonic() == 20.0
        steps[0].open()
        steps[1].reached()
        assert answers.rest() == []
        stage.pass_timer(again)
        last = stage.scheduler.expect(CallOverdue)
        if begun:
            stage.pass_timer(last)
            assert answers.next() == Failure(Transient("timeout", "callee gave no answer in 10 s"))
        else:
            steps[1].open()
            assert answers.next() == Success("done")
            steps = [stage.gate(), stage.gate()]


def test_a_callee_that_crashes_over_the_call_is_a_transient_failure(stage: Stage, answers: Answers) -> None:
    stage.probe("callee")
    stage.probe("caller")
    call(stage, Get(fail(ValueError("boom"))), answers)
    assert answers.next() == Failure(Transient("crashed", "callee crashed: ValueError: boom"))


def test_a_callee_that_exits_over_the_call_is_a_transient_failure(stage: Stage, answers: Answers) -> None:
    stage.probe("callee")
    stage.probe("caller")
    call(stage, Get(fail(SystemExit(1))), answers)
    assert get_error(answers.next()) == Transient("crashed", "callee crashed: AgentCrashed: SystemExit: 1")


def test_a_callee_that_crashes_before_the_call_has_not_handled_it(stage: Stage, answers: Answers) -> None:
    gate = stage.gate()
    callee = stage.probe("callee")
    stage.probe("caller")
    callee.tell(Do(gate))
    gate.reached()
    callee.tell(Do(fail(ValueError("boom"))))
    call(stage, Get(lambda probe: probe.trace("handled")), answers)
    stage.scheduler.expect(Reply)
    stage.tell("caller", lambda probe: probe.trace("called"))
    stage.trace.until("caller#1 called")
    gate.open()
    assert answers.next() == Failure(Transient("absent", "callee stopped before handling the request"))


def test_a_callee_that_is_away_is_a_transient_failure_at_once(stage: Stage, parent: Parent, answers: Answers) -> None:
    callee = stage.probe("callee")
    stage.probe("caller")
    callee.stop()
    parent.until_type(Terminated)
    call(stage, Get(lambda _: 42), answers)
    assert answers.next() == Failure(Transient("absent", "callee has been stopped"))
    call(stage, Get(lambda _: 42), answers, callee="nobody")
    assert answers.next() == Failure(Transient("absent", "nobody has not been started"))


def test_a_caller_that_dies_over_its_call_harms_nobody(stage: Stage, parent: Parent, answers: Answers) -> None:
    gate = stage.gate()
    stage.probe("callee")
    caller = stage.probe("caller")
    call(stage, Get(gate), answers)
    gate.reached()
    caller.stop()
    parent.until_type(Terminated)
    gate.open()
    stage.probe("another")
    call_from_another = Get(lambda _: "still there")
    stage.tell("another", lambda probe: probe.call(probe.address("callee"), call_from_another, answers.tell, timeout=1))
    assert answers.next() == Success("still there")


def test_a_request_without_an_answer_succeeds_with_none(stage: Stage, answers: Answers) -> None:
    stage.probe("callee")
    stage.probe("caller")
    call(stage, Do(lambda _: "not an answer"), answers)  # type: ignore[arg-type]
    assert answers.next() == Success(None)


def test_timers_and_replies_of_an_earlier_incarnation_never_reach_the_next(stage: Stage, answers: Answers) -> None:
    gate = stage.gate()
    stage.probe("callee")
    stage.supervise(stage.child("caller"))
    stage.trace.until("caller#1 opens")
    call(stage, Get(gate), answers, timeout=60.0)
    stage.tell("caller", lambda probe: probe.after(50.0, Do(lambda now: now.trace("stale timer"))))
    gate.reached()
    stage.scheduler.expect(Do)
    stage.crash("caller")
    stage.pass_backoff()
    stage.trace.until("caller#2 opens")
    stage.running("caller")
    gate.open()
    stage.clock.advance(100.0)
    call(stage, Get(lambda _: "fresh"), answers)
    assert answers.next() == Success("fresh")
    assert answers.rest() == []
    assert stage.trace.rest() == []


def test_a_crash_in_the_continuation_is_a_crash_of_the_caller(stage: Stage, parent: Parent) -> None:
    stage.probe("callee")
    stage.probe("caller")
    parent.expect(Ready)
    parent.expect(Ready)
    bug = ValueError("boom")

    def run(probe: Probe) -> None:
        probe.call(probe.address("callee"), Get(lambda _: 1), fail(bug), timeout=1.0)

    stage.tell("caller", run)
    assert parent.expect(Terminated) == Terminated("caller", 1, bug)
