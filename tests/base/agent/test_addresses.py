"""An address outlives restarts: it reaches whoever has the name now, or fails at once and says why."""

from __future__ import annotations

import pykka
import pytest

from dataplatform.base.agent import Address, GetStatus, Ready, Restart, State, Terminated
from dataplatform.base.agent.children import Phase
from dataplatform.errors import Transient
from dataplatform.result import Failure, Success, get_data, is_success
from tests.support.agents import DEADLINE, Do, Get, Hooks, Parent, Probe, Stage, Trace, fail


def address(stage: Stage, name: str = "agent") -> Address:
    return stage.runtime.directory.address(name)


def test_a_question_is_answered(stage: Stage, parent: Parent) -> None:
    stage.probe()
    parent.expect(Ready)
    assert address(stage).ask(Get(lambda _: 42), DEADLINE) == Success(42)


def test_an_agent_reaches_another_by_name(stage: Stage, parent: Parent) -> None:
    stage.probe("a")
    stage.probe("b")
    parent.expect(Ready)
    parent.expect(Ready)
    reach = Get(lambda probe: probe.address("b").ask(Get(lambda other: other.name), DEADLINE))
    assert address(stage, "a").ask(reach, DEADLINE) == Success(Success("b"))


def test_an_agent_can_be_reached_while_it_opens(stage: Stage, trace: Trace) -> None:
    def tell_oneself(probe: Probe) -> None:
        probe.address("agent").tell(Do(lambda me: me.trace("heard")))

    stage.probe(on_open=tell_oneself)
    assert trace.until("agent#1 heard") == ["agent#1 opens", "agent#1 heard"]


def test_a_question_that_is_answered_too_late_is_a_transient_failure(stage: Stage, parent: Parent) -> None:
    stage.probe()
    parent.expect(Ready)
    assert address(stage).ask(Get(stage.gate()), 0.001) == Failure(
        Transient("timeout", "agent gave no answer in 0.001 s")
    )


def test_a_crash_over_a_question_is_a_transient_failure(stage: Stage, parent: Parent) -> None:
    stage.probe()
    parent.expect(Ready)
    answer = address(stage).ask(Get(fail(ValueError("boom"))), DEADLINE)
    assert answer == Failure(Transient("crashed", "agent crashed: ValueError: boom"))


def test_an_exit_over_a_question_is_a_transient_failure(stage: Stage, parent: Parent) -> None:
    stage.probe()
    parent.expect(Ready)
    answer = address(stage).ask(Get(fail(SystemExit(3))), DEADLINE)
    assert answer == Failure(Transient("crashed", "agent crashed: AgentCrashed: SystemExit: 3"))


def test_the_future_of_a_question_raises_the_bug_of_the_agent(stage: Stage, parent: Parent) -> None:
    stage.probe()
    parent.expect(Ready)
    future = address(stage).future(Get(fail(ValueError("boom"))))
    with pytest.raises(ValueError, match="boom"):
        future.get(timeout=DEADLINE)


def test_the_future_of_a_question_raises_when_its_time_is_up_and_can_be_asked_again(
    stage: Stage, parent: Parent
) -> None:
    gate = stage.gate()
    stage.probe()
    parent.expect(Ready)
    future = address(stage).future(Get(gate))
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.001)
    gate.open()
    assert future.get(timeout=DEADLINE) == Success(None)


def test_the_future_of_a_question_to_an_agent_that_dies_before_it_is_a_transient_failure(
    stage: Stage, parent: Parent
) -> None:
    gate = stage.gate()
    agent = stage.probe()
    parent.expect(Ready)
    agent.tell(Do(gate))
    agent.stop(block=False)
    future = address(stage).future(Get(lambda _: 42))
    gate.open()
    failure = future.get(timeout=DEADLINE)
    assert isinstance(failure, Failure)
    assert failure.error.code == "absent"


