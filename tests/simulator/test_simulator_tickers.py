from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import requests

from dataplatform.simulator import Simulator

Get = Callable[..., requests.Response]


def test_a_ticker_has_no_bid_and_no_ask_but_a_spread(get: Get) -> None:
    for ticker in get("/coins/bitcoin/tickers").json()["tickers"]:
        assert not {"bid", "ask", "best_bid", "best_ask"} & ticker.keys()
        assert ticker["bid_ask_spread_percentage"] >= 0.01


def test_tickers_come_from_the_exchanges_asked_for_the_largest_first(get: Get) -> None:
    tickers = get("/coins/ethereum/tickers", exchange_ids="kraken,gdax").json()["tickers"]
    assert {ticker["market"]["identifier"] for ticker in tickers} == {"kraken", "gdax"}
    volumes = [ticker["converted_volume"]["usd"] for ticker in get("/coins/ethereum/tickers").json()["tickers"]]
    assert volumes == sorted(volumes, reverse=True)
    assert get("/coins/ethereum/tickers", exchange_ids="no-such-exchange").json()["tickers"] == []


def test_prices_on_sound_exchanges_are_close_to_the_markets(simulator: Simulator, get: Get) -> None:
    price = simulator.market.price("solana")
    for ticker in get("/coins/solana/tickers").json()["tickers"]:
        if not (ticker["is_stale"] or ticker["is_anomaly"]):
            assert ticker["converted_last"]["usd"] == pytest.approx(price, rel=0.01)


def test_stale_and_odd_tickers_are_marked(get: Get, now: datetime) -> None:
    tickers = {ticker["market"]["identifier"]: ticker for ticker in get("/coins/solana/tickers").json()["tickers"]}
    sleepy, odd = tickers["sim-sleepy"], tickers["sim-odd"]
    assert (sleepy["is_stale"], sleepy["is_anomaly"]) == (True, False)
    assert datetime.fromisoformat(sleepy["last_traded_at"]) < now - timedelta(hours=8)
    assert (odd["is_stale"], odd["is_anomaly"]) == (False, True)


def test_times_are_whole_seconds_with_an_offset_and_not_in_the_future(get: Get, now: datetime) -> None:
    for ticker in get("/coins/bitcoin/tickers").json()["tickers"]:
        assert ticker["timestamp"].endswith("+00:00")
        assert datetime.fromisoformat(ticker["timestamp"]) <= datetime.fromisoformat(ticker["last_fetch_at"]) <= now


def test_only_pairs_with_a_coin_name_a_target_coin(get: Get) -> None:
    tickers = get("/coins/bitcoin/tickers").json()["tickers"]
    named = {ticker["target"]: ticker.get("target_coin_id") for ticker in tickers}
    assert (named["USDT"], named["USDC"], named["USD"], named["KRW"]) == ("tether", "usd-coin", None, None)


def test_no_coin_is_traded_for_itself_and_small_ones_in_few_places(get: Get) -> None:
    tickers = get("/exchanges/binance/tickers", coin_ids="tether").json()["tickers"]
    assert {ticker["coin_id"] for ticker in tickers} == {"tether"}
    assert "USDT" not in {ticker["target"] for ticker in tickers}
    small = get("/coins/sim-coin-300/tickers").json()["tickers"]
    assert 0 < len(small) < len(get("/coins/bitcoin/tickers").json()["tickers"])


def test_depth_and_logos_come_when_asked_for(get: Get) -> None:
    asked = {"depth": "true", "include_exchange_logo": "true"}
    ticker = get("/coins/bitcoin/tickers", **asked).json()["tickers"][0]
    assert ticker["cost_to_move_up_usd"] > ticker["cost_to_move_down_usd"] > 0
    assert ticker["market"]["logo"].startswith("https://simulator.invalid/")


def test_a_page_beyond_the_last_is_empty(get: Get) -> None:
    assert get("/coins/bitcoin/tickers", page=9).json() == {"name": "Bitcoin", "tickers": []}


def test_a_coin_s_tickers_hold_those_of_others_that_are_traded_for_it(get: Get) -> None:
    pages = [get("/coins/tether/tickers", page=page).json()["tickers"] for page in (1, 2)]
    assert [len(page) for page in pages] == [100, 100]
    tickers = [ticker for page in pages for ticker in page]
    assert {ticker["target"] for ticker in tickers if ticker["coin_id"] != "tether"} == {"USDT"}
    assert {ticker["target_coin_id"] for ticker in tickers if ticker["coin_id"] != "tether"} == {"tether"}
    assert len({str(ticker) for ticker in tickers}) == 200
    assert len(get("/coins/tether", market_data="false").json()["tickers"]) == 100


def test_an_exchange_has_the_tickers_of_the_coins_asked_for(get: Get) -> None:
    answer = get("/exchanges/binance/tickers", coin_ids="bitcoin,tether").json()
    assert answer["name"] == "Binance"
    assert {ticker["coin_id"] for ticker in answer["tickers"]} == {"bitcoin", "tether"}
    assert {ticker["market"]["identifier"] for ticker in answer["tickers"]} == {"binance"}
    assert len(get("/exchanges/binance/tickers").json()["tickers"]) == 100
    assert get("/exchanges/no-such-exchange/tickers").status_code == 404
