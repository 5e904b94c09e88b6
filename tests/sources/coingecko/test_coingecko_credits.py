"""The credits of a paid plan: shown, and spread over the rest of the month before they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataplatform.base.agent.messages import AgentStatus
from dataplatform.base.http import HttpClient, HttpSettings, Response, SetBudget
from dataplatform.base.mcp import McpSettings
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, get_data
from dataplatform.simulator import Simulator, SimulatorSettings
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource, FeedOptions
from dataplatform.sources.coingecko.plans import budget_of, pause_after
from dataplatform.sources.coingecko.transports import Rest
from tests.base.http.scripted_server import ScriptedServer, answer
from tests.dsl.flows import INPUT, SOURCE, Flow
from tests.sources.coingecko.answers import row
from tests.sources.coingecko.conftest import Moment
from tests.sources.coingecko.transports import clocked, over, rest
from tests.support.solo import PATIENCE, Solo
from tests.support.waiting import until

KEY: dict[str, Any] = {"api_key": "CG-abcdef123456", "api_key_header": "x-cg-pro-api-key"}
NOW = datetime(2026, 11, 21, tzinfo=UTC)
CREDITS = 10_000
DAYS_LEFT = 10 * 86_400.0


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7, now=lambda: NOW, credits=CREDITS)) as running:
        yield running


def asked(simulator: Simulator, path: str = "/key") -> int:
    return sum(request.path == f"/api/v3{path}" for request in simulator.requests)


def status_of(agents: Solo, name: str = "coingecko-client") -> AgentStatus:
    status = agents.runtime.directory.status(name)
    assert status is not None
    return status


def told(agents: Solo) -> AgentStatus:
    """Wait until the client has been told of its credits."""
    until(lambda: "budget_left" in status_of(agents).counters, "credits told")
    return status_of(agents)


def test_the_credits_left_are_shown_and_counted_down(simulator: Simulator) -> None:
    simulator.account.charge(1_000)
    with clocked(NOW) as (agents, _):
        reader = over(agents, "coingecko", rest(simulator, **KEY))
        assert told(agents).counters["budget_left"] == CREDITS - 1_000
        of_source = status_of(agents, "coingecko").counters
        assert (of_source["credits_left"], of_source["credits_a_month"]) == (CREDITS - 1_000, CREDITS)
        get_data(reader.get_market_analytics().get(timeout=PATIENCE))
        status = status_of(agents)
        assert (status.counters["budget_left"], status.degraded) == (CREDITS - 1_001, None)


def test_credits_that_run_short_are_spread_and_the_reason_is_said(simulator: Simulator) -> None:
    simulator.account.charge(CREDITS - 801)
    with clocked(NOW) as (agents, clock):
        reader = over(agents, "coingecko", rest(simulator, **KEY))
        status = told(agents)
        assert status.degraded is not None
        assert status.degraded.reason.startswith(
            "saving: 801 of 10,000 credits are left until 1 December 2026, 00:00 UTC; asking once in 18 min; "
        )
        refused = reader.get_market_analytics().get(timeout=PATIENCE)
        assert isinstance(refused, Failure)
        assert refused.error.code == "throttled"
        assert "credits are left" in refused.error.message
        assert "save_credits = false" in refused.error.remedy
        clock.advance(DAYS_LEFT / 800)
        get_data(reader.get_market_analytics().get(timeout=PATIENCE))
        assert asked(simulator, "/global") == 1


def test_with_no_credits_left_only_the_question_after_them_is_asked_and_new_ones_end_that(
    simulator: Simulator,
) -> None:
    simulator.account.charge(CREDITS)
    with clocked(NOW) as (agents, clock):
        reader = over(agents, "coingecko", rest(simulator, **KEY))
        told(agents)
        refused = reader.get_market_analytics().get(timeout=PATIENCE)
        assert isinstance(refused, Failure)
        assert "none of 10,000 credits is left until 1 December 2026" in refused.error.message
        assert asked(simulator, "/global") == 0

        simulator.account.credits += CREDITS
        clock.advance(86_401.0)
        until(lambda: status_of(agents).counters["budget_left"] > 0, "credits told again")
        get_data(reader.get_market_analytics().get(timeout=PATIENCE))
        assert status_of(agents).degraded is None


def test_the_credits_are_asked_for_again(simulator: Simulator) -> None:
    with clocked(NOW) as (agents, clock):
        over(agents, "coingecko", rest(simulator, **KEY))
        told(agents)
        clock.advance(DAYS_LEFT / (CREDITS / 100) + 1)
        until(lambda: asked(simulator) == 2, "asked again")


@pytest.mark.parametrize("save_credits", [True, False])
def test_who_has_no_paid_plan_or_does_not_want_to_save_asks_nothing(
    simulator: Simulator, *, save_credits: bool
) -> None:
    settings = rest(simulator) if save_credits else rest(simulator, **KEY)
    with clocked(NOW) as (agents, _):
        reader = over(agents, "coingecko", settings, save_credits=save_credits)
        get_data(reader.get_market_analytics().get(timeout=PATIENCE))
        assert [request.path for request in simulator.requests] == ["/api/v3/global"]
        assert "budget_left" not in status_of(agents).counters


def test_over_mcp_nobody_is_asked_for_credits(simulator: Simulator) -> None:
    settings = McpSettings(url=simulator.mcp_url("static"), headers={"x-cg-pro-api-key": "CG-abcdef123456"})
    with clocked(NOW) as (agents, _):
        reader = over(agents, "coingecko", settings)
        get_data(reader.get_market_analytics().get(timeout=PATIENCE))
        assert [request.path for request in simulator.requests] == ["/api/v3/global"]


@pytest.mark.parametrize("said", [answer(404, {"error": "Incorrect path"}), answer(200, {"plan": None}), answer(500)])
def test_a_server_that_does_not_tell_its_credits_is_asked_all_the_same(said: bytes) -> None:
    server = ScriptedServer(said, answer(200, [row("bitcoin")]))
    with clocked(datetime(2026, 1, 1, tzinfo=UTC)) as (agents, _):
        reader = over(agents, "coingecko", HttpSettings(base_url=server.url, attempts=1, **KEY))
        until(lambda: len(server.heads) == 1, "asked")
        price = get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE))
        assert price.coin_id == "bitcoin"
        assert "budget_left" not in status_of(agents).counters
    server.close()


# A feed


def test_the_polls_of_a_feed_are_spread_and_it_says_why(flow: Flow, moment: Moment) -> None:
    with Simulator(SimulatorSettings(seed=7, now=lambda: moment.now, credits=CREDITS)) as simulator:
        simulator.account.charge(CREDITS)
        settings = HttpSettings(base_url=simulator.base_url, attempts=1, **KEY)
        feeds = (FeedOptions(operation="get_current_prices", top=20, every=60.0),)
        options = CoinGeckoOptions(client=INPUT, feeds=feeds)
        flow.run(
            HttpClient.child(INPUT, settings),
            lambda outbox: CoinGeckoSource.child(SOURCE, options, INPUT, outbox, Rest(settings), stage=2),
            "table",
        )
        flow.until(lambda: flow.reason(INPUT) is not None)
        assert "none of 10,000 credits is left until 1 February 2026" in str(flow.reason(INPUT))
        flow.until(
            lambda: flow.reason(SOURCE) is not None or flow.status(SOURCE).counters.get("records")
        )  # its first poll
        for _ in range(10):
            flow.stage.clock.advance(60.0)
            flow.quiet()
        assert asked(simulator, "/coins/markets") <= 1  # the one that was sent while the credits were asked for
        assert "credits is left" in str(flow.reason(SOURCE))


# What `/key` says


def usage(**changes: Any) -> Response:
    body = {"plan": "Other", "monthly_call_credit": 1_000, "current_remaining_monthly_calls": 900} | changes
    return Response(200, json.dumps(body).encode(), {}, "https://api.example/key", NOW)


@pytest.mark.parametrize(
    ("changes", "left", "whole"),
    [
        ({}, 900, 1_000),
        ({"current_remaining_monthly_calls": -5}, 0, 1_000),
        ({"current_remaining_monthly_calls": 900.0, "monthly_call_credit": 1e3}, 900, 1_000),
        ({"api_key_monthly_call_credit": 100, "api_key_current_total_monthly_calls": 40}, 60, 100),
        ({"api_key_monthly_call_credit": 5_000, "api_key_current_total_monthly_calls": 40}, 900, 1_000),
        ({"api_key_monthly_call_credit": None, "api_key_current_total_monthly_calls": None}, 900, 1_000),
    ],
)
def test_the_budget_is_that_of_the_plan_or_of_a_key_with_less(changes: dict[str, Any], left: int, whole: int) -> None:
    budget = budget_of(usage(**changes), NOW)
    assert budget is not None
    assert (budget.left, budget.whole, budget.until) == (left, whole, datetime(2026, 12, 1, tzinfo=UTC))


def test_a_plan_without_a_number_of_credits_is_no_budget() -> None:
    assert budget_of(usage(monthly_call_credit=0, current_remaining_monthly_calls=0), NOW) is None


@pytest.mark.parametrize("wrong", [None, "many", [1]])
def test_credits_that_are_no_number_are_told_with_their_place(wrong: object) -> None:
    with pytest.raises(PlatformError, match=r"\$\.current_remaining_monthly_calls"):
        budget_of(usage(current_remaining_monthly_calls=wrong), NOW)


@pytest.mark.parametrize(
    ("left", "pause"),
    [
        (1_000_000, 300.0),  # never sooner than after five minutes
        (10_000, DAYS_LEFT / 100),
        (800, 86_400.0),
        (1, 86_400.0),
        (0, 86_400.0),
    ],
)
def test_asking_for_the_credits_takes_few_of_them(left: int, pause: float) -> None:
    budget = SetBudget(left, 1_000_000, datetime(2026, 12, 1, tzinfo=UTC))
    assert pause_after(budget, NOW) == pytest.approx(pause)


def test_the_credits_are_asked_for_when_the_month_has_begun() -> None:
    budget = SetBudget(10, 1_000, datetime(2026, 12, 1, tzinfo=UTC))
    assert pause_after(budget, budget.until - timedelta(hours=1)) == 3900.0
