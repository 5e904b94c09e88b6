from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from dataplatform.simulator import Simulator

Get = Callable[..., requests.Response]


def test_ping_says_that_it_is_a_simulator(get: Get) -> None:
    response = get("/ping")
    assert response.json() == {"gecko_says": "(V3) To the Moon!"}
    assert response.headers["X-Simulator"] == "dataplatform"
    assert response.headers["Server"] == "dataplatform-simulator"


@pytest.mark.parametrize("path", ["/ping", "/no/such/path", "/coins/markets", "/global"])
def test_every_answer_has_the_simulators_server_header_and_no_other(get: Get, path: str) -> None:
    assert get(path).headers["Server"] == "dataplatform-simulator"


def test_unknown_ids_and_currencies_are_absent_from_simple_price_in_silence(get: Get) -> None:
    prices = get("/simple/price", ids="bitcoin,no-such-coin,ethereum", vs_currencies="usd,xyz,eur").json()
    assert prices.keys() == {"bitcoin", "ethereum"}
    assert prices["bitcoin"].keys() == {"usd", "eur"}


def test_unknown_ids_are_absent_from_the_markets_in_silence(get: Get) -> None:
    rows = get("/coins/markets", vs_currency="usd", ids="no-such-coin,ethereum,bitcoin").json()
    assert [row["id"] for row in rows] == ["bitcoin", "ethereum"]
    assert get("/coins/markets", vs_currency="usd", ids="no-such-coin").json() == []


def test_simple_price_rounds_as_asked(get: Get) -> None:
    asked = {"ids": "bitcoin", "vs_currencies": "usd"}
    full = get("/simple/price", **asked, precision="full").json()["bitcoin"]["usd"]
    assert full != round(full, 6)
    assert get("/simple/price", **asked, precision="3").json()["bitcoin"]["usd"] == round(full, 3)
    assert get("/simple/price", **asked).json()["bitcoin"]["usd"] == round(full)


def test_the_simple_price_is_that_of_the_market(simulator: Simulator, get: Get) -> None:
    answer = get("/simple/price", ids="cardano", vs_currencies="eur", precision="full").json()
    assert answer["cardano"]["eur"] == simulator.market.price("cardano", "eur")


def test_markets_come_by_capitalisation_at_most_250_a_page(get: Get) -> None:
    first = get("/coins/markets", vs_currency="usd", per_page=1000).json()
    second = get("/coins/markets", vs_currency="usd", per_page=250, page=2).json()
    assert (len(first), len(second)) == (250, 50)
    assert len(get("/coins/markets", vs_currency="usd").json()) == 100
    assert get("/coins/markets", vs_currency="usd", page=99).json() == []
    rows = first + second
    assert rows[0]["id"] == "bitcoin"
    assert len({row["id"] for row in rows}) == 300
    ranked = [row for row in rows if row["market_cap"] is not None]
    assert [row["market_cap_rank"] for row in ranked] == list(range(1, len(ranked) + 1))
    caps = [row["market_cap"] for row in ranked]
    assert caps == sorted(caps, reverse=True)


@pytest.mark.parametrize(
    ("order", "field", "falling"),
    [
        ("market_cap_asc", "market_cap", False),
        ("volume_desc", "total_volume", True),
        ("volume_asc", "total_volume", False),
        ("id_asc", "id", False),
        ("id_desc", "id", True),
        ("nonsense", "market_cap", True),
    ],
)
def test_markets_can_be_ordered(get: Get, order: str, field: str, falling: bool) -> None:  # noqa: FBT001 - a case
    ids = "bitcoin,ethereum,solana,cardano,tether"
    values = [row[field] for row in get("/coins/markets", vs_currency="usd", ids=ids, order=order).json()]
    assert values == sorted(values, reverse=falling)


def test_numbers_that_are_no_numbers_are_taken_as_the_default(get: Get) -> None:
    assert len(get("/coins/markets", vs_currency="usd", per_page="many", page="first").json()) == 100
    assert len(get("/coins/markets", vs_currency="usd", per_page=0, page=-3).json()) == 1


def test_some_fields_are_null_for_some_coins(get: Get) -> None:
    asked = {"vs_currency": "usd", "per_page": 250, "price_change_percentage": "7d"}
    rows: list[dict[str, Any]] = get("/coins/markets", **asked).json() + get("/coins/markets", **asked, page=2).json()
    nullable = {name for row in rows for name, value in row.items() if value is None}
    assert {
        "max_supply",
        "total_supply",
        "fully_diluted_valuation",
        "market_cap",
        "market_cap_rank",
        "price_change_percentage_24h",
        "price_change_percentage_7d_in_currency",
    } <= nullable
    assert nullable.isdisjoint({"id", "symbol", "name", "current_price", "total_volume", "last_updated"})
    real = [row for row in rows if not row["id"].startswith("sim-coin-")]
    assert {name for row in real for name, value in row.items() if value is None} == {"max_supply", "roi"}


