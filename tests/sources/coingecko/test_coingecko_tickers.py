"""Level 1 of CoinGecko's tickers: of the coin asked for, the most traded in dollars, from all pages that are needed."""

from __future__ import annotations

from typing import Any

import pytest

from dataplatform.dsl.records.queries import Level1Query
from dataplatform.errors import Permanent
from dataplatform.sources.coingecko import tickers
from dataplatform.sources.coingecko.api import COIN, EXCHANGE_TICKERS, TICKERS, Answer, Endpoint
from tests.sources.coingecko.answers import answer, refusal, ticker

TETHER = Level1Query("tether")


def page(*found: object, endpoint: Endpoint = TICKERS) -> Answer:
    return answer({"name": "Tether", "tickers": list(found)}, endpoint)


def market(query: Level1Query, *pages: Answer) -> str:
    return tickers.level1(pages, query).data.market


PEPE = ticker("PEPE", "USDT", 3.7e7, coin_id="pepe", target_coin_id="tether", last=4.09e-06, volume=9e12)
BITCOIN = ticker("BTC", "USDT", 1.06e9, coin_id="bitcoin", target_coin_id="tether", last=76_894.07, volume=13_786.0)


# Whose ticker


def test_a_coin_s_bid_and_ask_are_never_those_of_what_is_traded_for_it() -> None:
    own = ticker("USDT", "USD", 5e6)
    found = tickers.level1([page(PEPE, BITCOIN, own)], TETHER).data
    assert (found.ticker, found.market) == ("tether", "USDT/USD")
    assert found.best_bid == pytest.approx(1.001 * 0.9999)
    assert found.best_ask == pytest.approx(1.001 * 1.0001)
    assert found.estimated


def test_a_coin_that_is_only_a_target_has_no_ticker() -> None:
    error = refusal(tickers.level1, [page(PEPE, BITCOIN)], TETHER)
    assert (type(error), error.code) == (Permanent, "not_found")
    assert "no ticker of 'tether'" in error.message


@pytest.mark.parametrize("coin_id", [None, "Tether", "usd-coin"])
def test_a_ticker_that_does_not_say_it_is_the_coin_s_is_not(coin_id: str | None) -> None:
    assert market(TETHER, page(ticker(usd=9e9, coin_id=coin_id), ticker("USDT", "EUR", 1.0))) == "USDT/EUR"


def test_the_most_traded_is_that_in_dollars_not_in_units_of_its_base() -> None:
    large = ticker("USDT", "EUR", 2e6, volume=1.0)
    small = ticker("USDT", "GBP", 1e6, volume=1e12)
    for order in ([large, small], [small, large]):
        assert market(TETHER, page(*order)) == "USDT/EUR"


@pytest.mark.parametrize("volume", [None, {}, {"usd": None}])
def test_an_unknown_volume_is_the_least(volume: object) -> None:
    unknown = ticker("USDT", "GBP") | {"converted_volume": volume}
    assert market(TETHER, page(unknown, ticker("USDT", "EUR", 0.5))) == "USDT/EUR"
    assert market(TETHER, page(unknown)) == "USDT/GBP"


@pytest.mark.parametrize(
    "changes",
    [
        {"is_stale": True},
        {"is_anomaly": True},
        {"last": None},
        {"last": 0},
        {"last_traded_at": "2026-05-26T11:59:00Z"},
        {"last_traded_at": "2019-01-01T00:00:00Z"},
        {"timestamp": "2026-05-26T11:59:00Z"},
        {"bid_ask_spread_percentage": None},
        {"last_traded_at": None},
    ],
)
def test_what_is_stale_or_odd_or_says_too_little_is_passed_over(changes: dict[str, Any]) -> None:
    found = tickers.level1([page(ticker(usd=9e9) | changes, ticker("USDT", "EUR", 1.0))], TETHER)
    assert (found.data.market, found.notes) == ("USDT/EUR", ())


OLD: list[tuple[dict[str, Any], str]] = [
    ({"last_traded_at": "2026-05-26T11:59:00Z"}, "was last traded at 2026-05-26T11:59:00+00:00"),
    ({"timestamp": "2026-05-26T11:59:00Z"}, "was last seen at 2026-05-26T11:59:00+00:00"),
]


@pytest.mark.parametrize(("changes", "old"), OLD)
def test_an_old_ticker_that_is_all_there_is_is_taken_and_that_is_said(changes: dict[str, Any], old: str) -> None:
    found = tickers.level1([page(ticker() | changes, ticker("USDT", "EUR", 1.0) | changes)], TETHER)
    assert found.data.market == "USDT/USD"
    assert found.notes == (f"there is no newer ticker of 'tether': this one {old}",)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_stale": True}, "marked as stale"),
        ({"is_anomaly": True}, "marked as an anomaly"),
        ({"last": 0}, "of a last price of 0"),
    ],
)
def test_tickers_that_are_never_taken_are_told_of_where_there_is_no_other(changes: dict[str, Any], why: str) -> None:
    error = refusal(tickers.level1, [page(ticker() | changes, ticker("USDT", "EUR") | changes)], TETHER)
    assert error.code == "not_found"
    assert error.message.endswith(f"on any market; 2 passed over, {why}")


def test_a_page_of_old_or_stale_tickers_is_not_the_last_to_be_asked_for() -> None:
    for changes in ({"is_stale": True}, {"last": 0}, {"last_traded_at": "2026-05-26T11:59:00Z"}):
        full = [ticker("USDT", f"T{number}") | changes for number in range(tickers.PAGE)]
        assert tickers.wants_another_page([page(*full)], TETHER)
    assert not tickers.wants_another_page([page(*full[1:], ticker())], TETHER)


