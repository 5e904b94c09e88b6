"""A budget of requests: free while there is plenty, spread over the time left when there is not, and never overrun."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from dataplatform.base.agent import ManualClock
from dataplatform.base.http import Get, SetBudget
from dataplatform.base.http.rate import Budget
from dataplatform.errors import Transient
from tests.base.http.driven_client import Client
from tests.base.http.scripted_server import ScriptedServer, answer
from tests.support.waiting import DEADLINE

START = datetime(2026, 1, 21, tzinfo=UTC)
MONTH_END = datetime(2026, 2, 1, tzinfo=UTC)
DAY = timedelta(days=1).total_seconds()
SCARCE = SetBudget(99, 1_000, START + timedelta(seconds=9_900), "credits", "get credits")


def spent(clock: ManualClock, budget: Budget, step: float, steps: int) -> list[float]:
    """The times at which requests were sent by somebody who would like to send one at every step."""
    sent = []
    for _ in range(steps):
        if budget.wait() == 0:
            budget.spend()
            sent.append(clock.monotonic())
        clock.advance(step)
    return sent


def test_a_budget_with_plenty_left_holds_nothing_back() -> None:
    clock = ManualClock(START)
    budget = Budget(clock, SetBudget(100, 1_000, MONTH_END))
    assert (budget.wait(), budget.scarcity) == (0.0, None)
    budget.spend()
    assert budget.left == 99
    assert budget.wait() == pytest.approx(11 * DAY / 99)


@pytest.mark.parametrize("left", [1, 10, 99])
def test_a_scarce_budget_lasts_until_the_end_in_even_steps(left: int) -> None:
    clock = ManualClock(START)
    budget = Budget(clock, SetBudget(left, 1_000, MONTH_END))
    sent = spent(clock, budget, 60.0, 11 * 1440)
    assert left - 2 <= len(sent) <= left
    pauses = [after - before for before, after in zip([0.0, *sent], [*sent], strict=False)]
    assert all(pause == pytest.approx(11 * DAY / left, rel=0.1) for pause in pauses)


def test_somebody_who_asks_all_the_time_never_meets_the_end_of_a_budget() -> None:
    clock = ManualClock(START)
    budget = Budget(clock, SetBudget(1_000, 1_000, MONTH_END))
    sent = spent(clock, budget, 60.0, 11 * 1440)
    assert 995 <= len(sent) <= 1_000
    assert sent[-1] > 10.5 * DAY


def test_a_budget_that_is_used_up_holds_everything_back_until_its_end_and_nothing_after_it() -> None:
    clock = ManualClock(START)
    budget = Budget(clock, SetBudget(0, 1_000, MONTH_END, "credits"))
    assert budget.wait() == 11 * DAY
    assert budget.scarcity is not None
    assert budget.scarcity.message == (
        "none of 1,000 credits is left until 1 February 2026, 00:00 UTC; nothing is asked before"
    )
    clock.advance(11 * DAY)
    assert budget.wait() == 0.0


def test_questions_after_the_budget_take_nobody_s_turn() -> None:
    clock = ManualClock(START)
    budget = Budget(clock, SCARCE)
    for _ in range(9):
        clock.advance(10.0)
        budget.spend(of_budget=True)
        budget = budget.renewed(evolve(SCARCE, left=budget.left))
    clock.advance(20.0)
    assert budget.wait() == 0.0


@pytest.mark.parametrize("wrong", [{"left": -1}, {"whole": 0}, {"until": datetime(2026, 2, 1)}])  # noqa: DTZ001
def test_what_is_no_budget_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        evolve(SCARCE, **wrong)


# The client

Start = Callable[..., Client]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


def test_a_client_shows_what_is_left_and_counts_what_it_sends(server: ScriptedServer, start: Start) -> None:
    client = start(base_url=server.url)
    client.tell(SetBudget(500, 1_000, MONTH_END, "credits"))
    client.get()
    assert client.vitals.counters["budget_left"] == 499
    assert client.vitals.degraded is None


def test_a_client_short_of_requests_is_degraded_with_the_reason_and_spreads_them(
    server: ScriptedServer, start: Start, clock: ManualClock
) -> None:
    client = start(base_url=server.url)
    client.tell(SCARCE)
    error = client.fail()
    told = "99 of 1,000 credits are left until 21 January 2026, 02:45 UTC; asking once in 100 s"
    assert error == Transient("throttled", told, remedy="get credits", retry_after=100.0)
    assert client.vitals.degraded is not None
    assert client.vitals.degraded.reason == f"saving: {told}; get credits"
    clock.advance(100.0)
    client.get()
    assert client.vitals.counters["budget_left"] == 98
    assert client.fail().code == "throttled"
    assert len(server.heads) == 1


def test_a_question_after_the_budget_is_sent_though_nothing_is_left(server: ScriptedServer, start: Start) -> None:
    client = start(base_url=server.url)
    client.tell(evolve(SCARCE, left=0))
    assert client.fail().code == "throttled"
    client.ask(Get("/key", of_budget=True))
    assert len(server.heads) == 1


def test_a_request_that_failed_is_not_repeated_at_the_expense_of_a_scarce_budget(
    server: ScriptedServer, start: Start, clock: ManualClock
) -> None:
    server.script += [answer(500), answer(500)]
    client = start(base_url=server.url, attempts=2, timeout=DEADLINE)
    client.tell(SCARCE)
    assert client.fail().code == "throttled"
    clock.advance(100.0)
    assert client.fail().code == "server_error"
    assert len(server.heads) == 1


def test_a_client_recovers_when_there_is_plenty_again(server: ScriptedServer, start: Start, clock: ManualClock) -> None:
    client = start(base_url=server.url)
    client.tell(SCARCE)
    assert client.fail().code == "throttled"
    clock.advance(9_900.0)
    client.get()
    client.get()
    assert client.vitals.degraded is None
