"""Answers of a size that a model can read: thinned and cut, which is said, and never another value than there is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.types import TextContent

from dataplatform.dsl.records.kinds import PRICES
from dataplatform.dsl.records.queries import BatchPublishResult, Gap, OHLCVSeries, Refused
from dataplatform.dsl.records.timeframes import floor
from dataplatform.dsl.records.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.errors import Permanent
from dataplatform.services.gateway.mcp.answers import (
    Shape,
    as_columns,
    in_parts,
    one_per_interval,
    shaped,
    size_of,
    text_for,
    thinned,
)
from tests.services.gateway.mcp.served import Session

LIMIT = 25_000
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def price(number: int, coin_id: str = "bitcoin", minutes: float = 60.0) -> CryptoPriceData:
    return CryptoPriceData(
        coin_id=coin_id, symbol="btc", usd_price=70_000 + number / 7, market_cap=1.5e12 + number, source="coingecko",
        last_updated=NOON + number * timedelta(minutes=minutes), attribution="Data by somebody",
    )  # fmt: skip


def candle(number: int) -> CryptoOHLCVData:
    return CryptoOHLCVData(
        coin_id="bitcoin", timestamp=NOON + number * timedelta(hours=1), open=number, high=number + 2.5,
        low=number, close=number + 1, timeframe="1h", source="coingecko",
    )  # fmt: skip


# Thinning


@given(count=st.integers(1, 3_000), most=st.integers(2, 500))
def test_thinned_rows_are_some_of_them_in_order_with_the_first_and_the_last(count: int, most: int) -> None:
    picked = thinned(range(count), most)
    assert len(picked) == min(count, most)
    assert (picked[0], picked[-1]) == (0, count - 1)
    assert picked == sorted(set(picked))
    steps = {after - before for before, after in pairwise(picked)}
    assert not steps or max(steps) - min(steps) <= 1


def test_of_each_interval_the_first_price_is_picked_and_the_last_of_all() -> None:
    rows = [price(number, minutes=25) for number in range(300)]
    picked = one_per_interval(rows, "1d", PRICES)
    assert [one for one in picked if one not in rows] == []
    assert picked[-1] is rows[-1]
    days = [floor(one.last_updated, "1d") for one in picked[:-1]]
    assert days == sorted({floor(one.last_updated, "1d") for one in rows})
    assert all(
        one is min((row for row in rows if floor(row.last_updated, "1d") == day), key=lambda row: row.last_updated)
        for one, day in zip(picked, days, strict=False)
    )


def test_columns_hold_what_changes_and_the_rest_is_said_once() -> None:
    rows = [price(number) for number in range(3)]
    assert as_columns(rows, PRICES) == {
        "coinId": "bitcoin",
        "symbol": "btc",
        "exchangeId": "aggregate",
        "source": "coingecko",
        "attribution": "Data by somebody",
        "columns": {
            "lastUpdated": ["2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z", "2026-01-01T14:00:00Z"],
            "usdPrice": [one.usd_price for one in rows],
            "marketCap": [one.market_cap for one in rows],
        },
    }


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 4_000), points=st.integers(2, 10_000), limit=st.integers(4_000, LIMIT))
def test_a_series_fits_whatever_is_asked_for_and_says_how_it_was_thinned(count: int, points: int, limit: int) -> None:
    rows = [price(number) for number in range(count)]
    answer = shaped("history", rows, Shape(max_points=points), limit)
    shown = answer["result"]["columns"]["usdPrice"]
    values = [row.usd_price for row in rows]
    assert size_of(answer) <= limit
    assert len(shown) <= points
    assert (shown[0], shown[-1]) == (values[0], values[-1])
    assert set(shown) <= set(values)
    if len(shown) < count:
        assert (answer["thinned"]["from"], answer["thinned"]["to"]) == (count, len(shown))
        assert "the first and the last kept" in answer["thinned"]["how"]
    else:
        assert "thinned" not in answer


def test_candles_are_thinned_too_and_many_gaps_are_counted() -> None:
    gaps = tuple(Gap(NOON + n * timedelta(hours=2), NOON + (2 * n + 1) * timedelta(hours=1), 1) for n in range(2_000))
    series = OHLCVSeries([candle(number) for number in range(2_000)], gaps)
    answer = shaped("candles", series, Shape(), LIMIT)
    assert size_of(answer) <= LIMIT
    assert len(answer["result"]["columns"]["close"]) == 200
    assert (len(answer["result"]["gaps"]), answer["result"]["missing"]) == (20, 2_000)
    assert (answer["cut"]["of"], "all = true" in answer["cut"]["goOn"]) == ({"gaps": 2_000}, True)
    assert answer["thinned"]["from"] == 2_000


def test_no_candles_are_an_empty_series() -> None:
    answer = shaped("candles", OHLCVSeries([], (Gap(NOON, NOON + timedelta(hours=3), 3),)), Shape(), LIMIT)
    assert (answer["result"]["columns"], answer["result"]["missing"]) == ({}, 3)
    assert json.loads(text_for(answer)) == answer


# Cutting


@settings(max_examples=50, deadline=None)
@given(lengths=st.dictionaries(st.sampled_from("abc"), st.integers(0, 400), min_size=1), room=st.integers(1_000, 5_000))
def test_the_parts_of_a_list_are_the_whole_of_it_and_each_fits(lengths: dict[str, int], room: int) -> None:
    whole = {name: [f"item {number} of {name}" for number in range(length)] for name, length in lengths.items()}
    found: dict[str, list[str]] = {name: [] for name in whole}
    offset = 0
    while True:
        part = in_parts(whole, offset, room)
        assert size_of(part) <= room + 200
        for name in found:
            found[name] += part[name]
        if "goOn" not in part.get("cut", {}):
            break
        assert part["cut"]["goOn"] == f"ask again with offset = {part['cut']['to']}"
        offset = part["cut"]["to"]
    assert found == whole


def test_a_batch_of_which_much_is_refused_says_how_many_it_does_not_show() -> None:
    refused = tuple(Refused(number, Permanent("invalid", "a reason " * 20)) for number in range(500))
    answer = shaped("batch", BatchPublishResult("database", 0, refused), Shape(), LIMIT)
    assert size_of(answer) <= LIMIT
    assert answer["cut"]["of"] == {"refused": 500}
    assert (
        len(shaped("batch", BatchPublishResult("database", 0, refused), Shape(all=True), LIMIT)["result"]["refused"])
        == 500
    )


# The tools


def bytes_of(answer: Any) -> int:
    return len(answer.model_dump_json(by_alias=True, exclude_none=True))


def text_of(answer: Any) -> str:
    (content,) = answer.content
    assert isinstance(content, TextContent)
    return content.text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_price_history", {"coinId": "bitcoin", "days": 90}),
        ("get_price_history", {"coinId": "bitcoin", "days": 90, "maxPoints": 10_000}),
        ("get_price_history", {"coinId": "bitcoin", "days": 90, "interval": "1d"}),
        ("get_available_tickers", {}),
        ("get_current_prices", {"coinIds": 200}),
        ("get_latest_ohlcv", {"coinIds": 10}),
        ("list_sources", {}),
        ("status", {}),
        ("dead_letters", {}),
    ],
)
def test_no_answer_is_larger_than_said(session: Session, name: str, arguments: dict[str, Any]) -> None:
    if "coinIds" in arguments:
        ids = session.answer("get_available_tickers", {"limit": arguments["coinIds"], "all": True})["result"]
        arguments = {"coinIds": ids}
    answer = session.call(name, arguments)
    assert not answer.is_error
    assert bytes_of(answer) <= LIMIT


def test_a_history_is_thinned_evenly_of_the_values_that_there_are(session: Session) -> None:
    asked = {"coinId": "bitcoin", "days": 90}
    whole = session.answer("get_price_history", asked | {"all": True})["result"]
    answer = session.answer("get_price_history", asked)
    columns = answer["result"]["columns"]
    shown = list(zip(columns["lastUpdated"], columns["usdPrice"], strict=True))
    there = [(one["lastUpdated"], one["usdPrice"]) for one in whole]
    assert len(whole) > 2_000
    assert len(shown) == 200
    assert answer["thinned"]["to"] == 200
    assert abs(answer["thinned"]["from"] - len(whole)) <= 1  # an hour may have begun between the two
    assert len(set(shown) & set(there)) >= 198
    assert json.dumps(answer).count("attribution") == 1


def test_as_many_points_as_are_asked_for_and_one_for_each_interval(session: Session) -> None:
    asked = {"coinId": "bitcoin", "days": 30}
    few = session.answer("get_price_history", asked | {"maxPoints": 5})
    assert len(few["result"]["columns"]["usdPrice"]) == 5
    daily = session.answer("get_price_history", asked | {"interval": "1d"})
    times = [datetime.fromisoformat(one) for one in daily["result"]["columns"]["lastUpdated"]]
    assert 30 <= len(times) <= 32
    assert "the first of each 1d" in daily["thinned"]["how"]


def test_tickers_that_were_cut_are_gone_on_with_by_offset(session: Session) -> None:
    whole = session.answer("get_available_tickers", {"all": True})["result"]
    found: list[str] = []
    following: int | None = 0
    while following is not None:
        answer = session.answer("get_available_tickers", {"offset": following} if following else {})
        found += answer["result"]
        cut = answer.get("cut", {})
        following = cut["to"] if "goOn" in cut else None
    assert found == whole


def test_the_text_of_a_long_look_names_what_is_troubled() -> None:
    agents = [{"name": f"agent-{number}", "state": "running", "reason": "none " * 20} for number in range(40)]
    text = text_for({"well": False, "troubled": ["topics.consumer", "database"], "agents": agents})
    assert text.splitlines()[:3] == ["well: False", "troubled: topics.consumer, database", "agents: 40"]


def test_a_short_answer_is_its_text_and_a_long_one_is_summed_up(session: Session) -> None:
    short = session.call("get_current_price", {"coinId": "bitcoin"})
    assert json.loads(text_of(short)) == short.structured_content
    long = session.call("get_price_history", {"coinId": "bitcoin", "days": 90})
    text = text_of(long)
    assert long.structured_content is not None
    prices = long.structured_content["result"]["columns"]["usdPrice"]
    assert len(text) < 1_000
    assert text.startswith("bitcoin: 200 points from ")
    assert f"first {prices[0]:g}, last {prices[-1]:g}" in text
    assert f"lowest {min(prices):g} at" in text
    assert "thinned: " in text
    assert "structured content" in text
