from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise

import pytest
import requests

from dataplatform.simulator import Simulator
from dataplatform.simulator.currencies import price

Get = Callable[..., requests.Response]

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("days", "width", "count"),
    [
        (1, 30 * MINUTE, 48),
        (2, 30 * MINUTE, 96),
        (7, 4 * HOUR, 42),
        (14, 4 * HOUR, 84),
        (30, 4 * HOUR, 180),
        (90, 4 * DAY, 22),
        (180, 4 * DAY, 45),
        (365, 4 * DAY, 91),
    ],
)
def test_candles_are_as_wide_as_coingecko_chooses(get: Get, now: datetime, days: int, width: int, count: int) -> None:
    rows = get("/coins/bitcoin/ohlc", vs_currency="usd", days=days).json()
    closes = [row[0] for row in rows]
    assert count - 1 <= len(rows) <= count
    assert {after - before for before, after in pairwise(closes)} == {width}
    assert closes[-1] % width == 0
    assert 0 <= now.timestamp() * 1000 - closes[-1] < width


@pytest.mark.parametrize("days", [3, 4, 60, 0.5])
def test_candles_of_other_numbers_of_days_are_refused(get: Get, days: float) -> None:
    response = get("/coins/bitcoin/ohlc", vs_currency="usd", days=days)
    assert response.status_code == 400
    assert "1/2/7/14/30/90/180/365" in response.json()["error"]


@pytest.mark.parametrize("coin_id", ["bitcoin", "ethereum", "shiba-inu", "tether", "sim-coin-200"])
@pytest.mark.parametrize("code", ["usd", "jpy", "btc"])
def test_candles_contain_the_prices_of_the_chart(get: Get, coin_id: str, code: str) -> None:
    candles = get(f"/coins/{coin_id}/ohlc", vs_currency=code, days=1).json()
    chart = get(f"/coins/{coin_id}/market_chart", vs_currency=code, days=1).json()
    prices = [(stamp, price(value, code)) for stamp, value in chart["prices"]]
    for closed, opened, high, low, close in candles[1:]:
        within = [value for stamp, value in prices if closed - 30 * MINUTE <= stamp <= closed]
        assert len(within) == 7
        assert (opened, close) == (within[0], within[-1])
        assert low <= min(within) <= max(within) <= high


def test_the_open_of_a_candle_is_the_close_of_the_one_before(get: Get) -> None:
    rows = get("/coins/solana/ohlc", vs_currency="usd", days=30).json()
    assert [row[1] for row in rows[1:]] == [row[4] for row in rows[:-1]]


@pytest.mark.parametrize(
    ("days", "interval", "spacing", "count"),
    [
        (0.5, "", 5 * MINUTE, 145),
        (1, "", 5 * MINUTE, 289),
        (2, "", HOUR, 49),
        (90, "", HOUR, 2161),
        (91, "", DAY, 92),
        (365, "", DAY, 366),
        (30, "daily", DAY, 31),
    ],
)
def test_charts_are_as_fine_as_coingecko_chooses_and_end_now(
    simulator: Simulator, get: Get, days: float, interval: str, spacing: int, count: int
) -> None:
    chart = get("/coins/ethereum/market_chart", vs_currency="eur", days=days, interval=interval).json()
    stamps = [stamp for stamp, _ in chart["prices"]]
    assert len(stamps) == count
    assert {after - before for before, after in pairwise(stamps[:-1])} == {spacing}
    assert all(stamp % spacing == 0 for stamp in stamps[:-1])
    now = simulator.market.refreshed()
    assert chart["prices"][-1] == [now * 1000, simulator.market.price("ethereum", "eur")]
    assert [stamp for stamp, _ in chart["market_caps"]] == [stamp for stamp, _ in chart["total_volumes"]] == stamps


def test_a_chart_shows_what_the_price_was_then(simulator: Simulator, get: Get) -> None:
    chart = get("/coins/monero/market_chart", vs_currency="usd", days=7).json()
    for stamp, value in chart["prices"]:
        assert value == simulator.market.price_path("monero").at(stamp / 1000)


def test_a_range_within_the_last_day_is_five_minutely_and_ends_with_the_range(get: Get, now: datetime) -> None:
    until = int(now.timestamp()) - 3_600
    prices = get_range(get, until - 3_600, until)
    assert [after - before for before, after in pairwise(prices)] == [5 * MINUTE] * 11
    assert until * 1000 - 5 * MINUTE < prices[-1] <= until * 1000


def get_range(get: Get, since: object, until: object) -> list[int]:
    parameters = {"vs_currency": "usd", "from": since, "to": until}
    return [stamp for stamp, _ in get("/coins/bitcoin/market_chart/range", **parameters).json()["prices"]]


def test_older_ranges_are_hourly_and_long_ones_daily(get: Get, now: datetime) -> None:
    end = int(now.timestamp())
    old = get_range(get, end - 3 * 86_400, end - 2 * 86_400)
    assert old[1] - old[0] == HOUR
    long = get_range(get, end - 200 * 86_400, end)
    assert long[1] - long[0] == DAY
    assert long[-1] == end * 1000


def test_a_range_may_be_given_as_dates(get: Get) -> None:
    stamps = get_range(get, "2026-05-01", "2026-05-02T00:00:00Z")
    assert stamps[0] == datetime.fromisoformat("2026-05-01T00:00:00Z").timestamp() * 1000
    assert len(stamps) == 25


def test_a_range_in_the_future_is_empty_and_one_beyond_now_ends_now(get: Get, now: datetime) -> None:
    end = int(now.timestamp())
    assert get_range(get, end + 60, end + 3_600) == []
    assert get_range(get, end - 600, end + 3_600)[-1] == end * 1000


@pytest.mark.parametrize(("since", "until"), [("x", 1), (2e9, 1), ("nan", 1), (1_779_000_000, "inf")])
def test_a_range_that_is_none_is_refused(get: Get, since: object, until: object) -> None:
    response = get("/coins/bitcoin/market_chart/range", **{"vs_currency": "usd", "from": since, "to": until})
    assert (response.status_code, response.json()) == (400, {"error": "invalid date range"})


def test_a_range_that_begins_more_than_a_year_ago_is_refused(get: Get, now: datetime) -> None:
    year_ago = now.timestamp() - 365 * 86_400
    parameters = {"vs_currency": "usd", "from": year_ago - 86_400, "to": year_ago + 86_400}
    response = get("/coins/bitcoin/market_chart/range", **parameters)
    assert response.status_code == 401
    assert response.json()["error"]["status"]["error_code"] == 10012
    assert get_range(get, year_ago, year_ago + 86_400)


def test_coins_are_asked_for_by_symbol_or_name_in_any_case(get: Get) -> None:
    def ids(**parameters: str) -> list[str]:
        return [row["id"] for row in get("/coins/markets", vs_currency="usd", **parameters).json()]

    assert ids(symbols="BTC,eth,none") == ids(symbols="btc,ETH", include_tokens="all") == ["bitcoin", "ethereum"]
    assert ids(names="Bitcoin,tether") == ["bitcoin", "tether"]
    assert ids(ids="solana", symbols="btc") == ["solana"]
    assert get("/coins/list", status="inactive").json() == []