@pytest.mark.parametrize("flag", ["is_stale", "is_anomaly"])
def test_a_flag_that_is_null_is_not_set(flag: str) -> None:
    assert market(TETHER, page(ticker(usd=9e9) | {flag: None}, ticker("USDT", "EUR", 1.0))) == "USDT/USD"


@pytest.mark.parametrize("volume", [{"usd": "much"}, {"usd": -1}, "much"])
def test_a_volume_that_is_odd_is_unknown_and_noted(volume: object) -> None:
    found = tickers.level1([page(ticker(converted_volume=volume))], TETHER)
    (note,) = found.notes
    assert (found.data.market, "at `$.tickers[0].converted_volume" in note) == ("USDT/USD", True)


def test_symbols_are_cleaned_of_what_cannot_be_shown() -> None:
    pair = ticker("\u200bPEPE\n", "WETH\u202e", coin_id="pepe")
    assert market(Level1Query("pepe", market="PEPE/WETH"), page(pair)) == "PEPE/WETH"


ODD = [
    ({"base": "\u200b"}, "base"),
    ({"target": ""}, "target"),
    ({"base": None}, "base"),
    ({"target": 7}, "target"),
    ({"market": None}, "market"),
    ({"market": {"identifier": None}}, "market.identifier"),
    ({"last": "1.0"}, "last"),
    ({"last": -1.0}, "last"),
    ({"bid_ask_spread_percentage": -1.0}, "bid_ask_spread_percentage"),
    ({"bid_ask_spread_percentage": 300.0}, "best_bid"),
    ({"last_traded_at": "yesterday"}, "last_traded_at"),
    ({"last_traded_at": "1970-01-01T00:00:00Z"}, "last_traded_at"),
    ({"is_stale": "no"}, "is_stale"),
    ({"coin_id": 7}, "coin_id"),
]


@pytest.mark.parametrize(("changes", "named"), ODD)
def test_an_odd_ticker_costs_no_other_and_is_noted_by_name(changes: dict[str, Any], named: str) -> None:
    found = tickers.level1([page(ticker(usd=9e9) | changes, ticker("USDT", "EUR", 1.0))], TETHER)
    assert found.data.market == "USDT/EUR"
    (note,) = found.notes
    assert named in note
    assert "at `$.tickers[0]" in note
    alone = refusal(tickers.level1, [page(ticker() | changes)], TETHER)
    assert (alone.code, f"left out: {alone.message}") == ("changed_shape", note)


# Which market


def test_a_market_is_found_by_its_symbols_in_any_case() -> None:
    pair = ticker("PEPE", "WETH", coin_id="pepe")
    assert market(Level1Query("pepe", market="pepe/weth"), page(pair)) == "PEPE/WETH"
    assert refusal(tickers.level1, [page(pair)], Level1Query("pepe", market="PEPE/USDT")).code == "not_found"


def test_pairs_are_asked_for_by_their_symbols() -> None:
    for query in (TETHER, Level1Query("tether", "binance")):
        ask = tickers.tickers(query, 3)
        assert [one.parameters["dex_pair_format"] for one in (ask, *ask.instead)] == ["symbol"] * (1 + len(ask.instead))
        assert ask.parameters["page"] == 3


# Which pages


FULL = [ticker("BTC", "USDT", coin_id="bitcoin")] * 100


def test_another_page_is_wanted_while_they_are_full_and_nothing_fits() -> None:
    full, fitting = page(*FULL), page(*FULL[1:], ticker())
    assert tickers.wants_another_page([full], TETHER)
    assert tickers.wants_another_page([full, full], TETHER)
    assert not tickers.wants_another_page([full, fitting], TETHER)
    assert not tickers.wants_another_page([full, page(*FULL[1:])], TETHER)
    assert not tickers.wants_another_page([page()], TETHER)
    assert market(TETHER, full, fitting) == "USDT/USD"


def test_the_search_ends_after_ten_pages_and_says_so() -> None:
    pages = [page(*FULL)] * 10
    assert not tickers.wants_another_page(pages, TETHER)
    error = refusal(tickers.level1, pages, TETHER)
    assert (error.code, error.remedy) == ("not_found", "name the exchange, which has fewer")
    assert "among its first 1000" in error.message


# Other tools


def test_on_an_exchange_its_own_tool_answers_the_same() -> None:
    (instead,) = tickers.tickers(Level1Query("tether", "binance"), 2).instead
    assert (instead.path, instead.endpoint.tool) == ("/exchanges/binance/tickers", "get_exchanges_tickers")
    assert instead.parameters == {
        "coin_ids": "tether",
        "dex_pair_format": "symbol",
        "order": "volume_desc",
        "page": 2,
    }
    query = Level1Query("tether", "binance")
    assert market(query, page(PEPE, ticker("USDT", "EUR"), endpoint=EXCHANGE_TICKERS)) == "USDT/EUR"


def test_a_part_of_the_tickers_is_never_taken_for_all_of_them() -> None:
    """All that is known of a coin holds 100 tickers at most: then the most traded may be missing."""
    (instead,) = tickers.tickers(TETHER).instead
    assert instead.endpoint is COIN
    assert tickers.tickers(TETHER, 2).instead == ()
    whole = page(ticker(), *FULL[2:], endpoint=COIN)
    assert market(TETHER, whole) == "USDT/USD"
    cut = page(ticker(), *FULL[1:], endpoint=COIN)
    assert not tickers.wants_another_page([cut], TETHER)
    error = refusal(tickers.level1, [cut], TETHER)
    assert (type(error), error.code) == (Permanent, "unsupported")
    assert "name the exchange" in error.remedy
