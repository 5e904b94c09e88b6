"""Timeframes, and the gaps among candles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplatform.dsl.records.queries import DateRangeOHLCVQuery, Gap
from dataplatform.dsl.records.timeframes import check_timeframe, floor, length, series
from dataplatform.dsl.records.types import CryptoOHLCVData

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def candle(opened: datetime) -> CryptoOHLCVData:
    return CryptoOHLCVData(
        coin_id="bitcoin", timestamp=opened, open=1, high=1, low=1, close=1, timeframe="1h", source="test"
    )


def query(hours: int) -> DateRangeOHLCVQuery:
    return DateRangeOHLCVQuery("bitcoin", START, START + hours * HOUR, "1h")


@pytest.mark.parametrize("wrong", ["", "0m", "m", "1", "1y", "1.5h", "-1h", "1000m", "1H", None, 60])
def test_what_is_no_timeframe_is_refused(wrong: object) -> None:
    error = check_timeframe(wrong)

    assert error is not None
    assert error.code == "bad_argument"


@given(st.integers(0, 4 * 10**9), st.sampled_from(["1m", "30m", "4h", "1d", "4d", "1w"]))
def test_the_open_of_a_moment_s_candle_is_at_most_its_length_before_it(seconds: int, timeframe: str) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    opened = floor(moment, timeframe)

    assert opened <= moment < opened + length(timeframe)
    assert floor(opened, timeframe) == opened


def test_candles_outside_of_the_range_are_left_out_and_the_others_put_in_order() -> None:
    opens = [START + place * HOUR for place in (3, -1, 0, 1, 2)]

    found = series([candle(opened) for opened in opens], query(3), now=START + 99 * HOUR)

    assert [one.timestamp for one in found.candles] == [START, START + HOUR, START + 2 * HOUR]
    assert found.gaps == ()


@given(st.sets(st.integers(0, 23)))
def test_every_hour_of_a_day_is_a_candle_or_in_a_gap(hours: set[int]) -> None:
    found = series([candle(START + hour * HOUR) for hour in hours], query(24), now=START + 99 * HOUR)

    missing = {START + hour * HOUR for hour in range(24)} - {one.timestamp for one in found.candles}
    assert missing == {gap.start + n * HOUR for gap in found.gaps for n in range(gap.missing)}
    assert all(gap.end - gap.start == gap.missing * HOUR for gap in found.gaps)
    assert all(one.end < other.start for one, other in zip(found.gaps, found.gaps[1:], strict=False))


def test_a_candle_that_is_still_open_is_no_gap() -> None:
    found = series([candle(START)], query(5), now=START + 2.5 * HOUR)

    assert found.gaps == (Gap(START + HOUR, START + 2 * HOUR, 1),)


def test_candles_that_are_not_counted_from_midnight_have_no_gaps_for_it() -> None:
    shifted = [candle(START + timedelta(minutes=10) + place * HOUR) for place in range(5)]

    assert series(shifted, query(5), now=START + 99 * HOUR).gaps == ()


def test_one_candle_off_the_grid_moves_no_other_and_fills_its_place() -> None:
    opens = [START + timedelta(minutes=7), *[START + hour * HOUR for hour in (1, 2, 3, 4, 6, 7)]]

    found = series([candle(opened) for opened in opens], query(8), now=START + 99 * HOUR)

    assert found.gaps == (Gap(START + 5 * HOUR, START + 6 * HOUR, 1),)
