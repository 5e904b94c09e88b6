"""Every death of an agent is clean, complete and reported, whatever kills it."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any

import pykka
import pytest

from dataplatform.base.agent import (
    AgentCrashed,
    Call,
    OrderlyDeath,
    Ready,
    Reply,
    State,
    Terminated,
)
from dataplatform.errors import Transient
from dataplatform.result import Failure, Success
from tests.support.agents import DEADLINE, Do, Get, Hooks, Parent, Probe, Stage, Trace, fail

Logs = list[MutableMapping[str, Any]]
Deadly = type[SystemExit] | type[KeyboardInterrupt]
deadly = pytest.mark.parametrize("exit_type", [SystemExit, KeyboardInterrupt])


def test_an_agent_is_ready_when_it_has_opened(stage: Stage, parent: Parent, trace: Trace) -> None:
    stage.probe()
    assert parent.expect(Ready) == Ready("agent", 1)
    assert trace.rest() == ["agent#1 opens"]


def test_an_agent_that_fails_to_open_is_reported_dead_after_its_clean_up(
    stage: Stage, parent: Parent, trace: Trace
) -> None:
    bug = ValueError("no such file")
    stage.probe(on_open=fail(bug))
    assert parent.expect(Terminated) == Terminated("agent", 1, bug)
    assert trace.rest() == ["agent#1 opens", "agent#1 closed"]


def test_an_agent_that_crashes_over_a_notice_is_reported_dead_after_its_clean_up(
    stage: Stage, parent: Parent, trace: Trace
) -> None:
    bug = ValueError("boom")
    stage.probe().tell(Do(fail(bug)))
    parent.expect(Ready)
    assert parent.expect(Terminated) == Terminated("agent", 1, bug)
    assert trace.rest() == ["agent#1 opens", "agent#1 closed"]


def test_an_agent_that_crashes_over_a_question_tells_the_asker_and_dies(stage: Stage, parent: Parent) -> None:
    bug = ValueError("boom")
    with pytest.raises(ValueError, match="boom"):
        stage.probe().ask(Get(fail(bug)), timeout=DEADLINE)
    parent.expect(Ready)
    assert parent.expect(Terminated) == Terminated("agent", 1, bug)


def test_an_agent_that_crashes_over_a_call_tells_the_caller_and_dies(stage: Stage, parent: Parent) -> None:
    bug, caller = ValueError("boom"), Parent()
    stage.probe().tell(Call(Get(fail(bug)), 7, caller))  # type: ignore[arg-type]
    reply = Reply(7, Failure(Transient("crashed", "agent crashed: ValueError: boom")))
    assert caller.next() == reply
    parent.expect(Ready)
    assert parent.expect(Terminated) == Terminated("agent", 1, bug)


def test_an_agent_that_crashes_in_a_proxy_call_tells_the_caller_and_dies(stage: Stage, parent: Parent) -> None:
    bug = ValueError("boom")
    with pytest.raises(ValueError, match="boom"):
        stage.probe().proxy().crash(bug).get(timeout=DEADLINE)
    parent.expect(Ready)
    assert parent.expect(Terminated) == Terminated("agent", 1, bug)


def test_an_agent_that_crashes_in_a_deferred_proxy_call_dies(stage: Stage, parent: Parent) -> None:
    bug = ValueError("boom")
    stage.probe().proxy().crash.defer(bug)
    parent.expect(Ready)
    assert parent.expect(Terminated) == Terminated("agent", 1, bug)


def test_an_agent_whose_clean_up_fails_is_reported_dead(stage: Stage, parent: Parent) -> None:
    bug = OSError("disk full")
    agent = stage.probe(on_close=fail(bug))
    parent.expect(Ready)
    agent.stop()
    assert parent.expect(Terminated) == Terminated("agent", 1, bug)
    status = stage.runtime.directory.status("agent")
    assert status is not None
    assert status.state is State.FAILED
    assert status.last_error == "OSError: disk full"


def test_the_cause_of_a_death_is_the_crash_even_when_the_clean_up_fails_too(
    stage: Stage, parent: Parent, logs: Logs
) -> None:
    bug = ValueError("boom")
    stage.probe(on_close=fail(OSError("disk full"))).tell(Do(fail(bug)))
    parent.expect(Ready)
    assert parent.expect(Terminated) == Terminated("agent", 1, bug)
    status = stage.runtime.directory.status("agent")
    assert status is not None
    assert status.last_error == "ValueError: boom"
    assert [(log["event"], log["error"]) for log in logs] == [
        ("died", "ValueError: boom"),
        ("clean-up failed", "OSError: disk full"),
    ]


@pytest.mark.parametrize("hook", ["on_open", "on_close"])
@deadly
def test_an_exit_in_a_hook_ends_one_agent_and_not_the_process(
    stage: Stage, parent: Parent, hook: str, exit_type: Deadly
) -> None:
    bystander = stage.probe("bystander")
    parent.expect(Ready)
    hooks = {hook: fail(exit_type("bye"))}
    stage.start(Probe, stage.trace, Hooks(**hooks)).stop(block=False)
    death = parent.until_type(Terminated)
    assert isinstance(death.failure, exit_type)
    assert bystander.proxy().double(4).get(timeout=DEADLINE) == Success(8)


@pytest.mark.parametrize(
    "send",
    [
        lambda ref, bug: ref.ask(Get(fail(bug)), timeout=DEADLINE),
        lambda ref, bug: ref.proxy().crash(bug).get(timeout=DEADLINE),
    ],
    ids=["ask", "proxy"],
)
@deadly
def test_an_exit_over_a_question_is_told_the_asker_as_a_crash(
    stage: Stage, parent: Parent, send: Callable[[Any, BaseException], None], exit_type: Deadly
) -> None:
    bystander = stage.probe("bystander")
    with pytest.raises(AgentCrashed, match="bye"):
        send(stage.probe(), exit_type("bye"))
    assert isinstance(parent.until_type(Terminated).failure, exit_type)
    assert bystander.proxy().double(4).get(timeout=DEADLINE) == Success(8)


@deadly
def test_an_exit_over_a_notice_ends_one_agent_and_not_the_process(
    stage: Stage, parent: Parent, exit_type: Deadly
) -> None:
    bystander = stage.probe("bystander")
    stage.probe().tell(Do(fail(exit_type("bye"))))
    assert isinstance(parent.until_type(Terminated).failure, exit_type)
    assert bystander.proxy().double(4).get(timeout=DEADLINE) == Success(8)


def test_a_stop_by_pykka_is_a_death_without_failure(stage: Stage, parent: Parent, trace: Trace) -> None:
    agent = stage.probe()
    parent.expect(Ready)
    assert agent.stop(timeout=DEADLINE)
    assert parent.expect(Terminated) == Terminated("agent", 1, None)
    assert trace.rest() == ["agent#1 opens", "agent#1 closed"]
    status = stage.runtime.directory.status("agent")
    assert status is not None
    assert status.state is State.STOPPED


def test_an_agent_that_stops_itself_first_handles_what_was_sent_before(stage: Stage, parent: Parent) -> None:
    agent = stage.probe()
    parent.expect(Ready)
    gate = stage.gate()
    agent.tell(Do(gate))
    agent.tell(Do(Probe.stop))
    answer = agent.ask(Get(lambda _: "in time"), block=False)
    gate.open()
    assert answer.get(timeout=DEADLINE) == Success("in time")
    parent.expect(Terminated)


def test_the_supervisor_is_told_when_the_clean_up_has_finished_and_not_before(stage: Stage, parent: Parent) -> None:
    gate = stage.gate()
    agent = stage.probe(on_close=gate)
    parent.expect(Ready)
    agent.tell(Do(fail(ValueError("boom"))))
    gate.reached()
    assert not agent.is_alive()
    assert parent.rest() == []
    gate.open()
    parent.expect(Terminated)


def test_an_agent_that_died_is_in_no_registry(stage: Stage, parent: Parent) -> None:
    agent = stage.probe(on_open=fail(ValueError("boom")))
    parent.expect(Terminated)
    assert agent not in pykka.ActorRegistry.get_all()
    entry = stage.runtime.directory.entry("agent")
    assert entry is not None
    assert entry.ref is None
    assert entry.gone.is_set()


def test_a_death_is_logged_once_with_its_traceback(
    stage: Stage, parent: Parent, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    bug = ValueError("boom")
    with caplog.at_level(logging.WARNING):
        stage.probe().tell(Do(fail(bug)))
        parent.until_type(Terminated)
    assert [(log["event"], log["agent"]) for log in logs] == [("died", "agent")]
    assert logs[0]["exception"].splitlines()[-1] == "ValueError: boom"
    assert caplog.records == []  # Pykka leaves it to us


def test_an_orderly_death_is_logged_without_a_traceback(stage: Stage, parent: Parent, logs: Logs) -> None:
    stage.probe().tell(Do(fail(OrderlyDeath("enough"))))
    parent.until_type(Terminated)
    assert [(log["event"], log["error"], "exception" in log) for log in logs] == [
        ("died", "OrderlyDeath: enough", False)
    ]


def test_what_waits_in_the_mailbox_of_an_agent_that_dies_is_refused(stage: Stage, parent: Parent) -> None:
    gate, caller = stage.gate(), Parent()
    agent = stage.probe()
    agent.tell(Do(gate))
    agent.tell(Do(fail(ValueError("boom"))))
    asked = agent.ask(Get(lambda _: "never"), block=False)
    agent.tell(Call(Get(lambda _: "never"), 7, caller))  # type: ignore[arg-type]
    gate.open()
    with pytest.raises(pykka.ActorDeadError):
        asked.get(timeout=DEADLINE)
    assert caller.next() == Reply(7, Failure(Transient("absent", "agent stopped before handling the request")))
    parent.until_type(Terminated)


def test_a_death_while_the_supervisor_is_dead_already_ends_in_silence(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    root = stage.supervise(stage.child("a"))
    trace.until("a#1 opens")
    stage.tell("a", gate)
    gate.reached()
    root.stop(block=False)
    gate.open()
    trace.join("a")  # a bug in the thread would be a warning, and so an error
    assert "a#1 closed" in trace.rest()
