"""Which stretches of history are looked for, and what counts as a gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dataplatform.dsl.records.queries import Gap
from dataplatform.system.cli.data.filling import Span, candle_spans, gaps_among, price_spans, split

NOW = datetime(2026, 5, 18, 12, 49, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGIN = NOW.replace(minute=0) - 48 * HOUR
SPAN = Span("bitcoin", BEGIN, BEGIN + 24 * HOUR, "1h", candles=False, reach=BEGIN)


def test_prices_are_looked_for_by_the_hour_and_before_ninety_days_by_the_day() -> None:
    daily, hourly = price_spans(["bitcoin"], NOW - 200 * DAY, NOW, NOW, paid=False)

    assert (daily.interval, hourly.interval) == ("1d", "1h")
    assert daily.end == hourly.start
    assert NOW - 90 * DAY < hourly.start <= NOW - 88 * DAY
    assert (daily.start.hour, daily.end.hour) == (0, 0)


def test_a_short_past_is_one_span_per_coin() -> None:
    spans = price_spans(["bitcoin", "ethereum"], NOW - 2 * DAY, NOW - DAY, NOW, paid=False)
    assert [(span.coin, span.interval) for span in spans] == [("bitcoin", "1h"), ("ethereum", "1h")]


def test_nothing_is_looked_for_in_the_future() -> None:
    assert price_spans(["bitcoin"], NOW + DAY, NOW + 2 * DAY, NOW, paid=False) == []
    assert candle_spans(["bitcoin"], NOW + DAY, NOW + 2 * DAY, NOW, "4h") == []


def test_many_candles_are_cut_into_spans_without_a_hole() -> None:
    spans = candle_spans(["bitcoin"], NOW - 365 * DAY, NOW, NOW, "30m")

    assert [one.end for one in spans[:-1]] == [one.start for one in spans[1:]]
    assert spans[-1].end == NOW
    assert all(span.end - span.start <= 5_000 * HOUR / 2 for span in spans)


@pytest.mark.parametrize("late", [0, 1, 60, 240])
def test_who_asks_from_the_limit_of_candles_on_misses_none(late: int) -> None:
    """Whenever the command was given, and however long it took to get here."""
    now = NOW + late * timedelta(minutes=1)
    (span,) = candle_spans(["bitcoin"], now - 30 * DAY - timedelta(seconds=20), now, now, "4h")
    parts = split(gaps_among([], span, now), span)

    assert parts.beyond == ()
    assert span.reach <= span.start < span.reach + 4 * HOUR


def test_who_asks_from_the_limit_of_prices_on_misses_none() -> None:
    daily, _ = price_spans(["bitcoin"], NOW - 365 * DAY, NOW, NOW, paid=False)
    assert daily.reach <= daily.start < daily.reach + DAY


def test_what_lies_beyond_the_limit_by_more_is_missing() -> None:
    (span,) = candle_spans(["bitcoin"], NOW - 32 * DAY, NOW, NOW, "4h")
    assert [gap.missing for gap in split(gaps_among([], span, NOW), span).beyond] == [13]


def test_an_interval_that_is_not_over_is_no_gap() -> None:
    still_open = evolve(SPAN, start=NOW - 2 * HOUR, end=NOW)
    there = [NOW - 2 * HOUR, NOW - HOUR]
    assert gaps_among(there, still_open, NOW) == ()


@given(st.sets(st.integers(0, 23)))
def test_gaps_are_what_is_missing_and_nothing_else(there: set[int]) -> None:
    gaps = gaps_among([BEGIN + hour * HOUR + timedelta(minutes=7) for hour in there], SPAN, NOW)

    missing = {hour for hour in range(24) if any(gap.start <= BEGIN + hour * HOUR < gap.end for gap in gaps)}
    assert missing == set(range(24)) - there
    assert sum(gap.missing for gap in gaps) == 24 - len(there)
    assert all(one.end < other.start for one, other in pairwise(gaps))


@given(st.integers(-3, 27))
def test_a_gap_is_split_where_the_reach_of_coingecko_ends(hours: int) -> None:
    gap = Gap(BEGIN + 2 * HOUR, BEGIN + 20 * HOUR, 18)
    parts = split([gap], evolve(SPAN, reach=BEGIN + hours * HOUR))

    assert sum(one.missing for one in (*parts.beyond, *parts.open)) == 18
    assert all(one.end <= BEGIN + hours * HOUR for one in parts.beyond)
    assert all(one.start >= BEGIN + hours * HOUR for one in parts.open)
