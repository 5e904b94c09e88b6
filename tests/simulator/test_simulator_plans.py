"""What a paid plan is given, and how everybody else is refused it, as CoinGecko does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import requests

from dataplatform.simulator import Simulator

KEY = {"x-cg-pro-api-key": "CG-abcdef123456"}
HOUR, DAY = 3_600_000, 86_400_000
FIVE_MINUTES = HOUR // 12
BITCOIN = "/coins/bitcoin"


def get(simulator: Simulator, path: str, headers: Any = KEY, **parameters: Any) -> requests.Response:
    asked = {"vs_currency": "usd", **parameters}
    return requests.get(simulator.base_url + path, params=asked, headers=headers, timeout=60)


def range_of(simulator: Simulator, days: float) -> dict[str, int]:
    now = int(simulator.market.now().timestamp())
    return {"from": int(now - days * DAY / 1000), "to": now}


@pytest.mark.parametrize(("interval", "width"), [("hourly", HOUR), ("daily", DAY)])
@pytest.mark.parametrize("days", [1, 7, 14, 30, 90])
def test_candles_are_as_wide_as_the_interval(simulator: Simulator, interval: str, width: int, days: int) -> None:
    rows = get(simulator, f"{BITCOIN}/ohlc", days=days, interval=interval).json()
    closes = [row[0] for row in rows]
    assert days * DAY // width - 1 <= len(rows) <= days * DAY // width
    assert {after - before for before, after in pairwise(closes)} <= {width}
    assert all(closed % width == 0 for closed in closes)


@pytest.mark.parametrize(("interval", "width", "days"), [("hourly", HOUR, 31), ("daily", DAY, 180)])
def test_a_range_gives_the_candles_that_close_in_it(simulator: Simulator, interval: str, width: int, days: int) -> None:
    asked = range_of(simulator, days)
    closes = [row[0] for row in get(simulator, f"{BITCOIN}/ohlc/range", interval=interval, **asked).json()]
    assert asked["from"] * 1000 <= closes[0] < asked["from"] * 1000 + width
    assert asked["to"] * 1000 - width < closes[-1] <= asked["to"] * 1000
    assert {after - before for before, after in pairwise(closes)} == {width}


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (f"{BITCOIN}/ohlc", {"days": 1, "interval": "5m"}),
        (f"{BITCOIN}/ohlc", {"days": 180, "interval": "hourly"}),
        (f"{BITCOIN}/ohlc/range", {"interval": "weekly"}),
        (f"{BITCOIN}/market_chart", {"days": 1, "interval": "minutely"}),
    ],
)
def test_what_nobody_is_given_is_a_bad_request(simulator: Simulator, path: str, parameters: dict[str, Any]) -> None:
    answered = get(simulator, path, **range_of(simulator, 1), **parameters)
    assert (answered.status_code, set(answered.json())) == (400, {"error"})


def test_a_range_that_is_too_long_is_a_bad_request(simulator: Simulator) -> None:
    for interval, days in (("hourly", 32), ("daily", 181)):
        asked = {"interval": interval, **range_of(simulator, days)}
        assert get(simulator, f"{BITCOIN}/ohlc/range", **asked).status_code == 400


@pytest.mark.parametrize(("interval", "width"), [("5m", FIVE_MINUTES), ("hourly", HOUR), ("daily", DAY)])
def test_a_chart_is_as_dense_as_the_interval(simulator: Simulator, interval: str, width: int) -> None:
    points = get(simulator, f"{BITCOIN}/market_chart", days=3, interval=interval).json()["prices"]
    *moments, _now = [moment for moment, _ in points]
    assert {after - before for before, after in pairwise(moments)} == {width}


def test_history_of_a_paid_plan_reaches_back_to_the_beginning(simulator: Simulator) -> None:
    points = get(simulator, f"{BITCOIN}/market_chart", days="max").json()["prices"]
    assert points[0][0] == 1_367_107_200_000  # 2013-04-28
    assert get(simulator, f"{BITCOIN}/market_chart/range", **range_of(simulator, 1000)).status_code == 200


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        (f"{BITCOIN}/ohlc", {"days": 1, "interval": "hourly"}, 10005),
        (f"{BITCOIN}/ohlc/range", {"from": 1, "to": 2, "interval": "daily"}, 10005),
        (f"{BITCOIN}/market_chart", {"days": 1, "interval": "hourly"}, 10005),
        (f"{BITCOIN}/market_chart", {"days": 366}, 10012),
        (f"{BITCOIN}/market_chart", {"days": "max"}, 10012),
        (f"{BITCOIN}/market_chart/range", {"from": 1, "to": 2}, 10012),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"x-cg-demo-api-key": "CG-1"}])
def test_others_are_refused_with_coingecko_s_own_codes(
    simulator: Simulator, path: str, parameters: dict[str, Any], code: int, headers: dict[str, str]
) -> None:
    refused = get(simulator, path, headers, **parameters)
    body = refused.json()
    assert (refused.status_code, body.get("error", body)["status"]["error_code"]) == (401, code)
