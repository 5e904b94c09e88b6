"""A price as a curve over time: the exponential of a weighted sum of random walks, with exact highs and lows.

Deterministic fractal noise: a bounded random walk that is read at any time without walking to it.

The walk is Lévy's construction of Brownian motion (midpoint displacement): the value half-way between two known points
is their mean, displaced by a random amount that shrinks with the distance. The random amounts are hashes of seed,
strand, level and place, so every value is a pure function of them, and computing one touches only the points around it.

Two things differ from Brownian motion on purpose. The displacement stops growing with distances of eight days, so the
walk keeps returning to zero instead of wandering off over the years; and the random amounts are uniform, not normal, so
every stretch has a bound that can be computed (`headroom`), which makes exact highs and lows affordable.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Final, TypeAlias

from attrs import field, frozen

__all__ = [
    "GRAIN",
    "HALF_HOUR",
    "HALF_HOUR_LEVEL",
    "LIMIT",
    "SCALE",
    "TOP_LEVEL",
    "Noise",
    "Path",
    "Weights",
    "headroom",
]

HALF_HOUR: Final = 1800.0
HALF_HOUR_LEVEL: Final = 8
TOP_LEVEL: Final = 23
"""A cell of level n is `GRAIN * 2**n` seconds wide: level 8 is half an hour, level 23 about 682 days."""
GRAIN: Final = HALF_HOUR / 2**HALF_HOUR_LEVEL
"""Seconds between the finest points; between two of them the walk is a straight line."""

_DAY = 86_400.0
_CALM = 8 * _DAY
_KNOTS_KEPT = 2**17
_READINGS_KEPT = 2**14
_WORD = 2**64 - 1

SCALE: Final = tuple(math.sqrt(3 * min(GRAIN * 2**level, _CALM) / _DAY) / 2 for level in range(TOP_LEVEL + 1))
"""The largest displacement in the middle of a cell, by level: the walk's standard deviation over a day is about 1."""


def headroom(level: int) -> float:
    """Return the most by which the walk inside a cell can leave the straight line between the cell's ends."""
    return _HEADROOM[level]


def _headrooms() -> tuple[float, ...]:
    """Return the maximum of the summed tents of the levels 1 to n, by n.

    The sum repeats itself in both halves of a cell and is a straight line between grains, so its maximum over the
    grains is exact. From `exact` levels on, the higher levels are bounded by their own peaks instead.
    """
    exact = 12
    sums, peaks = [0.0], [0.0]
    for level in range(1, exact + 1):
        width = 2**level
        tent = [1 - abs(2 * place / width - 1) for place in range(width)]
        sums = [SCALE[level] * height + below for height, below in zip(tent, sums * 2, strict=True)]
        peaks.append(max(sums))
    for level in range(exact + 1, TOP_LEVEL + 1):
        peaks.append(peaks[-1] + SCALE[level])
    return tuple(peaks)


_HEADROOM = _headrooms()
LIMIT: Final = SCALE[TOP_LEVEL] + _HEADROOM[TOP_LEVEL]
"""No walk is ever further from zero than this."""


def displacement(salt: int, place: int) -> float:
    """Return a number in [-1, 1) that looks random, from two multiply-and-shift rounds over 64 bits."""
    mixed = ((place ^ salt) * 0x9E3779B97F4A7C15) & _WORD
    mixed = ((mixed ^ (mixed >> 32)) * 0xD6E8FEB86659FD93) & _WORD
    return (mixed >> 11) * 2.0**-52 - 1.0


