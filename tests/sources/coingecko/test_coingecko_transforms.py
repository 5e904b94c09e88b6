"""From CoinGecko's JSON to records: nulls are unknown, what is not the promised shape is refused, nothing crashes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.sources.coingecko import api as endpoints
from dataplatform.sources.coingecko import transforms
from dataplatform.sources.coingecko.api import Answer
from tests.sources.coingecko.answers import answer, refusal, row

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


def analytics(**changes: Any) -> Answer:
    return answer({"data": GLOBAL | changes})


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
        {"id": "x" * 129},
        {"id": None},
        {"id": ""},
        {"last_updated": "2026-05-18T12:49:21"},
        {"last_updated": "yesterday"},
        {"last_updated": 1_779_108_561},
        {"last_updated": "9999-12-31T23:59:59-05:00"},
        {"last_updated": "1970-01-01T00:00:00Z"},
        {"last_updated": "2007-12-31T23:59:59Z"},
        {"last_updated": "2026-05-28T12:00:01Z"},
    ],
)
def test_a_broken_row_is_kept_raw_with_the_reason_and_harms_no_other(changes: dict[str, Any]) -> None:
    bad = row("ethereum") | changes
    found = transforms.markets([answer([row("bitcoin"), bad, row("solana")])])
    assert [price.coin_id for price in found.prices] == ["bitcoin", "solana"]
    (odd,) = found.rows.odd
    assert json.loads(odd.raw) == bad
    assert odd.error.code == "changed_shape"
    (field,) = changes
    named = {"current_price": "price", "name": "name"}.get(field, field)
    assert named in odd.error.message
    assert "at `$[1]" in odd.error.message
    answered = found.answer(["bitcoin", "ethereum", "solana"], found.prices)
    assert answered.data == found.prices
    assert answered.notes == (f"left out: {odd.error.message}",)


ODD_FIELDS: list[tuple[str, Any, str]] = [
    ("market_cap", -1, "market_cap"),
    ("market_cap", "1e12", "market_cap"),
    ("market_cap", {}, "market_cap"),
    ("total_volume", -0.5, "volume_24h"),
    ("total_volume", "much", "volume_24h"),
    ("total_volume", True, "volume_24h"),
    ("price_change_percentage_24h", "-1 %", "change_24h"),
    ("price_change_percentage_7d_in_currency", [], "change_7d"),
    ("name", 7, "name"),
]


@pytest.mark.parametrize(("sent", "value", "kept"), ODD_FIELDS)
def test_an_odd_field_that_may_be_unknown_costs_nothing_but_itself(sent: str, value: object, kept: str) -> None:
    whole = row("ethereum", market_cap=5.0, total_volume=6.0, price_change_percentage_24h=-2.0)
    before, _ = transforms.markets([answer([whole, row("solana")])]).prices
    found = transforms.markets([answer([whole | {sent: value}, row("solana")])])
    unknown: dict[str, Any] = {kept: None}
    assert found.prices[0] == evolve(before, **unknown)
    assert found.rows.odd == []
    (note,) = found.rows.notes
    assert note.startswith("taken for unknown: /coins/markets ('ethereum'): ")
    assert note.endswith(f" - at `$[0].{sent}`")


def test_several_odd_fields_of_a_row_are_all_unknown() -> None:
    found = transforms.markets([answer([row("bitcoin", symbol=7, market_cap=-1, total_volume="x")])])
    (price,) = found.prices
    assert (price.usd_price, price.symbol, price.market_cap, price.volume_24h) == (1.5, "bitcoin", None, None)
    assert len(found.rows.notes) == 3


def test_an_odd_row_is_told_of_by_the_coin_it_is_about_and_the_place_it_stands_at() -> None:
    found = transforms.markets([answer([row("bitcoin"), row("ethereum", current_price="much")])])
    (odd,) = found.rows.odd
    said = "/coins/markets ('ethereum'): Expected `float | null`, got `str` - at `$[1].current_price`"
    assert odd.error.message == said


def test_many_odd_rows_are_counted() -> None:
    rows = [row("bitcoin"), *[row(f"coin-{number}", current_price="1") for number in range(9)]]
    notes = transforms.markets([answer(rows)]).answer(["bitcoin"], []).notes
    assert len(notes) == 6
    assert "coin-4" in notes[4]
    assert notes[5] == "left out: 4 more"


def test_when_no_row_is_valid_the_shape_has_changed() -> None:
    found = transforms.markets([answer([row("a", current_price="1")]), answer([{}])])
    error = refusal(found.answer, ["a"], found.prices)
    assert (type(error), error.code) == (Permanent, "changed_shape")


@pytest.mark.parametrize("odd", ["", None, "\u200b\u202e", "\n"])
def test_the_id_stands_in_for_a_symbol_that_there_is_none_of(odd: str | None) -> None:
    without = {name: value for name, value in row("ethereum").items() if name != "symbol"}
    found = transforms.markets([answer([row("bitcoin"), row("tulip", symbol=odd), without])])
    assert [(price.coin_id, price.symbol) for price in found.prices] == [
        ("bitcoin", "bit"),
        ("tulip", "tulip"),
        ("ethereum", "ethereum"),
    ]
    assert found.rows.odd == []


def test_names_and_symbols_are_cut_to_what_can_be_stored() -> None:
    (price,) = transforms.markets([answer([row("a", name="n" * 400, symbol="s\t" * 200)])]).prices
    assert (price.name, price.symbol) == ("n" * 300, ("s " * 64).strip())


# No price is not no coin


@pytest.mark.parametrize("changes", [{"current_price": None}, {"last_updated": None}])
def test_a_coin_that_is_listed_without_a_price_is_no_unknown_coin(changes: dict[str, Any]) -> None:
    found = transforms.markets([answer([row("old-coin", **changes)])])
    error = refusal(found.answer, ["old-coin"], found.prices)
    assert (type(error), error.code) == (Permanent, "no_price")
    assert error.message == "CoinGecko has no price now of 'old-coin'"
    assert "get_price_history" in error.remedy


def test_coins_without_a_price_are_noted_besides_the_others() -> None:
    found = transforms.markets([answer([row("bitcoin"), row("old-coin", current_price=None)])])
    answered = found.answer(["bitcoin", "old-coin"], found.prices)
    assert [price.coin_id for price in answered.data] == ["bitcoin"]
    assert answered.notes == ("CoinGecko has no price now of 'old-coin'",)


def test_a_stranger_without_a_price_is_nobody_s_business() -> None:
    found = transforms.markets([answer([row("old-coin", current_price=None)])])
    answered = found.answer(["tulip"], found.prices)
    assert (answered.data, answered.notes) == ([], ())


def test_a_price_is_kept_when_the_next_page_has_the_coin_without_one() -> None:
    pages = [answer([row("a")]), answer([row("a", current_price=None)])]
    assert [price.coin_id for price in transforms.markets(pages).prices] == ["a"]


def test_no_rows_are_no_prices_and_no_failure() -> None:
    found = transforms.markets([answer([])])
    assert (found.prices, found.rows.odd, found.unpriced) == ([], [], [])


def test_the_later_page_has_the_newer_price_of_a_coin_on_both() -> None:
    pages = [answer([row("a"), row("b", current_price=1)]), answer([row("b", current_price=2), row("c")])]
    prices = transforms.markets(pages).prices
    assert [(price.coin_id, price.usd_price) for price in prices] == [("a", 1.5), ("b", 2.0), ("c", 1.5)]


OLD, NEW = "2026-05-27T11:00:00Z", "2026-05-27T11:59:00Z"


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_coin_that_came_twice_the_newest_price_is_taken_and_that_is_said(order: int) -> None:
    twice = [row("bitcoin", current_price=1, last_updated=OLD), row("bitcoin", current_price=2, last_updated=NEW)]
    for answers in ([answer([*twice[::order], row("b")])], [answer([one]) for one in twice[::order]]):
        found = transforms.markets(answers)
        told = found.answer(["bitcoin", "b"], found.prices)
        assert [price.usd_price for price in told.data if price.coin_id == "bitcoin"] == [2]
        assert told.notes == ("several prices came of 'bitcoin'; the newest was taken",)


def test_a_coin_that_came_twice_alike_is_nothing_to_tell_of() -> None:
    found = transforms.markets([answer([row("bitcoin"), row("bitcoin")])])
    assert (len(found.prices), found.answer(["bitcoin"], found.prices).notes) == (1, ())


@given(st.lists(st.dictionaries(st.sampled_from(sorted({*row("a")} - {"id"})), JSON), max_size=4))
@quick
def test_any_rows_are_prices_or_broken_or_unpriced(changes: list[dict[str, Any]]) -> None:
    rows = [row(f"coin-{number}") | change for number, change in enumerate(changes)]
    found = transforms.markets([answer([row("good"), *rows])])
    assert len(found.prices) + len(found.rows.odd) + len(found.unpriced) == len(rows) + 1


# Other answers


def test_other_currencies_are_added_where_they_are_known() -> None:
    prices = transforms.markets([answer([row("a"), row("b"), row("c")])]).prices
    answers = [answer({"a": {"btc": 0.5, "eth": None}}), answer({"b": {"eth": 2, "usd": 9}, "z": {}})]
    found, notes = transforms.with_other_currencies(prices, answers)
    assert notes == ()
    assert [(price.btc_price, price.eth_price) for price in found] == [(0.5, None), (None, 2.0), (None, None)]


@pytest.mark.parametrize(
    ("odd", "eth", "note"),
    [
        ({"btc": -1, "eth": 3}, 3.0, "taken for unknown: /simple/price: Expected `float` >= 0.0 - at `$['b'].btc`"),
        ({"btc": "0.5", "eth": 3}, 3.0, "taken for unknown: /simple/price: Expected `float | null`, got `str` - at `$"),
        (7, None, "left out: /simple/price: Expected `object`, got `int` - at `$['b']`"),
        (None, None, "left out: /simple/price: Expected `object`, got `null` - at `$['b']`"),
    ],
)
def test_another_currency_that_cannot_be_read_is_unknown_and_noted(odd: object, eth: float | None, note: str) -> None:
    prices = transforms.markets([answer([row("a"), row("b")])]).prices
    found, (told,) = transforms.with_other_currencies(prices, [answer({"a": {"btc": 0.5}, "b": odd, "z": odd})])
    assert [(price.btc_price, price.eth_price) for price in found] == [(0.5, None), (None, eth)]
    assert told.startswith(note)


def test_other_currencies_that_are_no_map_are_refused() -> None:
    error = refusal(transforms.with_other_currencies, [], [answer([])])
    assert (type(error), error.code) == (Permanent, "changed_shape")


def test_a_coin_listed_twice_is_one_ticker() -> None:
    pages = [answer([{"id": "a"}, {"id": "b"}]), answer([{"id": "b"}, {"id": "c"}])]
    assert transforms.coin_ids(pages).data == [*"abc"]
    assert transforms.coin_ids(pages, 2).data == [*"ab"]


@pytest.mark.parametrize("odd", [{"id": None}, {"id": ""}, {"id": 7}, {}, None, {"id": "a\nb"}])
def test_an_odd_id_never_costs_the_others(odd: object) -> None:
    found = transforms.coin_ids([answer([{"id": "a"}, odd, {"id": "b"}])])
    assert found.data == ["a", "b"]
    (note,) = found.notes
    assert "at `$[1]" in note


def test_analytics_are_in_dollars_and_percent() -> None:
    state = transforms.analytics(analytics()).data
    assert state.timestamp == datetime(2026, 5, 18, 12, 49, 21, tzinfo=UTC)
    assert (state.total_market_cap, state.btc_dominance, state.eth_dominance) == (2.6e12, 58.0, 11.5)
    assert (state.market_cap_change_24h, state.markets, state.source) == (-1.5, 1_400, "coingecko")


@pytest.mark.parametrize("odd", [None, "text", -1, {}])
def test_currencies_that_nobody_asks_for_may_be_anything(odd: object) -> None:
    state = transforms.analytics(
        analytics(
            total_volume={"usd": 1, "xyz": odd},
            total_market_cap={"usd": 2, "xyz": odd},
            market_cap_percentage={"btc": 1, "xyz": odd},
        )
    ).data
    assert (state.total_volume, state.total_market_cap, state.eth_dominance) == (1.0, 2.0, None)


def test_a_whole_number_may_have_a_point() -> None:
    state = transforms.analytics(
        analytics(markets=1476.0, active_cryptocurrencies=17_397.0, updated_at=1_779_108_561.0)
    ).data
    assert (state.markets, state.active_cryptocurrencies) == (1476, 17_397)
    assert type(state.markets) is int


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"total_market_cap": {"btc": 1}}, "missing required field `usd` - at `$.data.total_market_cap`"),
        ({"total_market_cap": {"usd": None}}, "$.data.total_market_cap.usd"),
        ({"total_market_cap": None}, "$.data.total_market_cap"),
        ({"markets": None}, "$.data.markets"),
        ({"total_volume": {"usd": -1}}, "Expected `float` >= 0.0 - at `$.data.total_volume.usd`"),
        ({"markets": -1}, "markets: "),
        ({"active_cryptocurrencies": 1.5}, "active_cryptocurrencies: expected a whole number, got 1.5"),
        ({"updated_at": 10**18}, "updated_at: "),
        ({"updated_at": 10**30}, "updated_at: "),
        ({"updated_at": 0}, "updated_at: expected a time from 2008 to a day from now, got 1970-01-01T00:00:00+00:00"),
        ({"updated_at": "now"}, "$.data.updated_at"),
    ],
)
def test_analytics_of_another_shape_are_refused_by_name(changes: dict[str, Any], named: str) -> None:
    error = refusal(transforms.analytics, analytics(**changes))
    assert (type(error), error.code) == (Permanent, "changed_shape")
    assert named in error.message


CHANGE = "market_cap_change_percentage_24h_usd"
UNKNOWN: list[tuple[dict[str, Any], tuple[float | None, float | None, float | None], list[str]]] = [
    ({CHANGE: None}, (58.0, 11.5, None), ["CoinGecko does not say market_cap_change_24h now"]),
    ({CHANGE: "-1 %"}, (58.0, 11.5, None), [f"got `str` - at `$.data.{CHANGE}`", "market_cap_change_24h"]),
    ({"market_cap_percentage": {"eth": 11}}, (None, 11.0, -1.5), ["CoinGecko does not say btc_dominance now"]),
    ({"market_cap_percentage": {"btc": 58, "eth": None}}, (58.0, None, -1.5), []),
    ({"market_cap_percentage": {"btc": 58, "eth": "1"}}, (58.0, None, -1.5), ["$.data.market_cap_percentage.eth"]),
    ({"market_cap_percentage": {"btc": -58, "eth": 1}}, (None, 1.0, -1.5), ["percentage.btc", "btc_dominance"]),
    ({"market_cap_percentage": None}, (None, None, -1.5), ["CoinGecko does not say btc_dominance now"]),
    ({"market_cap_percentage": 7}, (None, None, -1.5), ["$.data.market_cap_percentage", "btc_dominance"]),
]


@pytest.mark.parametrize(("changes", "known", "notes"), UNKNOWN)
def test_shares_and_change_of_the_market_may_be_unknown(
    changes: dict[str, Any], known: tuple[float | None, ...], notes: list[str]
) -> None:
    found = transforms.analytics(analytics(**changes))
    state = found.data
    assert (state.btc_dominance, state.eth_dominance, state.market_cap_change_24h) == known
    assert (state.total_market_cap, state.markets) == (2.6e12, 1_400)
    assert len(found.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, found.notes, strict=True))


@pytest.mark.parametrize("name", ["market_cap_percentage", CHANGE])
def test_shares_and_change_may_be_missing_altogether(name: str) -> None:
    rest = {key: value for key, value in GLOBAL.items() if key != name}
    assert transforms.analytics(answer({"data": rest})).data.total_volume == 1e11


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
