"""The arguments of operations: what is accepted, and how clearly the rest is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataplatform.dsl.records import checks
from dataplatform.dsl.records.queries import CurrentPricesOptions
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.errors import Permanent, PlatformError
from tests.dsl.records import price


class Sly:
    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")


class Dearer(CryptoPriceData):
    """A price of another class, which no table or topic is made for."""


def refused(error: PlatformError | None, *words: str) -> None:
    assert isinstance(error, Permanent)
    assert error.code == "bad_argument"
    assert all(word in error.message for word in words), error.message
    assert len(error.message) < 200


@pytest.mark.parametrize("good", ["bitcoin", "usd-coin", "0x", "x" * 128, "比特币"])
def test_a_coin_id_is_accepted(good: str) -> None:
    assert checks.coin_id(good) is None


@pytest.mark.parametrize("bad", ["", " ", "bit coin", "a,b", "a/b", "a?b", "a#b", "a&b", "a\0b", "x" * 129, "\ud800"])
def test_what_is_no_coin_id_is_refused_with_an_example(bad: str) -> None:
    refused(checks.coin_id(bad), "bitcoin")


@pytest.mark.parametrize("bad", [None, 1, b"bitcoin", ["bitcoin"], 10**5_000, Sly()], ids=type)
def test_a_coin_id_of_another_type_is_refused(bad: object) -> None:
    refused(checks.coin_id(bad), "a coin id is text")


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ([], "got 0"),
        ((), "got 0"),
        ("bitcoin", "expected a list"),
        ({"bitcoin"}, "expected a list"),
        (None, "expected a list"),
        (iter(["bitcoin"]), "expected a list"),
        (b"bitcoin", "a coin id is text"),
        (["bitcoin", ""], "no coin id"),
        (["bitcoin"] * 10_001, "1 to 10000 coin ids, got 10001"),
    ],
)
def test_what_is_no_list_of_1_to_10_000_coin_ids_is_refused(bad: object, word: str) -> None:
    refused(checks.coin_ids(bad), word)


def test_lists_and_tuples_of_coin_ids_are_accepted() -> None:
    assert checks.coin_ids(["bitcoin"] * 10_000) is None
    assert checks.coin_ids(("bitcoin", "ethereum")) is None


@pytest.mark.parametrize("bad", ["eur", "USD", "", None, 7, ["usd"], Sly()], ids=type)
def test_an_unknown_currency_is_refused_and_the_known_ones_are_named(bad: Any) -> None:
    refused(checks.currencies(CurrentPricesOptions(vs_currencies=("usd", bad))), "usd, btc, eth")


@pytest.mark.parametrize("bad", [None, {}, ("usd",), "usd"])
def test_options_of_another_type_are_refused(bad: object) -> None:
    refused(checks.currencies(bad), "CurrentPricesOptions")


def test_a_single_text_is_no_list_of_currencies() -> None:
    with pytest.raises(TypeError, match="a list of texts"):
        CurrentPricesOptions(vs_currencies="usd")
    assert CurrentPricesOptions(vs_currencies=["usd", "btc"]).vs_currencies == ("usd", "btc")


@pytest.mark.parametrize("bad", [0, -1, 10_001, 1.0, True, "10", 10**5_000], ids=type)
def test_a_limit_is_a_whole_number_from_1_to_10_000(bad: object) -> None:
    refused(checks.limit(bad), "limit", "from 1 to 10000")


@pytest.mark.parametrize("good", [None, 1, 10_000])
def test_no_limit_is_a_limit_too(good: int | None) -> None:
    assert checks.limit(good) is None


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (None, "expected a list"),
        ("prices", "expected a list"),
        (b"prices", "expected a list"),
        ({}, "expected a list"),
        (price(), "expected a list"),
        ([price(), None], "index 1"),
        ([price(), "bitcoin"], "index 1"),
        ([Dearer(coin_id="a", symbol="a", usd_price=1, last_updated=price().last_updated, source="t")],
         "index 0"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_records_of_the_type_is_refused(bad: object, word: str) -> None:
    refused(checks.records_of(CryptoPriceData, bad), word, "CryptoPriceData")


def test_records_of_another_kind_are_refused() -> None:
    refused(checks.records_of(CryptoMarketAnalytics, [price()]), "expected CryptoMarketAnalytics at index 0")
    assert checks.records_of(CryptoPriceData, [price()]) is None
    assert checks.records_of(CryptoPriceData, []) is None


@pytest.mark.parametrize("check", [checks.coin_id, checks.coin_ids, checks.limit, checks.currencies])
def test_a_value_that_cannot_be_shown_harms_nobody(check: Callable[[object], PlatformError | None]) -> None:
    refused(check(Sly()), "a Sly")
