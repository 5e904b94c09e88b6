"""Plans: requests put one after the other by an agent that waits for none of them, and answers turned into data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataplatform.base.agent import Address, GetStatus
from dataplatform.base.http import Get
from dataplatform.dsl.flow.plan import Plan, PlanRun
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success, get_data
from tests.dsl.doubles import Commit, Double
from tests.support.agents import DEADLINE, Probe, Stage, Told

OUTAGE = Transient("database", "the server is restarting", retry_after=3.0)
Answers = Told[Result[Any]]


def client(stage: Stage, answer: Callable[[Any], Result[Any]]) -> Address:
    stage.start(Double, answer, name="client")
    return stage.runtime.directory.address("client")


def requests(count: int) -> list[Commit]:
    return [Commit(positions=(), reader=str(number)) for number in range(count)]


def begin(stage: Stage, plan: Plan[Any]) -> Answers:
    """Have an agent carry a plan out; what it brings is told."""
    brought: Answers = Told()
    stage.probe("asker")
    stage.tell("asker", lambda probe: PlanRun(probe, plan).go_on(brought.tell))
    return brought


def carried_out(stage: Stage, plan: Plan[Any]) -> Result[Any]:
    return begin(stage, plan).next()


def test_answers_are_transformed_in_the_order_of_the_requests(stage: Stage) -> None:
    address = client(stage, lambda request: Success(int(request.reader) * 10))
    assert carried_out(stage, Plan(address, requests(3), list)) == Success([0, 10, 20])


def test_a_plan_without_requests_transforms_nothing(stage: Stage) -> None:
    assert carried_out(stage, Plan(client(stage, Success), [], len)) == Success(0)


def test_the_first_failure_is_the_answer_and_nothing_more_is_asked(stage: Stage) -> None:
    asked: list[str] = []

    def answer(request: Commit) -> Result[int]:
        asked.append(request.reader)
        return Failure(OUTAGE) if request.reader == "1" else Success(1)

    assert carried_out(stage, Plan(client(stage, answer), requests(3), sum)) == Failure(OUTAGE)
    assert asked == ["0", "1"]


def test_an_agent_handles_other_messages_while_a_request_is_under_way(stage: Stage) -> None:
    gate = stage.gate()

    def answer(_: Commit) -> Result[int]:
        gate(None)  # type: ignore[arg-type]  # it only waits
        return Success(1)

    brought = begin(stage, Plan(client(stage, answer), requests(1), sum))
    gate.reached()
    assert get_data(stage.runtime.directory.address("asker").ask(GetStatus(), DEADLINE)).busy_s == 0.0
    gate.open()
    assert brought.next() == Success(1)


def test_a_run_that_broke_off_goes_on_where_it_stopped(stage: Stage) -> None:
    asked: list[str] = []

    def answer(request: Commit) -> Result[int]:
        asked.append(request.reader)
        return Failure(OUTAGE) if asked == ["0", "1"] else Success(int(request.reader))

    brought: Answers = Told()
    runs: list[PlanRun[Any]] = []
    plan = Plan(client(stage, answer), requests(3), list)

    def start(probe: Probe) -> None:
        runs.append(PlanRun(probe, plan))
        runs[0].go_on(brought.tell)

    stage.probe("asker")
    stage.tell("asker", start)
    assert brought.next() == Failure(OUTAGE)
    stage.tell("asker", lambda _: runs[0].go_on(brought.tell))
    assert brought.next() == Success([0, 1, 2])
    assert asked == ["0", "1", "1", "2"]


def test_a_run_whose_answers_were_refused_begins_anew(stage: Stage) -> None:
    refusals = [Transient("not_json", "half a page")]

    def transform(answers: list[Any]) -> list[Any]:
        if refusals:
            raise refusals.pop()
        return answers

    brought: Answers = Told()
    runs: list[PlanRun[Any]] = []
    plan = Plan(client(stage, lambda request: Success(request.reader)), requests(2), transform)

    def go_on(probe: Probe) -> None:
        runs.append(runs[0] if runs else PlanRun(probe, plan))
        runs[0].go_on(brought.tell)

    stage.probe("asker")
    stage.tell("asker", go_on)
    assert isinstance(brought.next(), Failure)
    stage.tell("asker", go_on)
    assert brought.next() == Success(["0", "1"])


def test_what_a_transform_refuses_is_a_failure(stage: Stage) -> None:
    error = Permanent("changed_shape", "no list")

    def refuse(_: list[Any]) -> None:
        raise error

    assert carried_out(stage, Plan(client(stage, Success), [], refuse)) == Failure(error)


@pytest.mark.parametrize("of_route", [False, True])
def test_requests_that_take_turns_say_who_asks_and_how_long_they_wait(stage: Stage, of_route: bool) -> None:  # noqa: FBT001
    asked: list[Get] = []

    def answer(request: Get) -> Result[int]:
        asked.append(request)
        stage.clock.advance(2.0)
        return Success(1)

    pages = [Get("/1"), Get("/2"), Get("/3"), Get("/4")]
    stage.start(Double, answer, name="client")
    plan = Plan(stage.runtime.directory.address("client"), pages, sum, patience=5.0, timeout=100.0)
    brought: Answers = Told()
    stage.probe("asker")
    stage.tell("asker", lambda probe: PlanRun(probe, plan, of_route=of_route).go_on(brought.tell))
    assert brought.next() == Success(4)
    assert [get.patience for get in asked] == [5.0, 3.0, 1.0, 0.0]
    assert {get.of_route for get in asked} == {of_route}


@pytest.mark.parametrize("code", ["throttled", "rate_limited", "busy"])
def test_a_pause_that_a_client_asks_for_is_the_failure(stage: Stage, code: str) -> None:
    refused = Failure(Transient(code, "not now", retry_after=0.01))
    plan = Plan(client(stage, lambda _: refused), requests(1), sum, patience=8.0)
    assert carried_out(stage, plan) == refused


MISSING = Permanent("not_found", "no such coin")


@pytest.mark.parametrize(("absent", "brought"), [("not_found", Success([0, None, 2])), ("gone", Failure(MISSING))])
def test_none_stands_for_what_there_is_not_where_a_plan_says_so(
    stage: Stage, absent: str, brought: Result[Any]
) -> None:
    def answer(request: Commit) -> Result[int]:
        return Failure(MISSING) if request.reader == "1" else Success(int(request.reader))

    address = client(stage, answer)
    plan = Plan(address, requests(3), list, absent=frozenset({absent}))
    assert carried_out(stage, plan) == brought


def refused(_: list[Any]) -> list[Commit]:
    raise OUTAGE


@pytest.mark.parametrize(
    ("more", "brought"),
    [(lambda answers: requests(sum(answers)), [1, 2, 1, 2, 3]), (lambda _: [], [1, 2]), (refused, [1, 2])],
)
def test_requests_that_follow_from_answers_are_put_after_them_once(
    stage: Stage, more: Callable[[list[Any]], list[Commit]], brought: list[int]
) -> None:
    address = client(stage, lambda request: Success(int(request.reader) + 1))
    assert carried_out(stage, Plan(address, requests(2), list, more=more)) == Success(brought)


@pytest.mark.parametrize(
    ("more", "brought"), [(None, [1, 2, 3, 4, 5]), (lambda _: requests(1), [1, 2, 1, 3, 4])], ids=["pages", "both"]
)
def test_pages_are_asked_for_until_there_is_none(
    stage: Stage, more: Callable[[list[Any]], list[Commit]] | None, brought: list[int]
) -> None:
    address = client(stage, lambda request: Success(int(request.reader) + 1))

    def next_page(answers: list[Any]) -> Commit | None:
        return Commit(positions=(), reader=str(answers[-1])) if len(answers) < 5 else None

    plan = Plan(address, requests(2), list, more=more, next_page=next_page)
    assert carried_out(stage, plan) == Success(brought)


def test_a_transform_may_give_notes_besides_the_data(stage: Stage) -> None:
    address = client(stage, lambda _: Success(7))
    answer = carried_out(stage, Plan(address, requests(1), lambda answers: Success(sum(answers), ("about",))))
    assert answer == Success(7)
    assert isinstance(answer, Success)
    assert answer.notes == ("about",)
