"""How values look at a prompt: tables of records and rows, a failure's message and remedy, a future's answer."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

import attrs
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dataplatform.base.agent import Future, Timeout
from dataplatform.base.agent.futures import SHOWN_WITHIN
from dataplatform.base.database import Rows
from dataplatform.errors import PlatformError, Transient
from dataplatform.notebook import MOST_LINES, cell, plain
from dataplatform.result import Failure, Success
from dataplatform.services.service import PlatformStatus
from dataplatform.system.console.table import overview
from dataplatform.system.console.view import amount

__all__ = ["SHOWN_TYPES", "on_screen", "rendered"]

LONGEST_CELL = 40  # characters, but in the last column, which has the rest of the line
GAP = 2
SHOWN_TYPES = (Future, Success, Failure, PlatformStatus, Rows)  # what a prompt shows so; the rest is Python's


def on_screen(value: Any, width: int, *, colour: bool) -> str:
    """Return a value as text for a terminal of that width, without a newline at its end."""
    console = Console(file=StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None)
    with console.capture() as capture:
        console.print(rendered(value, width), highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))


def rendered(value: Any, width: int) -> RenderableType:
    """Return what stands for a value: of a future its answer, of a result its data or its error."""
    match value:
        case Future():
            return rendered(_answer(value), width)
        case Success(data, notes):
            return Group(_data(data, width), *[Text(plain(f"note: {note}"), style="yellow") for note in notes])
        case Failure(error):
            return _explained(error)
        case BaseException():
            return _explained(value)
        case _:
            return _data(value, width)


def _explained(error: BaseException) -> RenderableType:
    """Return what happened and, below, what to do about it."""
    if not isinstance(error, PlatformError):
        return Text(plain(f"{type(error).__name__}: {error}"), style="red")
    lines = [Text(plain(f"{error.code}: {error.message}"), style="red")]
    if error.remedy:
        lines.append(Text(plain(f"→ {error.remedy}"), style="yellow"))
    if isinstance(error, Transient) and error.retry_after is not None:
        lines.append(Text(f"→ try again in {error.retry_after:g} s", style="yellow"))
    return Group(*lines)


def _answer(future: Future[Any]) -> Any:
    try:
        return future.get(timeout=SHOWN_WITHIN)
    except Timeout:
        remedy = "it may come yet: look at the same future again, such as `_`"
        return Failure(Transient("timeout", f"no answer in {SHOWN_WITHIN:g} s", remedy=remedy))
    except Exception as bug:  # noqa: BLE001  the agent crashed over the request
        return Failure(Transient("crashed", f"the agent crashed: {type(bug).__name__}: {bug}", remedy="see the log"))


def _data(data: Any, width: int) -> RenderableType:
    match data:
        case None:
            return Text("done", style="green")
        case PlatformStatus():
            return overview(data, width)
        case Rows(columns, rows):
            return _table(columns, rows, width)
        case [first, *_] if attrs.has(type(first)):
            return _records(data, width)
        case _ if attrs.has(type(data)):
            return _fields(data)
        case []:
            return Text("none", style="dim")
        case [*items]:
            return Text(
                plain(", ".join(map(str, items[:500]))) + (f" … {amount(len(items), 'item')}" if items[500:] else "")
            )
        case _:
            return Text(plain(str(data)))


def _fields(record: Any) -> Table:
    """Return a line a field, for one record."""
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=False)
    for attribute in attrs.fields(type(record)):
        value = getattr(record, attribute.name)
        text = ", ".join(map(cell, value)) if isinstance(value, (list, tuple)) else cell(value)
        table.add_row(Text(attribute.name, style="bold"), Text(text or "-"))
    return table


def _records(records: Sequence[Any], width: int) -> RenderableType:
    """Return a line a record; fields that none of them has are left out."""
    names = [attribute.name for attribute in attrs.fields(type(records[0]))]
    used = [name for name in names if any(getattr(record, name) is not None for record in records)]
    return _table(used, [[getattr(record, name) for name in used] for record in records], width)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> RenderableType:
    """Return a table as wide as there is room for; what is not shown is named below."""
    cells = [[cell(value) for value in row] for row in rows[:MOST_LINES]]
    widths = [
        min(LONGEST_CELL, max(len(name), *(len(row[place]) for row in cells), 0)) for place, name in enumerate(columns)
    ]
    fitting = _fitting(widths, width)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for place, name in enumerate(columns[:fitting]):
        numeric = any(isinstance(row[place], (int, float)) for row in rows[:MOST_LINES])
        rest = width - sum(used + GAP for used in widths[:place])
        room = rest if place == fitting - 1 else widths[place]
        table.add_column(
            name, justify="right" if numeric else "left", no_wrap=True, overflow="ellipsis", max_width=room
        )
    for row in cells:
        table.add_row(*map(Text, row[:fitting]))
    notes = [] if rows else ["no rows"]
    if len(rows) > MOST_LINES:
        notes.append(f"… {amount(len(rows) - MOST_LINES, 'more line')}")
    if columns[fitting:]:
        notes.append(f"no room for {', '.join(columns[fitting:])}")
    return Group(table, Text("; ".join(notes), style="dim")) if notes else table


def _fitting(widths: Sequence[int], room: int) -> int:
    """Return how many columns fit, at least one."""
    used = 0
    for place, width in enumerate(widths):
        used += width + (GAP if place else 0)
        if used > room and place:
            return place
    return len(widths)
