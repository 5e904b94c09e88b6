from __future__ import annotations

import statistics
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.simulator import Market, UnknownCoinError, UnknownCurrencyError
from dataplatform.simulator.coins import COINS, STABLE
from dataplatform.simulator.currencies import CURRENCIES
from dataplatform.simulator.market import DAY
from dataplatform.simulator.path import HALF_HOUR
from tests.support.waiting import DEADLINE

NOW = datetime(2026, 5, 18, 12, 49, 21, 599_000, tzinfo=UTC)
MARKET = Market(seed=7, now=lambda: NOW)
SECONDS = NOW.timestamp()

ids = st.sampled_from([coin.id for coin in COINS])
codes = st.sampled_from(sorted(CURRENCIES))
ages = st.floats(min_value=0, max_value=400 * DAY)


@given(coin_id=ids, code=codes, age=ages)
@settings(max_examples=50, deadline=None)
def test_two_markets_with_the_same_seed_agree_at_any_time(coin_id: str, code: str, age: float) -> None:
    moment = NOW - timedelta(seconds=age)
    assert Market(seed=7).price(coin_id, code, moment) == MARKET.price(coin_id, code, moment)


def test_another_process_computes_the_same_prices() -> None:
    script = (
        "from datetime import UTC, datetime; from dataplatform.simulator import Market; market = Market(seed=7)\n"
        "for day in range(1, 28): print(repr(market.price('solana', 'eur', datetime(2026, 2, day, 7, tzinfo=UTC))))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=DEADLINE)
    prices = [MARKET.price("solana", "eur", datetime(2026, 2, day, 7, tzinfo=UTC)) for day in range(1, 28)]
    assert [float(line) for line in run.stdout.split()] == prices


def test_another_seed_is_another_market() -> None:
    assert Market(seed=8).price("bitcoin", "usd", NOW) != MARKET.price("bitcoin", "usd", NOW)


def test_prices_move_from_step_to_step_and_stand_still_in_between() -> None:
    market = Market(seed=7, step=10.0)
    start = datetime(2026, 5, 18, 12, 0, tzinfo=UTC)
    prices = [market.price("bitcoin", "usd", start + timedelta(seconds=second)) for second in range(20)]
    assert len(set(prices[:10])) == 1
    assert len(set(prices[10:])) == 1
    assert prices[0] != prices[10]


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_that_is_no_time_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="step is"):
        Market(step=step)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        MARKET.price("bitcoin", "usd", datetime(2026, 5, 18))  # noqa: DTZ001 - what is refused


def test_a_time_in_another_zone_is_the_same_time() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    assert MARKET.price("bitcoin", "usd", there) == MARKET.price("bitcoin", "usd", NOW)


def test_unknown_coins_and_currencies_are_told_apart() -> None:
    with pytest.raises(UnknownCoinError):
        MARKET.price("no-such-coin")
    with pytest.raises(UnknownCurrencyError):
        MARKET.price("bitcoin", "xyz")


def test_there_are_at_least_250_coins_and_the_invented_ones_say_so() -> None:
    assert len(MARKET.coins) >= 250
    assert len({coin.id for coin in MARKET.coins}) == len({coin.symbol for coin in MARKET.coins}) == len(MARKET.coins)
    real = [coin for coin in MARKET.coins if not coin.invented]
    assert len(real) >= 100
    assert all(coin.name.startswith("Simulated Coin") for coin in MARKET.coins if coin.invented)


@given(seed=st.integers(0, 10**9), age=ages)
@settings(max_examples=15, deadline=None)
def test_bitcoin_is_first_and_ethereum_among_the_first_three(seed: int, age: float) -> None:
    ranking = [coin.id for coin in Market(seed=seed).ranking(SECONDS - age)]
    assert ranking[0] == "bitcoin"
    assert "ethereum" in ranking[:3]


