"""From CoinGecko's JSON to records: nulls are unknown, what is not the promised shape is refused, nothing crashes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.sources.coingecko import endpoints, transforms
from dataplatform.sources.coingecko.answers import Answer
from tests.sources.coingecko.test_coingecko_feeds import row

quick = settings(deadline=None, max_examples=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GLOBAL = {
    "active_cryptocurrencies": 17_000,
    "markets": 1_400,
    "total_market_cap": {"usd": 2.6e12, "btc": 3.4e7},
    "total_volume": {"usd": 1e11},
    "market_cap_percentage": {"btc": 58.0, "eth": 11.5},
    "market_cap_change_percentage_24h_usd": -1.5,
    "updated_at": 1_779_108_561,
}
NOT_JSON = [b"", b"<!DOCTYPE html>", b"{", b"\xff", b"[" * 100_000, b'[{"id":' * 50_000]
OTHER_SHAPES = [b"null", b"{}", b"7", b'"text"', b"[7]", b'{"data": 7}', b'{"data": []}']


def answer(body: object) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(raw, "coingecko", "https://api.example/x")


def analytics(**changes: Any) -> Answer:
    return answer({"data": GLOBAL | changes})


def refusal(transform: Any, *arguments: Any) -> PlatformError:
    with pytest.raises(PlatformError) as refused:
        transform(*arguments)
    return refused.value


# Markets


def test_numbers_that_are_null_or_absent_are_unknown() -> None:
    (price,) = transforms.markets([answer([row("bitcoin", name=None, total_volume=None)])]).prices
    assert (price.name, price.market_cap, price.volume_24h, price.change_7d) == (None, None, None, None)


def test_zero_is_zero() -> None:
    (price,) = transforms.markets([answer([row("bitcoin", current_price=0, total_volume=0)])]).prices
    assert (price.usd_price, price.volume_24h) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("Tab\tCoin", "Tab Coin"), ("\u200bHidden ", "Hidden"), ("No\u00a0Break", "No Break"), ("", None), ("\0", None)],
)
def test_a_price_is_not_lost_for_odd_characters_in_a_name(name: str, kept: str | None) -> None:
    (price,) = transforms.markets([answer([row("bitcoin", name=name)])]).prices
    assert price.name == kept


@pytest.mark.parametrize(
    "changes",
    [
        {"current_price": -1},
        {"current_price": "1.5"},
        {"symbol": ""},
        {"symbol": None},
        {"id": "x" * 129},
        {"market_cap": -1},
        {"last_updated": "2026-05-18T12:49:21"},
        {"last_updated": "yesterday"},
        {"last_updated": 1_779_108_561},
        {"last_updated": "9999-12-31T23:59:59-05:00"},
        {"name": "x" * 301},
    ],
)
def test_a_broken_row_is_kept_raw_with_the_reason_and_harms_no_other(changes: dict[str, Any]) -> None:
    bad = row("ethereum") | changes
    found = transforms.markets([answer([row("bitcoin"), bad, row("solana")])])
    assert [price.coin_id for price in found.prices] == ["bitcoin", "solana"]
    ((raw, error),) = found.broken
    assert json.loads(raw) == bad
    assert (error.code, error.message.startswith("/coins/markets: ")) == ("changed_shape", True)


def test_when_no_row_is_valid_the_shape_has_changed() -> None:
    error = refusal(transforms.markets, [answer([row("a", current_price="1")]), answer([{}])])
    assert (type(error), error.code) == (Permanent, "changed_shape")


def test_no_rows_are_no_prices_and_no_failure() -> None:
    found = transforms.markets([answer([])])
    assert (found.prices, found.broken, found.unpriced) == ([], [], [])


def test_the_later_page_has_the_newer_price_of_a_coin_on_both() -> None:
    pages = [answer([row("a"), row("b", current_price=1)]), answer([row("b", current_price=2), row("c")])]
    prices = transforms.markets(pages).prices
    assert [(price.coin_id, price.usd_price) for price in prices] == [("a", 1.5), ("b", 2.0), ("c", 1.5)]


@given(st.lists(st.dictionaries(st.sampled_from(sorted({*row("a")} - {"id"})), JSON), max_size=4))
@quick
def test_any_rows_are_prices_or_broken_or_unpriced(changes: list[dict[str, Any]]) -> None:
    rows = [row(f"coin-{number}") | change for number, change in enumerate(changes)]
    found = transforms.markets([answer([row("good"), *rows])])
    assert len(found.prices) + len(found.broken) + len(found.unpriced) == len(rows) + 1


# Other answers


def test_other_currencies_are_added_where_they_are_known() -> None:
    prices = transforms.markets([answer([row("a"), row("b"), row("c")])]).prices
    answers = [answer({"a": {"btc": 0.5, "eth": None}}), answer({"b": {"eth": 2, "usd": 9}, "z": {}})]
    found = transforms.with_other_currencies(prices, answers)
    assert [(price.btc_price, price.eth_price) for price in found] == [(0.5, None), (None, 2.0), (None, None)]


@pytest.mark.parametrize("wrong", [{"a": {"btc": -1}}, {"a": {"btc": "0.5"}}, {"a": 7}, []])
def test_other_currencies_of_another_shape_are_refused(wrong: object) -> None:
    prices = transforms.markets([answer([row("a")])]).prices
    error = refusal(transforms.with_other_currencies, prices, [answer(wrong)])
    assert (type(error), error.code) == (Permanent, "changed_shape")


def test_a_coin_listed_twice_is_one_ticker() -> None:
    assert transforms.coin_ids([answer([{"id": "a"}, {"id": "b"}]), answer([{"id": "b"}, {"id": "c"}])]) == [*"abc"]


def test_analytics_are_in_dollars_and_percent() -> None:
    state = transforms.analytics(analytics())
    assert state.timestamp == datetime(2026, 5, 18, 12, 49, 21, tzinfo=UTC)
    assert (state.total_market_cap, state.btc_dominance, state.eth_dominance) == (2.6e12, 58.0, 11.5)
    assert (state.market_cap_change_24h, state.markets, state.source) == (-1.5, 1_400, "coingecko")


def test_currencies_that_nobody_asks_for_may_be_null() -> None:
    state = transforms.analytics(analytics(total_volume={"usd": 1, "xyz": None}, market_cap_percentage={"btc": 1}))
    assert (state.total_volume, state.eth_dominance) == (1.0, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"total_market_cap": {"btc": 1}},
        {"total_market_cap": {"usd": None}},
        {"market_cap_percentage": {"eth": 1}},
        {"total_volume": {"usd": -1}},
        {"markets": -1},
        {"active_cryptocurrencies": 1.5},
        {"updated_at": 10**18},
        {"updated_at": 10**30},
        {"updated_at": "now"},
        {"market_cap_change_percentage_24h_usd": None},
    ],
)
def test_analytics_of_another_shape_are_refused_by_name(changes: dict[str, Any]) -> None:
    error = refusal(transforms.analytics, analytics(**changes))
    assert (type(error), error.code) == (Permanent, "changed_shape")


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_no_json_is_an_outage_that_shows_how_it_begins(body: bytes) -> None:
    for transform, argument in (
        (transforms.markets, [answer(body)]),
        (transforms.coin_ids, [answer(body)]),
        (transforms.analytics, answer(body)),
    ):
        error = refusal(transform, argument)
        assert isinstance(error, PlatformError)
        assert (type(error), error.code) in {(Transient, "not_json"), (Permanent, "changed_shape")}
        assert "https://api.example/x" in error.message


@pytest.mark.parametrize("body", OTHER_SHAPES)
def test_json_of_another_shape_is_permanent(body: bytes) -> None:
    error = refusal(transforms.analytics, answer(body))
    assert (type(error), error.code) == (Permanent, "changed_shape")
    if body != b"[7]":
        error = refusal(transforms.markets, [answer(body)])
        assert (type(error), error.code) == (Permanent, "changed_shape")


# What is asked


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=128), unique=True, max_size=400))
@quick
def test_coins_are_split_whole_and_in_order_over_urls_of_a_safe_length(ids: list[str]) -> None:
    ids = [coin_id.replace(",", ".") for coin_id in ids]
    split = [str(ask.parameters["ids"]).split(",") for ask in endpoints.markets_of(ids)]
    assert [coin_id for page in split for coin_id in page] == ids
    for page in split:
        assert 1 <= len(page) <= 250
        assert len(page) == 1 or sum(len(quote(coin_id, safe="")) + 3 for coin_id in page) <= 6_000


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (250, 1), (251, 2), (5_000, 20)])
def test_the_top_coins_are_asked_for_page_by_page(count: int, pages: int) -> None:
    asked = [ask.parameters for ask in endpoints.top_markets(count)]
    assert [parameters["page"] for parameters in asked] == list(range(1, pages + 1))
    assert {parameters["per_page"] for parameters in asked} == {250}


def test_every_question_is_in_dollars_at_full_precision() -> None:
    for ask in (*endpoints.markets_of(["a"]), *endpoints.top_markets(1)):
        assert (ask.parameters["vs_currency"], ask.parameters["precision"]) == ("usd", "full")
    (ask,) = endpoints.simple_prices(["a", "b"], ["btc", "eth"])
    assert ask.parameters == {"ids": "a,b", "vs_currencies": "btc,eth", "precision": "full"}
