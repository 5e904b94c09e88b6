"""How an agent keeps a server running, seen on servers that are one line of Python."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataplatform.base.agent import ChildSpec, Context, Ready, State
from dataplatform.base.embedded import server
from dataplatform.base.embedded.process import Program
from dataplatform.base.embedded.server import CheckProcess, Progress, ServerAgent
from dataplatform.errors import Permanent, Transient
from tests.base.embedded.servers import House, Inbox, all_end
from tests.support.waiting import DEADLINE

WAIT = "import signal; signal.pause()"
Next = Callable[[], str]
Look = Callable[[], Progress]


class Scripted(ServerAgent):
    """A server agent whose programs and looks a test writes; "then" in a program makes it a preparation."""

    def __init__(self, context: Context, home: Path, program: Next, look: Look) -> None:
        super().__init__(context)
        self._home, self._next, self._looks = home, program, look
        self.pids: list[int] = []
        self.prepared = 0

    def _program(self) -> Program:
        text = self._next()
        command = (sys.executable, "-I", "-S", "-c", text, str(self._home))
        return Program("the script", command, self._home, then=self._prepared if "then" in text else None)

    def _look(self, pid: int) -> Progress:
        self.pids.append(pid)
        return self._looks()

    def _prepared(self) -> None:
        self.prepared += 1


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[..., ChildSpec]:
    def scripted(program: Next = lambda: WAIT, look: Look = lambda: Progress.READY) -> ChildSpec:
        return Scripted.child("script", tmp_path, program, look)

    return scripted


Spec = Callable[..., ChildSpec]


def agent_of(running: Any) -> Scripted:
    agent = running.ref._actor_weakref()
    assert isinstance(agent, Scripted)
    return agent


def is_event(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: bool(event["event"] == name)


def test_the_agent_is_ready_when_the_server_is(house: House, scripted: Spec) -> None:
    looks = iter([Progress.SILENT, Progress.WORKING, Progress.READY])
    running = house.start(scripted(look=lambda: next(looks)))
    running.ready()
    assert next(looks, None) is None
    assert running.status.degraded is None


def test_a_preparation_runs_first_and_the_server_after_it(house: House, scripted: Spec) -> None:
    programs = iter(["'then'", "'then'", WAIT])
    running = house.start(scripted(lambda: next(programs)))
    running.ready()
    assert agent_of(running).prepared == 2
    assert running.status.counters == {}


def test_a_preparation_that_fails_is_begun_again(house: House, scripted: Spec, events: Inbox) -> None:
    programs = iter(["'then'; raise SystemExit('error: no space')", "'then'", WAIT])
    running = house.start(scripted(lambda: next(programs)))
    degraded = events.next(dict, where=is_event("degraded"))
    assert "the script ended with status 1 instead of starting: error: no space" in degraded["reason"]
    events.next(dict, where=is_event("recovered"))
    assert agent_of(running).prepared == 1


def test_a_server_at_work_is_not_disturbed_however_long_it_takes(
    house: House, scripted: Spec, events: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = [Progress.WORKING]

    def look() -> Progress:
        monkeypatch.setattr(server, "START_LIMIT", 0.0)
        return progress[0]

    running = house.start(scripted(look=look))
    running.parent.next(Ready)
    degraded = running.status.degraded
    assert degraded is not None
    assert "is still starting" in degraded.reason
    progress[0] = Progress.READY
    events.next(dict, where=is_event("recovered"))
    assert len(set(agent_of(running).pids)) == 1


def test_a_silent_server_is_killed_and_started_again(
    house: House, scripted: Spec, events: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> Progress:
        monkeypatch.setattr(server, "START_LIMIT", 0.0)
        return Progress.SILENT

    running = house.start(scripted(look=silent))
    assert "was not ready within 0 s" in events.next(dict, where=is_event("degraded"))["reason"]
    assert running.parent.next(Ready)
    assert all_end(agent_of(running).pids[0], timeout=0)


def test_a_server_that_dies_again_and_again_is_started_ever_more_slowly_until_it_lasts(
    house: House, scripted: Spec, events: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = house.start(scripted())
    for failures in (1, 2, 3):
        pid = events.next(dict, where=is_event("server is ready"))["pid"]
        os.kill(pid, signal.SIGKILL)
        events.next(dict, where=is_event("degraded"))
        assert agent_of(running).backoff.failures == failures
    events.next(dict, where=is_event("server is ready"))
    monkeypatch.setattr(server, "LASTING", 0.0)
    running.ref.ask(CheckProcess(), timeout=DEADLINE)
    assert agent_of(running).backoff.failures == 0


def test_what_cannot_be_prepared_now_is_tried_again(house: House, scripted: Spec, events: Inbox) -> None:
    errors = iter([Transient("busy", "the disk is away"), OSError(28, "No space left on device")])

    def program() -> str:
        for error in errors:
            raise error
        return WAIT

    running = house.start(scripted(program))
    running.ready()
    reasons = [events.next(dict, where=is_event("degraded"))["reason"] for _ in range(2)]
    assert reasons == ["busy: the disk is away", "server_failed: [Errno 28] No space left on device"]
    events.next(dict, where=is_event("recovered"))
    assert running.status.state is State.RUNNING


def test_what_only_a_person_can_change_ends_the_agent(house: House, scripted: Spec) -> None:
    def program() -> str:
        raise Permanent("not_installed", "there is no server")

    assert house.start(scripted(program)).died() == Permanent("not_installed", "there is no server")


def test_a_crash_of_the_agent_takes_its_server_with_it(house: House, scripted: Spec, events: Inbox) -> None:
    def look() -> Progress:
        raise ZeroDivisionError

    running = house.start(scripted(look=look))
    agent = agent_of(running)
    assert isinstance(running.died(), ZeroDivisionError)
    assert all_end(*agent.pids, timeout=0)
