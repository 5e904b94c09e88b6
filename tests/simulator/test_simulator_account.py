"""The account of a paid plan, as CoinGecko tells of it at `/key`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests
from attrs import define

from dataplatform.simulator import Simulator, SimulatorSettings

KEY = {"x-cg-pro-api-key": "CG-abcdef123456"}


@define(eq=False)
class Moment:
    now: datetime = datetime(2026, 1, 31, 23, tzinfo=UTC)


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def simulator(moment: Moment) -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7, now=lambda: moment.now, credits=10_000)) as simulator:
        yield simulator


def ask(simulator: Simulator, path: str, headers: dict[str, str] = KEY) -> requests.Response:
    return requests.get(simulator.base_url + path, headers=headers, timeout=60)


def test_an_account_is_told_in_coingecko_s_form(simulator: Simulator) -> None:
    ask(simulator, "/global")
    assert ask(simulator, "/key").json() == {
        "plan": "Analyst",
        "rate_limit_request_per_minute": 500,
        "monthly_call_credit": 10_000,
        "current_total_monthly_calls": 1,
        "current_remaining_monthly_calls": 9_999,
        "api_key_rate_limit_request_per_minute": 500,
        "api_key_monthly_call_credit": 10_000,
        "api_key_current_total_monthly_calls": 1,
    }


def test_each_answer_costs_a_credit_and_a_refusal_none(simulator: Simulator) -> None:
    for path in ("/key", "/global", "/coins/no-such-coin/ohlc?vs_currency=usd&days=1", "/nowhere"):
        ask(simulator, path)
    ask(simulator, "/global", {})
    assert simulator.account.used == 2


def test_credits_used_up_are_none_left_and_a_new_month_has_all_again(simulator: Simulator, moment: Moment) -> None:
    simulator.account.charge(20_000)
    assert ask(simulator, "/key").json()["current_remaining_monthly_calls"] == 0
    moment.now += timedelta(hours=1)
    assert ask(simulator, "/key").json()["current_remaining_monthly_calls"] == 10_000


@pytest.mark.parametrize("headers", [{}, {"x-cg-demo-api-key": "CG-1"}])
def test_who_has_no_paid_plan_is_refused(simulator: Simulator, headers: dict[str, str]) -> None:
    refused = ask(simulator, "/key", headers)
    assert (refused.status_code, refused.json()["status"]["error_code"]) == (401, 10002)
