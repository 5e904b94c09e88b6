"""A price as a curve over time: the exponential of a weighted sum of random walks, with exact highs and lows."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TypeAlias

from attrs import field, frozen

from dataplatform.simulator.noise import HALF_HOUR_LEVEL, LIMIT, SCALE, Noise, displacement, headroom

__all__ = ["Path", "Weights"]

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
