"""Values in a notebook: the HTML tables that stand behind `_repr_html_`, and the text of one cell of any table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

import attrs

from dataplatform.errors import PlatformError, Transient

__all__ = ["MOST_LINES", "cell", "data_html", "error_html", "notes_html", "plain", "table_html"]

MOST_LINES = 50  # of a table; more are counted below it
MOST_ITEMS = 500


def data_html(data: Any) -> str:
    """Return what an answer holds: records as a table, one record as a line a field, anything else as text.

    >>> data_html(["bitcoin", "<coin>"])
    '<p>bitcoin, &lt;coin&gt;</p>'
    """
    match data:
        case _ if (own := getattr(data, "_repr_html_", None)) is not None:
            return str(own())
        case None:
            return _paragraph("done")
        case [first, *_] if attrs.has(type(first)):
            names = [name for name in _names(first) if any(getattr(record, name, None) is not None for record in data)]
            return table_html(names, [[getattr(record, name, None) for name in names] for record in data])
        case Mapping():
            return table_html((), list(data.items()))
        case _ if attrs.has(type(data)):
            return table_html((), [(name, getattr(data, name)) for name in _names(data)])
        case []:
            return _paragraph("none")
        case [*items]:
            more = f" … {len(items) - MOST_ITEMS:,} more" if len(items) > MOST_ITEMS else ""
            return _paragraph(", ".join(map(str, items[:MOST_ITEMS])) + more)
        case _:
            return _paragraph(str(data))


def table_html(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table of at most `MOST_LINES` rows; those that are left out are counted below.

    >>> table_html(["coin_id", "usd_price"], [("bitcoin", 77_000.0)])
    '<table><thead><tr><th>coin_id</th><th>usd_price</th></tr></thead><tbody><tr><td>bitcoin</td><td>77,000</td></tr></tbody></table>'
    """
    head = f"<thead>{_line('th', columns)}</thead>" if columns else ""
    body = "".join(_line("td", [_value(value) for value in row]) for row in rows[:MOST_LINES])
    table = f"<table>{head}<tbody>{body}</tbody></table>"
    if not rows:
        return table + _paragraph("no rows")
    return table + (_paragraph(f"… {len(rows) - MOST_LINES:,} more rows") if len(rows) > MOST_LINES else "")


def error_html(error: PlatformError) -> str:
    """Return what went wrong and, below, what to do about it.

    >>> error_html(Transient("timeout", "no answer", retry_after=2.0))
    '<p><b>timeout</b>: no answer</p><p>→ try again in 2 s</p>'
    """
    lines = [f"<p><b>{escape(plain(error.code))}</b>: {escape(plain(error.message))}</p>"]
    if error.remedy:
        lines.append(_paragraph(f"→ {error.remedy}"))
    if isinstance(error, Transient) and error.retry_after is not None:
        lines.append(_paragraph(f"→ try again in {error.retry_after:g} s"))
    return "".join(lines)


def notes_html(notes: Sequence[str]) -> str:
    """Return the notes on an answer, a paragraph each."""
    return "".join(_paragraph(f"note: {note}") for note in notes)


def cell(value: Any) -> str:
    """Return a value as the text of one cell; nothing for None."""
    match value:
        case None:
            return ""
        case bool() | int():
            return str(value)
        case float():
            return _number(value)
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case bytes() | memoryview():
            return bytes(value).hex()
        case _:
            return plain(str(value))


def plain(text: str) -> str:
    r"""Return a text in one line, without what could command a terminal.

    >>> plain("two\nlines \x1b[2J")
    'two lines ·[2J'
    """
    return "".join(character if character.isprintable() else "·" for character in " ".join(text.split()))


def _number(value: float) -> str:
    """Return a number as long as it tells something.

    >>> _number(75792.0), _number(0.0000123), _number(1515840636986.0), _number(1.06627)
    ('75,792', '1.23e-05', '1,515,840,636,986', '1.06627')
    """
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.6g}"  # noqa: PLR2004


def _names(record: Any) -> list[str]:
    return [attribute.name for attribute in attrs.fields(type(record))]


def _value(value: Any) -> str:
    return ", ".join(map(cell, value)) if isinstance(value, (list, tuple)) else cell(value)


def _line(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(plain(text))}</{tag}>' for text in cells)}</tr>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(plain(text))}</p>"