def test_an_unknown_capitalisation_is_null_everywhere(get: Get) -> None:
    page = get("/coins/markets", vs_currency="usd", per_page=50, page=6).json()
    coin_id = next(row["id"] for row in page if row["market_cap"] is None)
    prices = get("/simple/price", ids=coin_id, vs_currencies="usd", include_market_cap="true").json()
    assert prices[coin_id]["usd_market_cap"] is None
    chart = get(f"/coins/{coin_id}/market_chart", vs_currency="usd", days=1).json()
    assert {value for _, value in chart["market_caps"]} == {None}
    assert all(value > 0 for _, value in chart["prices"])
    assert get(f"/coins/{coin_id}").json()["market_cap_rank"] is None


def test_the_whole_market_is_the_sum_of_its_coins(simulator: Simulator, get: Get) -> None:
    data = get("/global").json()["data"]
    rows = [row for page in (1, 2) for row in get("/coins/markets", vs_currency="usd", per_page=250, page=page).json()]
    total = sum(row["market_cap"] for row in rows if row["market_cap"] is not None)
    assert data["total_market_cap"]["usd"] == pytest.approx(total, rel=1e-6)
    assert data["active_cryptocurrencies"] == len(simulator.market.coins)
    assert 50 < data["market_cap_percentage"]["btc"] < 70
    assert len(data["market_cap_percentage"]) == 10
    assert list(data["total_volume"]) == get("/simple/supported_vs_currencies").json()


@pytest.mark.parametrize(
    ("path", "parameters", "status", "body"),
    [
        ("/coins/no-such-coin", {}, 404, {"error": "coin not found"}),
        ("/coins/no-such-coin/tickers", {}, 404, {"error": "coin not found"}),
        ("/coins/no-such-coin/ohlc", {"vs_currency": "usd", "days": 1}, 404, {"error": "coin not found"}),
        ("/coins/markets", {"vs_currency": "usdt"}, 400, {"error": "invalid vs_currency"}),
        ("/coins/bitcoin/market_chart", {"vs_currency": "x", "days": 1}, 400, {"error": "invalid vs_currency"}),
        ("/simple/price", {"ids": "bitcoin"}, 422, {"error": "Missing parameter vs_currencies"}),
        ("/simple/price", {"vs_currencies": "usd"}, 422, {"error": "Missing parameter ids"}),
        ("/coins/markets", {}, 422, {"error": "Missing parameter vs_currency"}),
        ("/coins/bitcoin/market_chart", {"vs_currency": "usd"}, 422, {"error": "Missing parameter days"}),
        ("/nonsense", {}, 404, {"error": "Incorrect path. Please check https://www.coingecko.com/api/"}),
    ],
)
def test_wrong_requests_are_refused_as_coingecko_refuses_them(
    get: Get, path: str, parameters: dict[str, object], status: int, body: object
) -> None:
    response = get(path, **parameters)
    assert (response.status_code, response.json()) == (status, body)


def test_what_is_for_paying_customers_is_refused_with_code_10005(get: Get) -> None:
    asked = {"vs_currency": "usd", "from": 1, "to": 2, "interval": "daily"}
    for path in ("/coins/bitcoin/ohlc/range", "/coins/bitcoin/ohlc", "/coins/bitcoin/market_chart"):
        response = get(path, **asked | {"days": 1, "interval": "hourly"})
        assert response.status_code == 401
        assert response.json()["status"]["error_code"] == 10005


@pytest.mark.parametrize("days", ["366", "max", "1e9"])
def test_history_of_more_than_a_year_is_refused_with_code_10012(get: Get, days: str) -> None:
    for path in ("/coins/bitcoin/ohlc", "/coins/bitcoin/market_chart"):
        response = get(path, vs_currency="usd", days=days)
        assert response.status_code == 401
        status = response.json()["error"]["status"]
        assert status["error_code"] == 10012
        assert status["timestamp"] == "2026-05-18T12:49:21.599+00:00"
        assert "365 days" in status["error_message"]


def test_invented_coins_have_invented_contracts_and_the_others_none(get: Get) -> None:
    rows = {row["id"]: row["platforms"] for row in get("/coins/list", include_platform="true").json()}
    assert rows["bitcoin"] == {}
    assert rows["sim-coin-200"]["ethereum"].startswith("0x51b")
    assert len(rows["sim-coin-200"]["ethereum"]) == 42
