"""Plans: requests put one after the other, and answers turned into what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from dataplatform.base.agent import Address
from dataplatform.dsl.plan import Plan, transformed
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success
from tests.dsl.doubles import Commit, Double
from tests.support.agents import Stage

OUTAGE = Transient("database", "the server is restarting", retry_after=3.0)


def client(stage: Stage, answer: Callable[[Any], Result[Any]]) -> Address:
    stage.start(Double, answer, name="client")
    return stage.runtime.directory.address("client")


def requests(count: int) -> list[Commit]:
    return [Commit(positions=(), reader=str(number)) for number in range(count)]


def test_answers_are_transformed_in_the_order_of_the_requests(stage: Stage) -> None:
    address = client(stage, lambda request: Success(int(request.reader) * 10))
    assert Plan(address, requests(3), sum).ask(Event()) == Success(30)
    assert Plan(address, requests(3), list).ask(Event()) == Success([0, 10, 20])


def test_a_plan_without_requests_transforms_nothing(stage: Stage) -> None:
    assert Plan(client(stage, Success), [], len).ask(Event()) == Success(0)


def test_the_first_failure_is_the_answer_and_nothing_more_is_asked(stage: Stage) -> None:
    asked: list[str] = []

    def answer(request: Commit) -> Result[int]:
        asked.append(request.reader)
        return Failure(OUTAGE) if request.reader == "1" else Success(1)

    assert Plan(client(stage, answer), requests(3), sum).ask(Event()) == Failure(OUTAGE)
    assert asked == ["0", "1"]


def test_a_stop_ends_a_plan_between_two_requests(stage: Stage) -> None:
    stopping = Event()

    def answer(_: Commit) -> Result[int]:
        stopping.set()
        return Success(1)

    error = Plan(client(stage, answer), requests(3), sum).ask(stopping)
    assert isinstance(error, Failure)
    assert (type(error.error), error.error.code) == (Transient, "stopping")


def test_what_a_transform_refuses_is_a_failure_and_its_bugs_are_raised(stage: Stage) -> None:
    error = Permanent("changed_shape", "no list")

    def refuse(_: list[Any]) -> None:
        raise error

    plan = Plan(client(stage, Success), [], refuse)
    assert transformed(plan, []) == Failure(error)
    with pytest.raises(ZeroDivisionError):
        transformed(Plan(plan.client, [], lambda _: 1 // 0), [])


HELD_BACK = Transient("throttled", "30 requests a minute are used up", retry_after=0.01)


def holding_back(times: int, error: Transient = HELD_BACK) -> Callable[[Any], Result[int]]:
    """Answer after so many refusals."""
    left = [Failure(error)] * times
    return lambda _: left.pop() if left else Success(1)


def test_requests_that_are_held_back_wait_for_their_turn_while_the_patience_lasts(stage: Stage) -> None:
    address = client(stage, holding_back(3))
    assert Plan(address, requests(2), sum, patience=1.0).ask(Event()) == Success(2)


@pytest.mark.parametrize(("times", "patience"), [(1, 0.0), (3, 0.025)])
def test_when_the_patience_is_at_its_end_that_is_the_failure(stage: Stage, times: int, patience: float) -> None:
    address = client(stage, holding_back(times))
    assert Plan(address, requests(2), sum, patience=patience).ask(Event()) == Failure(HELD_BACK)


def test_a_pause_longer_than_the_patience_is_not_waited_for(stage: Stage) -> None:
    error = Transient("throttled", "5 requests a minute are used up", retry_after=3600.0)
    address = client(stage, holding_back(1, error))
    assert Plan(address, requests(1), sum, patience=8.0).ask(Event()) == Failure(error)


def test_a_pause_that_the_server_asked_for_is_not_waited_for(stage: Stage) -> None:
    error = Transient("rate_limited", "429", retry_after=0.01)
    address = client(stage, holding_back(1, error))
    assert Plan(address, requests(1), sum, patience=8.0).ask(Event()) == Failure(error)


def test_a_stop_ends_the_wait_for_a_turn(stage: Stage) -> None:
    stopping = Event()

    def hold_back(_: Commit) -> Result[int]:
        stopping.set()
        return Failure(Transient("throttled", "1 request an hour", retry_after=3600.0))

    answer = Plan(client(stage, hold_back), requests(1), sum, patience=7200.0).ask(stopping)
    assert isinstance(answer, Failure)
    assert answer.error.code == "stopping"


def test_none_stands_for_what_there_is_not_where_a_plan_says_so(stage: Stage) -> None:
    missing = Permanent("not_found", "no such coin")

    def answer(request: Commit) -> Result[int]:
        return Failure(missing) if request.reader == "1" else Success(int(request.reader))

    address = client(stage, answer)
    assert Plan(address, requests(3), list, absent=frozenset({"not_found"})).ask(Event()) == Success([0, None, 2])
    assert Plan(address, requests(3), list, absent=frozenset({"gone"})).ask(Event()) == Failure(missing)


def test_requests_that_follow_from_answers_are_put_after_them(stage: Stage) -> None:
    address = client(stage, lambda request: Success(int(request.reader) + 1))
    plan = Plan(address, requests(2), list, more=lambda answers: requests(sum(answers)))
    assert plan.ask(Event()) == Success([1, 2, 1, 2, 3])
    assert Plan(address, requests(2), list, more=lambda _: []).ask(Event()) == Success([1, 2])


def test_a_transform_may_give_notes_besides_the_data(stage: Stage) -> None:
    address = client(stage, lambda _: Success(7))
    answer = Plan(address, requests(1), lambda answers: Success(sum(answers), ("about",))).ask(Event())
    assert answer == Success(7)
    assert isinstance(answer, Success)
    assert answer.notes == ("about",)
