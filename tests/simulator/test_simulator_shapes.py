"""Every answer has CoinGecko's keys and types. A shape is: a type or a tuple of types (an integer is a number without a
point), `[shape]` for an array, `{...}` for an object of exactly these keys, `{"*": shape}` for one of any keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pytest
import requests

Get = Callable[..., requests.Response]

NUMBER = (int, float)
MAYBE = (int, float, type(None))
PER_CURRENCY = {"*": NUMBER}
DATES = {"*": str}

MARKET = {
    "id": str,
    "symbol": str,
    "name": str,
    "image": str,
    "current_price": NUMBER,
    "market_cap": (int, type(None)),
    "market_cap_rank": (int, type(None)),
    "market_cap_rank_with_rehypothecated": int,
    "fully_diluted_valuation": (int, type(None)),
    "total_volume": int,
    "high_24h": NUMBER,
    "low_24h": NUMBER,
    "price_change_24h": (float, type(None)),
    "price_change_percentage_24h": (float, type(None)),
    "market_cap_change_24h": (float, type(None)),
    "market_cap_change_percentage_24h": (float, type(None)),
    "circulating_supply": (float, type(None)),
    "total_supply": (float, type(None)),
    "max_supply": (float, type(None)),
    "ath": NUMBER,
    "ath_change_percentage": float,
    "ath_date": str,
    "atl": NUMBER,
    "atl_change_percentage": float,
    "atl_date": str,
    "roi": type(None),
    "last_updated": str,
}
SPANS = ("1h", "24h", "7d", "14d", "30d", "200d", "1y")
WIDE_MARKET = MARKET | {
    "sparkline_in_7d": {"price": [float]},
    **{f"price_change_percentage_{span}_in_currency": (float, type(None)) for span in SPANS},
}
MARKET_OF_EXCHANGE = {"name": str, "identifier": str, "has_trading_incentive": bool}
TICKER = {
    "base": str,
    "target": str,
    "market": MARKET_OF_EXCHANGE,
    "last": float,
    "volume": float,
    "converted_last": {"btc": NUMBER, "eth": NUMBER, "usd": NUMBER},
    "converted_volume": {"btc": NUMBER, "eth": NUMBER, "usd": NUMBER},
    "trust_score": type(None),
    "bid_ask_spread_percentage": float,
    "timestamp": str,
    "last_traded_at": str,
    "last_fetch_at": str,
    "is_anomaly": bool,
    "is_stale": bool,
    "trade_url": str,
    "token_info_url": type(None),
    "coin_id": str,
    "target_coin_id": str,
    "coin_mcap_usd": float,
}
GLOBAL = {
    "data": {
        "active_cryptocurrencies": int,
        "upcoming_icos": int,
        "ongoing_icos": int,
        "ended_icos": int,
        "markets": int,
        "total_market_cap": PER_CURRENCY,
        "total_volume": PER_CURRENCY,
        "market_cap_percentage": PER_CURRENCY,
        "market_cap_change_percentage_24h_usd": float,
        "volume_change_percentage_24h_usd": float,
        "updated_at": int,
    }
}
CHANGED_SPANS = ("24h", "7d", "14d", "30d", "60d", "200d", "1y")
MARKET_DATA = {
    **dict.fromkeys(("current_price", "ath", "ath_change_percentage", "atl", "atl_change_percentage"), PER_CURRENCY),
    **dict.fromkeys(("market_cap", "fully_diluted_valuation", "total_volume", "high_24h", "low_24h"), PER_CURRENCY),
    **dict.fromkeys(("ath_date", "atl_date"), DATES),
    **dict.fromkeys(("total_value_locked", "mcap_to_tvl_ratio", "fdv_to_tvl_ratio", "roi"), type(None)),
    **dict.fromkeys(("outstanding_token_value_usd", "outstanding_supply"), type(None)),
    **{f"price_change_percentage_{span}": float for span in CHANGED_SPANS},
    **{f"price_change_percentage_{span}_in_currency": PER_CURRENCY for span in ("1h", *CHANGED_SPANS)},
    "market_cap_fdv_ratio": float,
    "market_cap_rank": int,
    "market_cap_rank_with_rehypothecated": int,
    "price_change_24h": float,
    "market_cap_change_24h": float,
    "market_cap_change_percentage_24h": float,
    "price_change_24h_in_currency": PER_CURRENCY,
    "market_cap_change_24h_in_currency": PER_CURRENCY,
    "market_cap_change_percentage_24h_in_currency": PER_CURRENCY,
    "total_supply": float,
    "max_supply": float,
    "max_supply_infinite": bool,
    "circulating_supply": float,
    "last_updated": str,
}
DETAIL_KEYS = {
    "id",
    "symbol",
    "name",
    "web_slug",
    "asset_platform_id",
    "platforms",
    "detail_platforms",
    "block_time_in_minutes",
    "hashing_algorithm",
    "categories",
    "preview_listing",
    "public_notice",
    "additional_notices",
    "has_supply_breakdown",
    "description",
    "links",
    "image",
    "country_origin",
    "genesis_date",
    "sentiment_votes_up_percentage",
    "sentiment_votes_down_percentage",
    "watchlist_portfolio_users",
    "market_cap_rank",
    "market_cap_rank_with_rehypothecated",
    "status_updates",
    "last_updated",
    "localization",
    "market_data",
    "community_data",
    "developer_data",
    "tickers",
}
CHART = {"prices": [list], "market_caps": [list], "total_volumes": [list]}
SIMPLE = {"usd": NUMBER, "usd_market_cap": float, "usd_24h_vol": float, "usd_24h_change": float, "last_updated_at": int}


def differences(document: Any, shape: Any, path: str = "$") -> list[str]:
    """Return where a document is not of a shape."""
    if isinstance(shape, list):
        if not isinstance(document, list):
            return [f"{path} is no array"]
        return [line for n, item in enumerate(document) for line in differences(item, shape[0], f"{path}[{n}]")]
    if not isinstance(shape, Mapping):
        right = isinstance(document, shape) and (not isinstance(document, bool) or shape is bool)
        return [] if right else [f"{path} is {document!r}"]
    if not isinstance(document, dict):
        return [f"{path} is no object"]
    if "*" in shape:
        return [line for key in document for line in differences(document[key], shape["*"], f"{path}.{key}")]
    lines = [f"{path}.{key} is in one of the two only" for key in sorted(document.keys() ^ shape.keys())]
    return lines + [line for key in shape.keys() & document for line in differences(document[key], shape[key], key)]


@pytest.mark.parametrize(
    ("path", "parameters", "shape"),
    [
        ("/ping", {}, {"gecko_says": str}),
        ("/simple/supported_vs_currencies", {}, [str]),
        ("/coins/list", {}, [{"id": str, "symbol": str, "name": str}]),
        (
            "/coins/list",
            {"include_platform": "true"},
            [{"id": str, "symbol": str, "name": str, "platforms": {"*": str}}],
        ),
        ("/coins/markets", {"vs_currency": "usd", "per_page": 250}, [MARKET]),
        ("/coins/markets", {"vs_currency": "usd", "per_page": 250, "page": 2}, [MARKET]),
        (
            "/coins/markets",
            {"vs_currency": "usd", "sparkline": "true", "price_change_percentage": ",".join(SPANS)},
            [WIDE_MARKET],
        ),
        ("/global", {}, GLOBAL),
        ("/coins/ethereum/ohlc", {"vs_currency": "usd", "days": 7}, [[NUMBER]]),
        ("/coins/ethereum/market_chart", {"vs_currency": "usd", "days": 1}, CHART),
        ("/coins/bitcoin/tickers", {"exchange_ids": "binance"}, {"name": str, "tickers": [TICKER]}),
        (
            "/simple/price",
            {
                "ids": "bitcoin,ethereum,shiba-inu",
                "vs_currencies": "usd",
                "include_market_cap": "true",
                "include_24hr_vol": "true",
                "include_24hr_change": "true",
                "include_last_updated_at": "true",
            },
            {"*": SIMPLE},
        ),
    ],
)
def test_answers_have_the_keys_and_types_of_coingecko(
    get: Get, path: str, parameters: dict[str, object], shape: object
) -> None:
    response = get(path, **parameters)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.json()
    assert differences(response.json(), shape) == []


def test_a_coin_in_detail_has_the_keys_and_types_of_coingecko(get: Get) -> None:
    detail = get("/coins/bitcoin").json()
    assert detail.keys() == DETAIL_KEYS
    assert differences(detail["market_data"], MARKET_DATA) == []
    assert detail["platforms"] == {"": ""}
    assert detail["market_data"]["current_price"]["btc"] == 1


def test_the_parts_of_a_coin_in_detail_can_be_left_out(get: Get) -> None:
    parts = ("localization", "market_data", "community_data", "developer_data", "tickers")
    detail = get("/coins/bitcoin", **dict.fromkeys(parts, "false")).json()
    assert detail.keys() == DETAIL_KEYS - set(parts)


def test_a_sparkline_is_the_price_on_the_hour_of_seven_days(get: Get) -> None:
    row = get("/coins/markets", vs_currency="usd", ids="solana", sparkline="true").json()[0]
    detail = get("/coins/solana", sparkline="true").json()
    assert len(row["sparkline_in_7d"]["price"]) == 168
    assert detail["market_data"]["sparkline_7d"] == row["sparkline_in_7d"]


def test_large_prices_are_integers_and_small_ones_keep_their_digits(get: Get) -> None:
    prices = get("/simple/price", ids="bitcoin,ethereum,dogecoin,pepe", vs_currencies="usd").json()
    assert isinstance(prices["bitcoin"]["usd"], int)
    assert prices["ethereum"]["usd"] == round(prices["ethereum"]["usd"], 2)
    assert prices["dogecoin"]["usd"] == round(prices["dogecoin"]["usd"], 6)
    assert 1e-7 < prices["pepe"]["usd"] < 1e-4


def test_times_are_those_of_the_latest_step(get: Get, now: datetime) -> None:
    row = get("/coins/markets", vs_currency="usd", ids="bitcoin").json()[0]
    assert row["last_updated"] == "2026-05-18T12:49:21.000Z"
    price = get("/simple/price", ids="bitcoin", vs_currencies="usd", include_last_updated_at="true").json()
    assert price["bitcoin"]["last_updated_at"] == int(now.timestamp())
    assert get("/global").json()["data"]["updated_at"] == int(now.timestamp())
