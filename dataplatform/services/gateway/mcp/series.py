"""Series as columns: what changes from row to row once as a list, what does not once as it is; and thinned evenly.

Thinning picks some of the values, and never makes one: the first and the last are among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

import attrs

from dataplatform.dsl.kinds import Kind
from dataplatform.dsl.schema import camel_case, to_json
from dataplatform.dsl.timeframes import floor
from dataplatform.dsl.types import CryptoOHLCVData, CryptoPriceData

__all__ = ["as_columns", "one_per_interval", "thinned"]

R = TypeVar("R")
OfCoin = TypeVar("OfCoin", bound=CryptoPriceData | CryptoOHLCVData)


def thinned(rows: Sequence[R], most: int) -> list[R]:
    """Return at most so many of the rows, evenly picked by their place, the first and the last among them.

    >>> thinned(range(10), 4)
    [0, 3, 6, 9]
    """
    assert most > 1, "there is a first one and a last one"
    count = len(rows)
    if count <= most:
        return list(rows)
    return [rows[round(place * (count - 1) / (most - 1))] for place in range(most)]


def one_per_interval(rows: Sequence[OfCoin], interval: str, kind: Kind) -> list[OfCoin]:
    """Return the first row of each interval, and the last of all; the rows are in order of time, and there are some."""
    time = attrgetter(kind.time)
    picked = [next(same) for _, same in groupby(rows, key=lambda row: floor(time(row), interval))]
    return picked if picked[-1] is rows[-1] else [*picked, rows[-1]]


def as_columns(rows: Sequence[OfCoin], kind: Kind) -> dict[str, Any]:
    """Return the rows of one coin: texts that all of them share, and columns of what they have each for themselves.

    What is null in all rows is left out.
    """
    shared: dict[str, Any] = {}
    columns: dict[str, list[Any]] = {}
    for field in attrs.fields(kind.type):
        values = [getattr(row, field.name) for row in rows]
        name = camel_case(field.name)
        if isinstance(values[0], str) and values.count(values[0]) == len(values):
            shared[name] = values[0]
        elif any(value is not None for value in values):
            columns[name] = to_json(values)
    first = camel_case(kind.time)
    return {**shared, "columns": {first: columns.pop(first), **columns}}
