"""Deterministic fractal noise: a bounded random walk that is read at any time without walking to it.

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
from functools import lru_cache
from typing import Final

__all__ = ["GRAIN", "HALF_HOUR", "HALF_HOUR_LEVEL", "LIMIT", "SCALE", "TOP_LEVEL", "Noise", "headroom"]

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
