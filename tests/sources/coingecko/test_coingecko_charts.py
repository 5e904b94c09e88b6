"""Charts and candles of CoinGecko as records: joined by their times, each once, in order, the odd ones set aside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.errors import Permanent
from dataplatform.sources.coingecko import history
from dataplatform.sources.coingecko.api import MARKET_CHART, OHLC, Answer
from dataplatform.sources.coingecko.transforms import Coin
from tests.sources.coingecko.answers import NOW, answer, refusal

HOUR = 3_600_000
NOON = 1_779_710_400_000  # 2026-05-25T12:00:00Z, in milliseconds
BITCOIN = Coin("bitcoin", "btc", "Bitcoin")
quick = settings(deadline=None, max_examples=80)


def chart(prices: object, caps: object = (), volumes: object = ()) -> Answer:
    return answer({"prices": prices, "market_caps": caps, "total_volumes": volumes}, MARKET_CHART)


def prices(charted: Answer) -> list[CryptoPriceData]:
    return history.prices(charted, BITCOIN, 1).data


def rows(found: Sequence[CryptoPriceData]) -> list[tuple[float, float | None, float | None]]:
    return [(one.usd_price, one.market_cap, one.volume_24h) for one in found]


# Charts


def test_caps_and_volumes_are_those_of_the_price_s_own_moment() -> None:
    """Of 24 prices and 23 market caps, the first missing, each cap is that of its own moment."""
    moments = [NOON + number * HOUR for number in range(24)]
    found = prices(
        chart(
            [[moment, 70_000 + number] for number, moment in enumerate(moments)],
            [[moment, 1e12 + number] for number, moment in enumerate(moments)][1:],
            [[moment, 1e9 + number] for number, moment in enumerate(moments)],
        )
    )
    assert [one.last_updated for one in found] == [datetime.fromtimestamp(moment / 1000, UTC) for moment in moments]
    assert rows(found) == [
        (70_000 + number, None if number == 0 else 1e12 + number, 1e9 + number) for number in range(24)
    ]


POINTS = st.dictionaries(st.integers(0, 30), st.none() | st.floats(0, 1e15), max_size=12)


@given(POINTS, POINTS, POINTS, st.randoms())
@quick
def test_lines_of_any_moments_in_any_order_are_joined_by_time(
    priced: dict[int, float | None], caps: dict[int, float | None], volumes: dict[int, float | None], order: Any
) -> None:
    lines = [[[NOON + at * HOUR, value] for at, value in line.items()] for line in (priced, caps, volumes)]
    for line in lines:
        order.shuffle(line)
    known = {at: value for at, value in sorted(priced.items()) if value is not None}
    if not known:
        assert refusal(history.prices, chart(*lines), BITCOIN, 1).code == "no_price"
        return
    assert rows(prices(chart(*lines))) == [(value, caps.get(at), volumes.get(at)) for at, value in known.items()]


def test_a_moment_that_is_sent_twice_counts_once_as_it_was_sent_last() -> None:
    twice = [[NOON, 1.0], [NOON + HOUR, 2.0], [NOON, 3.0]]
    assert rows(prices(chart(twice, twice, []))) == [(3.0, 3.0, None), (2.0, 2.0, None)]


def test_a_moment_that_only_the_other_lines_have_adds_no_price() -> None:
    assert rows(prices(chart([[NOON, 1.0]], [[NOON + HOUR, 5.0]], [[NOON + HOUR, 6.0]]))) == [(1.0, None, None)]


ODD_POINTS: list[Any] = [
    [NOON + HOUR, "2"],
    [None, 2.0],
    [0, 2.0],
    [-NOON, 2.0],
    [1_199_145_599_000, 2.0],
    [NOON * 1000, 2.0],
    [1e300, 2.0],
    [NOON + HOUR, -2.0],
    [NOON + HOUR],
    None,
    {},
    7,
]


@pytest.mark.parametrize("odd", ODD_POINTS, ids=str)
def test_an_odd_point_costs_no_other_and_is_noted_with_its_place(odd: object) -> None:
    found = history.prices(chart([[NOON, 1.0], odd, [NOON + 2 * HOUR, 3.0]]), BITCOIN, 1)
    assert [one.usd_price for one in found.data] == [1.0, 3.0]
    (note,) = found.notes
    assert note.startswith("left out: /coins/bitcoin/market_chart: ")
    assert "$.prices[1]" in note


@pytest.mark.parametrize("odd", [[NOON, "2"], [NOON, -1.0], [NOON], None, 7], ids=str)
def test_an_odd_cap_costs_no_price(odd: object) -> None:
    found = history.prices(chart([[NOON, 1.0]], [odd], [[NOON, 2.0]]), BITCOIN, 1)
    assert rows(found.data) == [(1.0, None, 2.0)]
    (note,) = found.notes
    assert "$.market_caps[0]" in note


def test_a_point_may_have_more_than_two_columns() -> None:
    assert rows(prices(chart([[NOON, 1.0, "?"]], [[NOON, 2.0, None]]))) == [(1.0, 2.0, None)]


def test_when_every_point_is_odd_the_shape_has_changed() -> None:
    error = refusal(history.prices, chart([[0, 1.0], [HOUR, 2.0]]), BITCOIN, 1)
    assert (type(error), error.code) == (Permanent, "changed_shape")
    assert "moment: expected a time from 2008" in error.message


@pytest.mark.parametrize("empty", [[], [[NOON, None]]])
def test_no_prices_are_no_unknown_coin(empty: list[Any]) -> None:
    error = refusal(history.prices, chart(empty, [[NOON, 1.0]]), BITCOIN, 7)
    assert (type(error), error.code) == (Permanent, "no_price")
    assert error.message == "CoinGecko has no price of 'bitcoin' in the time asked for (days = 7)"


OTHER_LINES: list[Any] = [None, "text", {}, 7, "absent"]


def with_line(line: str, other: object) -> Answer:
    points = [[NOON, 1.0]]
    body: dict[str, Any] = {"prices": points, "market_caps": points, "total_volumes": points} | {line: other}
    if other == "absent":
        del body[line]
    return answer(body, MARKET_CHART)


@pytest.mark.parametrize("other", OTHER_LINES)
def test_prices_of_another_shape_are_refused_by_name(other: object) -> None:
    error = refusal(history.prices, with_line("prices", other), BITCOIN, 1)
    assert (type(error), error.code) == (Permanent, "changed_shape")
    assert "prices" in error.message


@pytest.mark.parametrize(("line", "known"), [("market_caps", (1.0, None, 1.0)), ("total_volumes", (1.0, 1.0, None))])
@pytest.mark.parametrize("other", OTHER_LINES)
def test_a_line_that_is_not_there_or_of_another_shape_costs_no_price(
    line: str, known: tuple[float, float | None, float | None], other: object
) -> None:
    found = history.prices(with_line(line, other), BITCOIN, 1)
    assert rows(found.data) == [known]
    assert any(note.startswith("taken for unknown: ") and line in note for note in found.notes)


@pytest.mark.parametrize("line", [[[NOON, 7], [NOON, None]], [[NOON, None], [NOON, 7]]])
def test_null_never_takes_the_place_of_a_number(line: list[Any]) -> None:
    assert rows(prices(chart(line, line, line))) == [(7.0, 7.0, 7.0)]


# Candles


def ohlc(*candles: object) -> Answer:
    return answer(list(candles), OHLC)


def test_there_is_one_candle_for_each_open_the_last_that_was_sent_in_order() -> None:
    found = history.candles(
        [ohlc([NOON + HOUR, 1, 4, 1, 2], [NOON, 1, 2, 1, 1], [NOON + HOUR, 1, 9, 1, 3])], "bitcoin", "30m"
    )
    opened = datetime(2026, 5, 25, 11, 30, tzinfo=UTC)
    assert [(one.timestamp, one.high, one.close) for one in found.data] == [
        (opened, 2, 1),
        (opened + timedelta(hours=1), 9, 3),
    ]
    assert found.notes == ()


ODD_CANDLES: list[Any] = [
    None,
    [],
    {},
    7,
    [None, 1, 2, 1, 1],
    [NOON, None, None, None, None],
    [NOON, 1, 2, 1, None],
    [NOON, 1, 2, 1],
    [NOON, 1, 2, 1, "1"],
    [NOON, 5, 2, 1, 1],
    [NOON, 1, 2, -1, 1],
    [0, 1, 2, 1, 1],
    [-NOON, 1, 2, 1, 1],
    [NOON / 1000, 1, 2, 1, 1],
    [(NOW + timedelta(days=1, seconds=1)).timestamp() * 1000, 1, 2, 1, 1],
    [NOON + 7 * 60_000, 1, 2, 1, 1],
    [NOON + 0.5, 1, 2, 1, 1],
    [1e18, 1, 2, 1, 1],
    [1e300, 1, 2, 1, 1],
]


@pytest.mark.parametrize("odd", ODD_CANDLES, ids=str)
def test_an_odd_candle_costs_no_other_and_is_noted_with_its_place(odd: object) -> None:
    for found in (
        history.candles([ohlc([NOON, 1, 2, 1, 1], odd, [NOON + HOUR, 1, 4, 1, 2])], "bitcoin", "30m"),
        history.latest_candles([ohlc([NOON + HOUR, 1, 4, 1, 2], odd)], ["bitcoin"], "30m"),
    ):
        assert found.data[-1].close == 2
        (note,) = found.notes
        assert note.startswith("left out: /coins/bitcoin/ohlc: ")
        assert "at `$[1]" in note


def test_a_candle_may_have_more_columns_than_it_needs() -> None:
    (found,) = history.candles([ohlc([NOON, 1, 2, 1, 1, 123.4, "x"])], "bitcoin", "30m").data
    assert (found.open, found.high, found.low, found.close, found.volume) == (1, 2, 1, 1, None)


@pytest.mark.parametrize("odd", ODD_CANDLES, ids=str)
def test_when_every_candle_is_odd_the_shape_has_changed(odd: object) -> None:
    error = refusal(history.candles, [ohlc(odd)], "bitcoin", "30m")
    assert (type(error), error.code) == (Permanent, "changed_shape")
    assert refusal(history.latest_candles, [ohlc(odd)], ["bitcoin"], "30m") == error


def test_the_latest_candle_is_the_latest_wherever_it_stands() -> None:
    found = history.latest_candles(
        [ohlc([NOON + HOUR, 1, 4, 1, 2], [NOON, 1, 2, 1, 1]), None, ohlc()], ["bitcoin", "tulip", "old-coin"], "30m"
    )
    assert [(one.coin_id, one.close) for one in found.data] == [("bitcoin", 2)]
    assert found.notes == ("CoinGecko has no candles of 30m of 'old-coin'",)


def test_a_candle_that_is_not_over_is_left_out() -> None:
    """Its prices are not the last ones, and it is not the latest complete one."""
    to_come = NOW.timestamp() // 1800 * 1_800_000 + 1_800_000
    over = [to_come - 1_800_000, 1, 2, 1, 1]
    forming = [to_come, 1, 9, 1, 9]
    found = history.candles([ohlc(over, forming)], "bitcoin", "30m")
    assert ([one.close for one in found.data], found.notes) == ([1], ())
    assert [one.close for one in history.latest_candles([ohlc(over, forming)], ["bitcoin"], "30m").data] == [1]


def test_candles_of_another_timeframe_than_was_asked_for_are_refused() -> None:
    """They differ in nothing but how far apart they are."""
    sent = [[NOON - number * 4 * HOUR, 1, 2, 1, 1] for number in range(7)]
    assert len(history.candles([ohlc(*sent)], "bitcoin", "4h").data) == 7
    error = refusal(history.candles, [ohlc(*sent)], "bitcoin", "30m")
    assert (type(error), error.code) == (Permanent, "changed_shape")
    assert "candles every 4:00:00 where those of 30m were asked for" in error.message
    with_gaps = [sent[0], sent[2], sent[3], sent[6]]
    assert len(history.candles([ohlc(*with_gaps)], "bitcoin", "4h").data) == 4, "a coin may have gaps"


def test_no_candles_are_no_unknown_coin() -> None:
    error = refusal(history.latest_candles, [ohlc(), None], ["old-coin", "tulip"], "4h")
    assert (type(error), error.code) == (Permanent, "no_candles")
    assert error.message == "CoinGecko has no candles of 4h of 'old-coin'"
    assert history.latest_candles([None], ["tulip"], "4h").data == []


@pytest.mark.parametrize("body", [None, {}, "text", 7, {"error": "coin not found"}])
def test_candles_that_are_no_list_are_refused(body: object) -> None:
    assert refusal(history.candles, [answer(body, OHLC)], "bitcoin", "30m").code == "changed_shape"