def test_a_name_that_was_never_started_fails_at_once(stage: Stage) -> None:
    absent = Failure(Transient("absent", "nobody has not been started"))
    nobody = address(stage, "nobody")
    assert nobody.tell("hello") == absent
    assert nobody.ask(GetStatus(), DEADLINE) == absent
    assert nobody.future(GetStatus()).get(timeout=0) == absent
    assert nobody.status() is None


def test_a_name_whose_agent_was_stopped_fails_at_once(stage: Stage, parent: Parent) -> None:
    stage.probe().stop()
    parent.until_type(Terminated)
    stopped = Failure(Transient("absent", "agent has been stopped"))
    assert address(stage).tell("hello") == stopped
    assert address(stage).ask(GetStatus(), DEADLINE) == stopped


def test_a_name_whose_agent_waits_for_its_restart_fails_at_once_until_it_runs_again(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("a"))
    trace.until("a#1 opens")
    stage.crash("a")
    restarting = Failure(Transient("absent", "a is restarting"))
    assert address(stage, "a").tell("hello") == restarting
    assert address(stage, "a").ask(GetStatus(), DEADLINE) == restarting
    stage.pass_backoff()
    trace.until("a#2 opens")
    assert address(stage, "a").ask(Get(lambda probe: probe.context.incarnation), DEADLINE) == Success(2)


def test_a_name_whose_agent_crashed_for_good_says_so(stage: Stage, trace: Trace) -> None:
    stage.supervise(stage.child("a", restart=Restart.TEMPORARY))
    trace.until("a#1 opens")
    stage.crash("a")
    assert address(stage, "a").tell("hello") == Failure(Transient("absent", "a has crashed and is not restarted"))


def test_a_name_whose_agent_is_not_yet_started_says_so(stage: Stage, trace: Trace) -> None:
    told = []
    stage.supervise(
        stage.child("a", Hooks(on_init=lambda probe: told.append(probe.address("a").tell("hello")))), stage.child("b")
    )
    trace.until("b#1 opens")
    assert told == [Failure(Transient("absent", "a is starting"))]


def test_an_agent_that_is_stopping_refuses_what_waits(stage: Stage, parent: Parent, trace: Trace) -> None:
    gate = stage.gate()
    agent = stage.probe()
    parent.expect(Ready)
    context = get_data(address(stage).ask(Get(lambda probe: probe.context), DEADLINE))
    agent.tell(Do(gate))
    agent.tell(Do(lambda probe: probe.trace("handled")))
    answer = address(stage).future(Get(lambda _: 42))
    status = address(stage).future(GetStatus())
    context.stopping.set()
    gate.open()
    assert answer.get(timeout=DEADLINE) == Failure(Transient("stopping", "agent is stopping"))
    assert is_success(status.get(timeout=DEADLINE))
    assert "agent#1 handled" not in trace.rest()


def test_the_death_of_an_abandoned_actor_does_not_touch_its_successor(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    hooks = Hooks(on_open=lambda probe: gate(probe) if probe.context.incarnation == 1 else None)
    stage.supervise(stage.child("a", hooks, start_timeout=10.0))
    gate.reached()
    stage.pass_limit("a", Phase.STARTING)
    stage.pass_backoff()
    trace.until("a#2 opens")
    gate.open()
    trace.join("a", 1)
    assert "a#1 closed" in trace.rest()
    status = address(stage, "a").status()
    assert status is not None
    assert status.state is State.RUNNING
    assert address(stage, "a").ask(Get(lambda probe: probe.context.incarnation), DEADLINE) == Success(2)


def test_two_addresses_of_one_name_are_equal(stage: Stage) -> None:
    assert address(stage, "a") == address(stage, "a")
    assert len({address(stage, "a"), address(stage, "a"), address(stage, "b")}) == 2


def test_a_directory_lists_its_names_in_the_order_of_their_start(stage: Stage) -> None:
    for name in ("b", "a", "c"):
        stage.probe(name)
    assert stage.runtime.directory.names() == ["b", "a", "c"]
