"""What an agent understands is what its `receive` is annotated with; anything else is refused and harms nobody."""

from __future__ import annotations

from typing import Annotated, Any, Never, TypeVar, cast

import pykka
import pytest
from attrs import frozen

from dataplatform.base.agent import Agent, Call, Ready, Reply, Request, Terminated
from dataplatform.base.agent.actor import understood_by
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success
from tests.support.agents import DEADLINE, Do, Get, Parent, Stage


@frozen
class Foreign(Request[int]):
    """A request of another agent's protocol."""


@frozen
class Rumour:
    """A notice of another agent's protocol."""


class Foreigner:
    """Neither a request nor anything else that agents know."""

    def __repr__(self) -> str:
        raise RuntimeError("a message may hold secrets, so nobody shows it")


GARBAGE = [None, "hello", b"", 0, 1.5, (), {"stop": True}, object(), Foreign, Agent, RuntimeError("boom"), Foreigner()]
Either = TypeVar("Either", bound=int | str)


def refusal(what: object) -> Failure:
    return Failure(Permanent("unsupported", f"agent does not take {type(what).__name__}"))


def listener(parent: Parent) -> pykka.ActorRef[Any]:
    return cast("pykka.ActorRef[Any]", parent)  # takes answers as an actor does


def lives(agent: pykka.ActorRef[Any], parent: Parent) -> bool:
    alive: bool = agent.ask(Get(lambda _: True), timeout=DEADLINE) == Success(True)
    return alive and not any(isinstance(message, Terminated) for message in parent.rest())


def counted(stage: Stage) -> int:
    status = stage.runtime.directory.status("agent")
    assert status is not None
    return status.counters.get("not_understood", 0)


def test_a_request_that_is_not_understood_is_unsupported_and_kills_nobody(stage: Stage, parent: Parent) -> None:
    agent = stage.probe()
    for _ in range(10):
        assert agent.ask(Foreign(), timeout=DEADLINE) == refusal(Foreign())
    assert lives(agent, parent)
    assert counted(stage) == 10


def test_a_call_that_is_not_understood_is_answered_unsupported(stage: Stage, parent: Parent) -> None:
    agent = stage.probe()
    parent.expect(Ready)
    agent.tell(Call(Foreign(), 7, listener(parent)))
    assert parent.expect(Reply) == Reply(7, refusal(Foreign()))
    assert lives(agent, parent)


def test_a_notice_that_is_not_understood_is_counted(stage: Stage, parent: Parent) -> None:
    agent = stage.probe()
    for _ in range(3):
        agent.tell(Rumour())
    assert lives(agent, parent)
    assert counted(stage) == 3


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda one: type(one).__name__)
def test_garbage_is_refused_however_it_is_sent(stage: Stage, parent: Parent, garbage: object) -> None:
    agent = stage.probe()
    agent.tell(garbage)
    assert agent.ask(garbage, timeout=DEADLINE) == refusal(garbage)
    agent.tell(Call(garbage, 7, listener(parent)))  # type: ignore[arg-type]
    assert parent.until_type(Reply).result == refusal(garbage)
    assert lives(agent, parent)
    assert counted(stage) == 3


def test_a_supervisor_survives_what_it_does_not_understand(stage: Stage) -> None:
    root = stage.supervise(stage.child("child"))
    for garbage in [*GARBAGE, Foreign(), Rumour()]:
        root.tell(garbage)
    assert root.ask(Foreign(), timeout=DEADLINE) == Failure(Permanent("unsupported", "root does not take Foreign"))
    stage.running("child")
    assert stage.restarts("child") == {"child": 0}


def test_a_bug_in_what_is_understood_is_still_a_crash(stage: Stage, parent: Parent) -> None:
    bug = AssertionError("a bug")

    def crash(_: Any) -> None:
        raise bug

    stage.probe().tell(Do(crash))
    assert parent.until_type(Terminated).failure is bug


def test_an_agent_understands_what_its_annotation_names() -> None:
    class Local:
        """A message that only this function knows."""

    class Talker:
        def one(self, message: Foreign) -> None: ...
        def union(self, message: Foreign | Rumour | None) -> None: ...
        def nested(self, message: Annotated[Foreign | (int | str), "note"]) -> None: ...
        def bound(self, message: Either) -> None: ...
        def generic(self, message: list[int]) -> None: ...
        def nothing(self, message: Never) -> None: ...
        def everything(self, message: Any) -> None: ...
        def unsaid(self, message) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
        def local(self, message: Local) -> object:
            return isinstance(message, Local)

    understood = {
        "one": (Foreign,),
        "union": (Foreign, Rumour, type(None)),
        "nested": (Foreign, int, str),
        "bound": (int, str),
        "generic": (list,),
        "nothing": (),
        "everything": (object,),
        "unsaid": (object,),
        "local": (Local,),
    }
    assert {name: understood_by(getattr(Talker, name)) for name in understood} == understood


def test_an_annotation_that_leads_nowhere_is_told_with_its_place() -> None:
    class Lost(Agent):
        def receive(self, message: Missing) -> Result[Any] | None:  # type: ignore[name-defined]  # noqa: F821
            return None

    with pytest.raises(TypeError, match=r"Lost\.receive: name 'Missing' is not defined.*'Missing' names"):
        understood_by(Lost.receive)