class Noise:
    """The random walks of one seed. Each has a name, its strand: `noise.at("market", 1_780_000_000.0)`.

    >>> Noise(7).at("market", 1_780_000_000.0) == Noise(7).at("market", 1_780_000_000.0)
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.salts: Callable[[str], tuple[int, ...]] = lru_cache(maxsize=4096)(self._salts)
        self.knot: Callable[[str, int], float] = lru_cache(maxsize=_KNOTS_KEPT)(self._knot)
        self.at: Callable[[str, float], float] = lru_cache(maxsize=_READINGS_KEPT)(self._at)

    def _salts(self, strand: str) -> tuple[int, ...]:
        words = TOP_LEVEL + 1
        digest = hashlib.shake_128(f"{self.seed}/{strand}".encode()).digest(8 * words)
        return struct.unpack(f">{words}Q", digest)

    def _knot(self, strand: str, half_hour: int) -> float:
        """Return the value at the start of a half hour, counted from 1970; its neighbours come from the cache."""
        top = TOP_LEVEL - HALF_HOUR_LEVEL
        distance = half_hour & -half_hour
        salts = self.salts(strand)
        if half_hour % 2**top == 0:
            return SCALE[TOP_LEVEL] * displacement(salts[0], half_hour >> top)
        level = distance.bit_length() + HALF_HOUR_LEVEL
        middle = (self.knot(strand, half_hour - distance) + self.knot(strand, half_hour + distance)) / 2
        return middle + SCALE[level] * displacement(salts[level], half_hour // (2 * distance))

    def _at(self, strand: str, seconds: float) -> float:
        """Return the value at a Unix time in seconds."""
        grains = seconds / GRAIN
        place = math.floor(grains)
        half_hour = place >> HALF_HOUR_LEVEL
        left, right = self.knot(strand, half_hour), self.knot(strand, half_hour + 1)
        salts = self.salts(strand)
        for level in range(HALF_HOUR_LEVEL, 0, -1):
            middle = (left + right) / 2 + SCALE[level] * displacement(salts[level], place >> level)
            if place >> (level - 1) & 1:
                left = middle
            else:
                right = middle
        return left + (right - left) * (grains - place)


Weights: TypeAlias = dict[str, float]
"""How much of each strand of noise goes into the logarithm: its standard deviation over a day."""

_ROUNDING = 1e-12
"""`at` and `low_and_high` add the same numbers in another order: a price could be above its candle by 1e-16."""
_Cell: TypeAlias = tuple[int, float, float]


@frozen(eq=False)
class Path:
    """A positive quantity that moves: `middle * exp(sum of weight * walk)`. Times are Unix seconds.

    Products and quotients of paths are paths again, so a coin in any currency, in another coin, or times a supply is
    one too, and everything said of one currency agrees with what is said of another.

    >>> bitcoin = Path(Noise(7), 77_000.0, {"market": 0.02})
    >>> bitcoin.over(bitcoin).at(1_780_000_000.0)
    1.0
    """

    noise: Noise = field(repr=False)
    middle: float
    weights: Weights

    def at(self, seconds: float) -> float:
        """Return the value at a Unix time in seconds."""
        read = self.noise.at
        return self.middle * math.exp(sum([weight * read(strand, seconds) for strand, weight in self.weights.items()]))

    def times(self, factor: float) -> Path:
        """Return this path in another unit."""
        return Path(self.noise, self.middle * factor, self.weights)

    def over(self, other: Path) -> Path:
        """Return this path counted in the other: strands that both share cancel."""
        strands = dict.fromkeys((*self.weights, *other.weights))
        weights = {strand: self.weights.get(strand, 0.0) - other.weights.get(strand, 0.0) for strand in strands}
        kept = {strand: weight for strand, weight in weights.items() if weight}
        return Path(self.noise, self.middle / other.middle, kept)

    @cached_property
    def ceiling(self) -> float:
        """The value that is never exceeded, at any time."""
        return self.middle * math.exp(LIMIT * self._reach)

    @cached_property
    def floor(self) -> float:
        """The value that is never undercut, at any time."""
        return self.middle * math.exp(-LIMIT * self._reach)

    @cached_property
    def _reach(self) -> float:
        return sum(abs(weight) for weight in self.weights.values())

    def at_half_hours(self, half_hours: range) -> list[float]:
        """Return the values at the starts of half hours, counted from 1970: the times that cost least to read."""
        knot, middle = self.noise.knot, self.middle
        columns = [[weight * knot(strand, n) for n in half_hours] for strand, weight in self.weights.items()]
        sums = map(sum, zip(*columns, strict=True)) if columns else [0.0] * len(half_hours)
        return [middle * math.exp(total) for total in sums]

    def low_and_high(self, half_hours: int, first: int) -> tuple[float, float]:
        """Return the exact lowest and highest value of a cell of noise.

        Args:
            half_hours: the cell's width, a power of two.
            first: the half hour the cell begins with, counted from 1970, a multiple of the width.

        """
        level = half_hours.bit_length() - 1 + HALF_HOUR_LEVEL
        left, right = self._log_at(first), self._log_at(first + half_hours)
        low, high = self._bracket(level, (first // half_hours, left, right))
        slack = _ROUNDING if self.weights else 0.0
        return self.middle * math.exp(low - slack), self.middle * math.exp(high + slack)

    def _log_at(self, half_hour: int) -> float:
        knot = self.noise.knot
        return sum([weight * knot(strand, half_hour) for strand, weight in self.weights.items()])

    def _bracket(self, level: int, cell: _Cell) -> tuple[float, float]:
        """Branch and bound: halve only the cells that may still hold a value beyond the extremes seen so far."""
        mixers = [(weight, self.noise.salts(strand)) for strand, weight in self.weights.items()]
        low, high = min(cell[1:]), max(cell[1:])
        alive = [cell]
        for depth in range(level, 0, -1):
            scale, halves = SCALE[depth], []
            for place, left, right in alive:
                shift = sum([weight * displacement(salts[depth], place) for weight, salts in mixers])
                middle = (left + right) / 2 + scale * shift
                low, high = min(low, middle), max(high, middle)
                halves += [(2 * place, left, middle), (2 * place + 1, middle, right)]
            room = headroom(depth - 1) * self._reach
            alive = [
                half for half in halves if max(half[1], half[2]) + room > high or min(half[1], half[2]) - room < low
            ]
        return low, high
