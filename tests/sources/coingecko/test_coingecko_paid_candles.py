"""Candles of 1 h and 1 d, and older history: what a paid plan adds, over every transport; without one it is said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery
from dataplatform.errors import Permanent
from dataplatform.result import Failure, get_data
from dataplatform.simulator import Simulator, SimulatorSettings
from dataplatform.sources.coingecko.plans import PRICING, is_paid
from tests.sources.coingecko.transports import NOON, clocked, over, rest
from tests.support.solo import PATIENCE

KEY = {"x-cg-pro-api-key": "CG-abcdef123456"}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = NOON.replace(hour=0, minute=0, second=0)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7, now=lambda: NOON, paid=True)) as running:
        yield running


@pytest.fixture(scope="module")
def late() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7, now=lambda: NOON, paid=True, early_tools=False)) as running:
        yield running


@pytest.fixture(params=["rest", "static", "code", "late"])
def reader(request: pytest.FixtureRequest, simulator: Simulator, late: Simulator) -> Iterator[ReaderProxy]:
    """A source with the key of a paid plan, over each transport and each generation of tools."""
    settings: dict[str, HttpSettings | McpSettings] = {
        "rest": rest(simulator, api_key=KEY["x-cg-pro-api-key"], api_key_header="X-CG-Pro-API-Key"),
        "static": McpSettings(url=simulator.mcp_url("static"), headers=KEY),
        "code": McpSettings(url=simulator.mcp_url("code"), headers=KEY),
        "late": McpSettings(url=late.mcp_url("static"), headers=KEY),
    }
    with clocked() as (agents, _):
        yield over(agents, "reader", settings[request.param])


def ranged(reader: ReaderProxy, since: datetime, until: datetime, interval: str) -> list[tuple[datetime, float, float]]:
    query = DateRangeOHLCVQuery("bitcoin", since, until, interval)
    found = get_data(reader.get_ohlcv_by_date_range(query).get(timeout=PATIENCE))
    return [(candle.timestamp, candle.open, candle.close) for candle in found.candles]


def expected(simulator: Simulator, since: datetime, step: timedelta, count: int) -> list[tuple[datetime, Any, Any]]:
    """The market's candles from a time on, each by its open, rounded as CoinGecko rounds them."""
    half_hours = int(step / timedelta(minutes=30))
    candles = []
    for number in range(count):
        opened = since + number * step
        candle = simulator.market.candle("bitcoin", "usd", half_hours, int(opened.timestamp() // 1800))
        candles.append((opened, pytest.approx(candle.open, abs=1), pytest.approx(candle.close, abs=1)))
    return candles


@pytest.mark.parametrize(
    ("interval", "step", "opened"),
    [("1h", HOUR, NOON.replace(hour=11, minute=0, second=0)), ("1d", DAY, MIDNIGHT - DAY)],
)
def test_the_latest_candle_is_the_last_that_has_closed(
    reader: ReaderProxy, simulator: Simulator, interval: str, step: timedelta, opened: datetime
) -> None:
    latest = get_data(reader.get_current_ohlcv("bitcoin", interval).get(timeout=PATIENCE))
    assert [(latest.timestamp, latest.open, latest.close)] == expected(simulator, opened, step, 1)
    assert latest.timeframe == interval


@pytest.mark.parametrize(("interval", "step", "count"), [("1h", HOUR, 40 * 24), ("1d", DAY, 400)])
def test_a_range_longer_than_one_request_gives_is_whole_and_no_candle_is_twice(
    reader: ReaderProxy, simulator: Simulator, interval: str, step: timedelta, count: int
) -> None:
    since = MIDNIGHT - count * step - DAY
    found = ranged(reader, since, since + count * step, interval)
    assert found == expected(simulator, since, step, count)


def test_history_reaches_back_beyond_365_days(reader: ReaderProxy) -> None:
    prices = get_data(reader.get_price_history("bitcoin", 400).get(timeout=PATIENCE))
    assert prices[0].last_updated < NOON - timedelta(days=398)


@pytest.mark.parametrize(("interval", "remedy"), [("1h", f"paid plan: {PRICING}"), ("1m", "ask for one of these")])
def test_without_a_paid_plan_it_is_said_what_there_is_and_nothing_is_asked(
    simulator: Simulator, interval: str, remedy: str
) -> None:
    simulator.requests.clear()
    with clocked() as (agents, _):
        reader = over(agents, "reader", rest(simulator))
        query = DateRangeOHLCVQuery("bitcoin", NOON - DAY, NOON, interval)
        for asked in (reader.get_ohlcv_by_date_range(query), reader.get_latest_ohlcv(["bitcoin"], interval)):
            answered = asked.get(timeout=PATIENCE)
            assert isinstance(answered, Failure)
            assert (type(answered.error), answered.error.code) == (Permanent, "unsupported")
            assert f"no candles of {interval} without a paid plan; there are 30m, 4h, 4d" in answered.error.message
            assert remedy in answered.error.remedy
    assert not simulator.requests


@pytest.mark.parametrize(
    ("settings", "paid"),
    [
        (HttpSettings(base_url="https://api.coingecko.com/api/v3"), False),
        (HttpSettings(base_url="https://api.coingecko.com/api/v3", api_key="CG-1"), False),
        (HttpSettings(base_url="https://pro-api.coingecko.com/api/v3", api_key="CG-1"), True),
        (HttpSettings(base_url="https://gateway.example", api_key="CG-1", api_key_header="X-Cg-Pro-Api-Key"), True),
        (HttpSettings(base_url="https://gateway.example", api_key_header="x-cg-pro-api-key"), False),
        (HttpSettings(base_url="https://gateway.example", headers=KEY), True),
        (McpSettings(url="https://mcp.api.coingecko.com/mcp"), False),
        (McpSettings(url="https://mcp.pro-api.coingecko.com/mcp"), True),
        (McpSettings(url="https://gateway.example/mcp", headers=KEY), True),
        (McpSettings(transport="stdio", command="npx", env={"COINGECKO_PRO_API_KEY": "CG-1"}), True),
        (McpSettings(transport="stdio", command="npx", env={"COINGECKO_DEMO_API_KEY": "CG-1"}), False),
        (None, False),
    ],
)
def test_the_plan_is_known_from_the_settings_of_the_client(
    settings: HttpSettings | McpSettings | None, *, paid: bool
) -> None:
    assert is_paid(settings) is paid
