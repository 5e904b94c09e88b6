from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.simulator.path import GRAIN, HALF_HOUR, LIMIT, TOP_LEVEL, Noise, Path, headroom

DAY = 86_400.0
NOISE = Noise(7)
times = st.floats(min_value=1.4e9, max_value=2.2e9)
strands = st.sampled_from(["market", "coin/bitcoin", "coin/tether"])
seeds = st.integers(min_value=-(2**70), max_value=2**70)


@given(seed=seeds, strand=strands, seconds=times)
@settings(max_examples=50)
def test_a_value_depends_on_seed_strand_and_time_only(seed: int, strand: str, seconds: float) -> None:
    fresh, used = Noise(seed), Noise(seed)
    for other in range(20):
        used.at(strand, seconds + other * DAY)
    assert fresh.at(strand, seconds) == used.at(strand, seconds)


@given(strand=strands, seconds=times)
def test_no_value_is_beyond_the_limit(strand: str, seconds: float) -> None:
    assert abs(NOISE.at(strand, seconds)) <= LIMIT


@given(strand=strands, seconds=times)
def test_the_walk_has_no_jumps(strand: str, seconds: float) -> None:
    assert abs(NOISE.at(strand, seconds) - NOISE.at(strand, seconds + 0.001)) < 0.001


def test_a_day_moves_it_by_a_standard_deviation_of_about_one() -> None:
    values = [NOISE.at("market", 1.7e9 + day * DAY) for day in range(1000)]
    moves = [after - before for before, after in pairwise(values)]
    assert 0.8 < statistics.pstdev(moves) < 1.2
    assert abs(statistics.fmean(moves)) < 0.1


def test_different_strands_and_different_seeds_move_independently() -> None:
    def moves(noise: Noise, strand: str) -> list[float]:
        return [noise.at(strand, 1.7e9 + (day + 1) * DAY) - noise.at(strand, 1.7e9 + day * DAY) for day in range(1000)]

    assert abs(statistics.correlation(moves(NOISE, "a"), moves(NOISE, "b"))) < 0.15
    assert abs(statistics.correlation(moves(NOISE, "a"), moves(Noise(8), "a"))) < 0.15


def test_the_headroom_grows_with_the_level_and_less_than_the_sum_of_all_displacements() -> None:
    rooms = [headroom(level) for level in range(TOP_LEVEL + 1)]
    assert rooms == sorted(rooms)
    assert rooms[0] == 0.0
    assert headroom(2) < headroom(1) + math.sqrt(2) * headroom(1)


@given(half_hours=st.sampled_from([1, 2, 8, 64]), start=times, part=st.floats(0, 1))
@settings(max_examples=200)
def test_the_extremes_of_a_cell_contain_every_value_in_it(half_hours: int, start: float, part: float) -> None:
    path = Path(NOISE, 100.0, {"market": 0.02, "coin/x": 0.03})
    first = int(start // HALF_HOUR) // half_hours * half_hours
    low, high = path.low_and_high(half_hours, first)
    assert low <= path.at((first + part * half_hours) * HALF_HOUR) <= high


@given(start=times)
@settings(max_examples=20)
def test_the_extremes_of_a_cell_are_reached(start: float) -> None:
    path = Path(NOISE, 100.0, {"market": 0.02})
    first = int(start // HALF_HOUR)
    values = [path.at(first * HALF_HOUR + grain * GRAIN) for grain in range(257)]
    assert path.low_and_high(1, first) == pytest.approx((min(values), max(values)), rel=1e-9)


@given(start=times)
def test_values_on_the_half_hour_are_the_same_read_alone_or_together(start: float) -> None:
    path = Path(NOISE, 100.0, {"market": 0.02, "coin/x": 0.03})
    first = int(start // HALF_HOUR)
    together = path.at_half_hours(range(first, first + 4))
    assert together == pytest.approx([path.at((first + n) * HALF_HOUR) for n in range(4)], rel=1e-12)


def test_a_path_over_itself_is_one_for_ever() -> None:
    path = Path(NOISE, 100.0, {"market": 0.02})
    ratio = path.over(path)
    assert ratio.at_half_hours(range(3)) == [1.0, 1.0, 1.0]
    assert ratio.low_and_high(8, 800_000) == (1.0, 1.0)
