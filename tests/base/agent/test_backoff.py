"""The one backoff: exponential, capped, with full jitter, and at least what the other side asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplatform.base.agent import Backoff, BackoffPolicy

POLICY = BackoffPolicy(base=0.5, cap=10.0, floor=0.1)


@given(st.integers(min_value=1, max_value=100_000))
def test_a_delay_lies_between_the_floor_and_the_capped_power_of_two(attempt: int) -> None:
    longest = min(10.0, 0.5 * 2 ** min(attempt - 1, 100))
    assert 0.1 <= POLICY.delay(attempt) <= longest


@pytest.mark.parametrize(("attempt", "longest"), [(1, 0.5), (2, 1.0), (4, 4.0), (9, 10.0)])
def test_delays_are_spread_over_the_whole_window(attempt: int, longest: float) -> None:
    delays = [POLICY.delay(attempt) for _ in range(400)]
    assert len(set(delays)) > 200
    assert min(delays) < 0.25 * longest
    assert max(delays) > 0.75 * longest


@given(retry_after=st.floats(min_value=0.0, max_value=1e6))
def test_a_wish_of_the_other_side_is_respected(retry_after: float) -> None:
    assert Backoff(POLICY).next(retry_after) >= retry_after


def test_a_short_wish_does_not_shorten_the_backoff() -> None:
    assert Backoff(BackoffPolicy(base=1.0, cap=8.0, floor=8.0)).next(retry_after=1.0) == 8.0


def test_failures_in_a_row_widen_the_window_until_a_success() -> None:
    backoff = Backoff(POLICY)
    for _ in range(6):
        backoff.next()
    assert backoff.failures == 6
    backoff.reset()
    assert backoff.next() <= 0.5
