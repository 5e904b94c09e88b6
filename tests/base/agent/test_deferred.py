"""Deferred replies: an answer that comes later, while its agent handles other messages, and that always comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pykka
import pytest
from attrs import frozen

from dataplatform.base.agent import Address, Agent, Context, Deferred, GetStatus, Request, Terminated
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success, get_data
from tests.support.agents import DEADLINE, Parent, Probe, Stage, Told

Answers = Told[Result[Any]]
Ask = Callable[[Stage, Answers], None]


@frozen
class Owe(Request[int]):
    """Answered when it is paid."""


@frozen
class Pay:
    """Settle what is owed, in the order asked."""

    answers: tuple[int, ...]


@frozen
class Break:
    """A bug."""


class Debtor(Agent):
    """An agent that owes what it is asked for until it is told to pay."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._debts: list[Deferred[int]] = []

    def owe(self) -> Deferred[int]:
        self._debts.append(Deferred())
        return self._debts[-1]

    def at_once(self) -> Deferred[int]:
        paid = self.owe()
        paid.settle(Success(7))
        return paid

    def receive(self, message: Owe | Pay | Break) -> Result[Any] | Deferred[int] | None:
        match message:
            case Owe():
                return self.owe()
            case Pay(answers):
                for debt, answer in zip(self._debts, answers, strict=False):
                    debt.settle(Success(answer))
            case Break():
                raise RuntimeError("boom")
        return None


@pytest.fixture
def debtor(stage: Stage) -> pykka.ActorRef[Any]:
    return stage.start(Debtor, name="debtor")


@pytest.fixture
def address(stage: Stage, debtor: pykka.ActorRef[Any]) -> Address:
    return stage.runtime.directory.address("debtor")


@pytest.fixture
def answers() -> Answers:
    return Told()


def by_call(stage: Stage, answers: Answers) -> None:
    """Have another agent call the debtor."""

    def run(probe: Probe) -> None:
        probe.call(probe.address("debtor"), Owe(), answers.tell, timeout=100.0)

    stage.probe("caller")
    stage.tell("caller", run)


def test_other_messages_are_handled_while_an_answer_is_owed(address: Address) -> None:
    first, second = address.future(Owe()), address.future(Owe())
    status = get_data(address.ask(GetStatus(), DEADLINE))
    assert status.busy_s == 0.0
    address.tell(Pay((1, 2)))
    assert (first.get(timeout=DEADLINE), second.get(timeout=DEADLINE)) == (Success(1), Success(2))


def test_answers_need_not_come_in_the_order_asked(debtor: pykka.ActorRef[Any]) -> None:
    proxy: Any = debtor.proxy()
    first, second = proxy.owe(), proxy.at_once()
    assert second.get(timeout=DEADLINE) == Success(7)
    debtor.tell(Pay((5,)))
    assert first.get(timeout=DEADLINE) == Success(5)


def test_a_call_hears_a_deferred_answer(stage: Stage, address: Address, answers: Answers) -> None:
    by_call(stage, answers)
    get_data(stage.runtime.directory.address("caller").ask(GetStatus(), DEADLINE))  # the call is in the inbox by now
    address.tell(Pay((3,)))
    assert answers.next() == Success(3)


def test_the_second_answer_to_one_request_counts_for_nothing(address: Address) -> None:
    answer = address.future(Owe())
    address.tell(Pay((1,)))
    address.tell(Pay((2,)))
    get_data(address.ask(GetStatus(), DEADLINE))
    assert answer.get(timeout=DEADLINE) == Success(1)


def test_an_agent_that_stops_answers_what_it_owes(
    stage: Stage, debtor: pykka.ActorRef[Any], address: Address, answers: Answers
) -> None:
    by_call(stage, answers)
    asked = address.future(Owe())
    get_data(stage.runtime.directory.address("caller").ask(GetStatus(), DEADLINE))
    debtor.stop(timeout=DEADLINE)
    stopping = Failure(Transient("stopping", "debtor is stopping"))
    assert (asked.get(timeout=DEADLINE), answers.next()) == (stopping, stopping)


def test_an_agent_that_crashes_answers_what_it_owes(
    stage: Stage, parent: Parent, address: Address, answers: Answers
) -> None:
    by_call(stage, answers)
    asked = address.future(Owe())
    get_data(stage.runtime.directory.address("caller").ask(GetStatus(), DEADLINE))
    address.tell(Break())
    crashed = Failure(Transient("crashed", "debtor crashed: RuntimeError: boom"))
    assert (asked.get(timeout=DEADLINE), answers.next()) == (crashed, crashed)
    assert parent.until_type(Terminated).name == "debtor"


def test_an_agent_waits_without_being_held_up(stage: Stage, address: Address, answers: Answers) -> None:
    stage.probe("patient")
    stage.tell("patient", lambda probe: probe.wait(60.0, lambda: answers.tell(Success(probe.name))))
    get_data(stage.runtime.directory.address("patient").ask(GetStatus(), DEADLINE))
    assert answers.rest() == []
    stage.clock.advance(60.0)
    assert answers.next() == Success("patient")