@given(coin_id=st.sampled_from(sorted(STABLE)), age=ages)
def test_a_stable_coin_stays_at_about_one_dollar(coin_id: str, age: float) -> None:
    assert MARKET.price(coin_id, "usd", NOW - timedelta(seconds=age)) == pytest.approx(1.0, abs=0.01)


def test_a_wrapped_coin_follows_what_it_wraps_and_the_others_follow_the_market() -> None:
    def moves(coin_id: str) -> list[float]:
        path = MARKET.price_path(coin_id)
        return [path.at(SECONDS - day * DAY) / path.at(SECONDS - (day + 1) * DAY) for day in range(365)]

    assert statistics.correlation(moves("wrapped-bitcoin"), moves("bitcoin")) > 0.99
    assert statistics.correlation(moves("solana"), moves("bitcoin")) > 0.3


def test_a_year_changes_prices_plausibly() -> None:
    prices = [MARKET.price("bitcoin", "usd", NOW - timedelta(days=day)) for day in range(366)]
    assert 1.1 < max(prices) / min(prices) < 3.0
    changes = [abs(after / before - 1) for before, after in pairwise(prices)]
    assert 0.005 < statistics.fmean(changes) < 0.04


@given(coin_id=ids, code=codes, age=ages)
def test_prices_in_different_currencies_agree(coin_id: str, code: str, age: float) -> None:
    seconds = SECONDS - age
    in_dollars = MARKET.price_path(coin_id, code).at(seconds) * MARKET.dollars(code, seconds)
    assert in_dollars == pytest.approx(MARKET.price_path(coin_id).at(seconds), rel=1e-9)


@given(coin_id=ids, code=codes, half_hours=st.sampled_from([1, 8, 192]), age=ages, part=st.floats(0, 1))
@settings(deadline=None)
def test_a_candle_contains_every_price_of_its_time(
    coin_id: str, code: str, half_hours: int, age: float, part: float
) -> None:
    first = int((SECONDS - age) // (half_hours * HALF_HOUR)) * half_hours
    candle = MARKET.candle(coin_id, code, half_hours, first)
    price = MARKET.price_path(coin_id, code).at(candle.opened + part * (candle.closed - candle.opened))
    assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
    assert candle.low <= price <= candle.high


@given(coin_id=ids, half_hours=st.sampled_from([1, 8, 192]), age=ages)
@settings(deadline=None, max_examples=30)
def test_a_candle_opens_where_the_one_before_closed(coin_id: str, half_hours: int, age: float) -> None:
    first = int((SECONDS - age) // (half_hours * HALF_HOUR)) * half_hours
    before = MARKET.candle(coin_id, "usd", half_hours, first - half_hours)
    after = MARKET.candle(coin_id, "usd", half_hours, first)
    assert (before.closed, before.close) == (after.opened, after.open)


@given(coin_id=ids, age=ages)
@settings(deadline=None, max_examples=20)
def test_a_long_candle_spans_exactly_its_short_ones(coin_id: str, age: float) -> None:
    first = int((SECONDS - age) // (8 * HALF_HOUR)) * 8
    whole = MARKET.candle(coin_id, "usd", 8, first)
    parts = [MARKET.candle(coin_id, "usd", 1, first + n) for n in range(8)]
    assert whole.high == pytest.approx(max(part.high for part in parts), rel=1e-9)
    assert whole.low == pytest.approx(min(part.low for part in parts), rel=1e-9)


@given(coin_id=ids, code=codes, age=ages)
@settings(deadline=None)
def test_no_price_is_beyond_the_all_time_high_and_low(coin_id: str, code: str, age: float) -> None:
    path = MARKET.price_path(coin_id, code)
    assert path.floor <= path.at(SECONDS - age) <= path.ceiling


@given(coin_id=ids, code=codes, age=ages)
@settings(deadline=None)
def test_the_price_is_between_the_low_and_high_of_its_24_hours(coin_id: str, code: str, age: float) -> None:
    low, high = MARKET.low_and_high_24h(coin_id, code, SECONDS - age)
    assert low <= MARKET.price_path(coin_id, code).at(SECONDS - age) <= high
