"""Answers of a size that a model can read: a series as thinned columns, a list in part, and what was left out.

Series as columns: what changes from row to row once as a list, what does not once as it is; and thinned evenly.
Thinning picks some of the values, and never makes one: the first and the last are among them.

What is left out is said, with how to go on: `thinned` says from how many to how many values, `cut` which part of a list
this is. With `all` an answer is all records as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal, TypeAlias, TypeVar, assert_never

import attrs
from attrs import frozen

from dataplatform.dsl.records.kinds import OHLCV, PRICES, Kind
from dataplatform.dsl.records.queries import OHLCVSeries
from dataplatform.dsl.records.schema import camel_case, to_json
from dataplatform.dsl.records.timeframes import floor
from dataplatform.dsl.records.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.services.gateway.mcp.arguments import POINTS

__all__ = [
    "BESIDES",
    "Shape",
    "Sort",
    "as_columns",
    "in_parts",
    "one_per_interval",
    "shaped",
    "size_of",
    "text_for",
    "thinned",
]

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


Sort: TypeAlias = Literal["history", "candles", "list", "batch", "one"]
MOST_GAPS = 20
BESIDES = 1_500  # bytes of an answer besides its structured content: the text, and what the protocol adds
SHORT = 3_000  # bytes; up to this the text of an answer is the whole of it
LISTED = 20  # of a long list, in a text
EVENLY = "evenly by place, the first and the last kept, no value changed"


@frozen
class Shape:
    """How much of an answer is wanted: `all`, or so many points, one per interval, a list from `offset` on."""

    interval: str | None = None
    max_points: int = POINTS
    offset: int = 0
    all: bool = False


def shaped(sort: Sort, data: Any, shape: Shape, limit: int) -> dict[str, Any]:
    """Return what an operation has answered as members of an answer of at most `limit` bytes: `result` and others."""
    room = limit - BESIDES
    if shape.all or sort == "one":
        return {"result": to_json(data)}
    match sort:
        case "candles":
            return _candles(data, shape, room)
        case "history":
            return _series(data, PRICES, shape, room)
        case "list":
            rows, once = _attributed(to_json(data))
            return {**in_parts({"result": rows}, shape.offset, room), **once}
        case "batch":
            return _batch(to_json(data), room)
        case _:
            assert_never(sort)


def in_parts(
    whole: dict[str, Any], offset: int, room: int, go_on: str = "ask again with offset = {next}"
) -> dict[str, Any]:
    """Return an object with the lists in it from `offset` on, as far as they fit, all to the same length."""
    lists = {name: value for name, value in whole.items() if isinstance(value, list)}
    most = max(map(len, lists.values()), default=0)

    def part(count: int) -> dict[str, Any]:
        return whole | {name: value[offset : offset + count] for name, value in lists.items()}

    count = _largest(most - offset, lambda count: size_of(part(count)) <= room)
    if count >= most - offset and not offset:
        return whole
    following = offset + count
    cut: dict[str, Any] = {"from": offset, "to": following, "of": {name: len(value) for name, value in lists.items()}}
    if following < most:
        cut["goOn"] = go_on.format(next=following)
    return part(count) | {"cut": cut}


def size_of(value: Any) -> int:
    """Return how many bytes a value has on the wire."""
    return len(json.dumps(value, separators=(",", ":")))


def text_for(answer: Mapping[str, Any]) -> str:
    """Return an answer as text: the whole of it where it is short, else what it comes to."""
    if size_of(answer) <= SHORT:
        return json.dumps(answer)
    result = answer.get("result", answer)
    lines = _series_lines(result) if "columns" in result else _lines(result)
    for told in ("thinned", "cut", "notes"):
        if told in answer:
            lines.append(f"{told}: {json.dumps(answer[told])[:300]}")
    return "\n".join([*lines, "All values are in the structured content; ask for less to have them as text."])


def _series(rows: Sequence[Any], kind: Kind, shape: Shape, room: int) -> dict[str, Any]:
    """Return rows of one coin as columns, as many as are wanted and fit; evenly picked where those are fewer."""
    picked = one_per_interval(rows, shape.interval, kind) if shape.interval else list(rows)
    most = _largest(min(len(picked), shape.max_points), lambda count: _fits(thinned(picked, max(2, count)), kind, room))
    shown = thinned(picked, max(2, most))
    answer: dict[str, Any] = {"result": as_columns(shown, kind)}
    if len(shown) < len(rows):
        first = f"the first of each {shape.interval} and the last of all; " if shape.interval else ""
        how = first + EVENLY if len(shown) < len(picked) else first.rstrip("; ")
        answer["thinned"] = {"from": len(rows), "to": len(shown), "how": how}
    return answer


def _candles(data: OHLCVSeries, shape: Shape, room: int) -> dict[str, Any]:
    """Return candles as columns, and the gaps among them, the first ones where there are many."""
    gaps = to_json(data.gaps)
    missing = {"gaps": gaps[:MOST_GAPS], "missing": sum(gap.missing for gap in data.gaps)}
    answer: dict[str, Any] = {"result": {"columns": {}}}
    if data.candles:
        answer = _series(data.candles, OHLCV, shape, room - size_of(missing) - BESIDES)
    answer["result"] |= missing
    if len(gaps) > MOST_GAPS:
        go_on = "ask for a shorter range, or with all = true"
        answer["cut"] = {"from": 0, "to": MOST_GAPS, "of": {"gaps": len(gaps)}, "goOn": go_on}
    return answer


def _batch(result: dict[str, Any], room: int) -> dict[str, Any]:
    part = in_parts(result, 0, room, "publish the refused ones in smaller batches to see why")
    cut = {"cut": part.pop("cut")} if "cut" in part else {}
    return {"result": part, **cut}


def _fits(rows: Sequence[Any], kind: Kind, room: int) -> bool:
    return size_of(as_columns(rows, kind)) <= room


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest count up to `most` that fits, at least 1 where there is anything: it grows with the count."""
    if most <= 1 or fits(most):
        return max(0, most)
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _attributed(rows: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return rows without the attribution that all of them have, and that."""
    given = {row["attribution"] for row in rows if isinstance(row, dict) and "attribution" in row}
    if len(given) != 1 or len(rows) == 1:
        return rows, {}
    shorter = [{name: value for name, value in row.items() if name != "attribution"} for row in rows]
    return shorter, {"attribution": given.pop()}


def _series_lines(result: Mapping[str, Any]) -> list[str]:
    """Return what a series comes to: its reach, its first and last value, the lowest and the highest."""
    columns: Mapping[str, list[Any]] = result["columns"]
    if not columns:
        return [json.dumps({name: value for name, value in result.items() if name != "columns"})]
    times = next(iter(columns.values()))
    name = "usdPrice" if "usdPrice" in columns else "close"
    low, high = columns.get("low", columns[name]), columns.get("high", columns[name])
    least, most = low.index(min(low)), high.index(max(high))
    return [
        f"{result.get('coinId', '')}: {len(times)} points from {times[0]} to {times[-1]} by {result.get('source')}",
        f"{name}: first {columns[name][0]:g}, last {columns[name][-1]:g}",
        f"lowest {low[least]:g} at {times[least]}, highest {high[most]:g} at {times[most]}",
    ]


def _lines(result: Any) -> list[str]:
    if isinstance(result, list):
        lines = [_line(one) for one in result[:LISTED]]
        return [*lines, *([f"… and {len(result) - LISTED} more"] if len(result) > LISTED else [])]
    return [f"{name}: {_told(value)}" for name, value in result.items()]


def _told(value: Any) -> str:
    """Return a member of an object in a few words: names as they are, of other things how many there are."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return ", ".join(value[:LISTED]) + (", …" if len(value) > LISTED else "")
    return str(len(value) if isinstance(value, (list, dict)) else value)


def _line(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    telling = ("coinId", "usdPrice", "close", "timestamp", "lastUpdated", "source")
    return " ".join(str(one[name]) for name in telling if name in one)
