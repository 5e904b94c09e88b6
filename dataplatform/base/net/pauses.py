"""The pauses that servers ask for: as a header, in its two forms, or in the words of a tool."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["LONGEST_PAUSE", "bounded", "retry_after", "told_pause"]

LONGEST_PAUSE = 3600.0  # seconds; a server that asks for more is asked again after an hour all the same
BEGINNING = 1_000  # characters of a text within which it says when to come back

SECONDS = re.compile(r"\d+(\.\d*)?", re.ASCII)
WORDS = re.compile(
    r"\b(?:retry[-_ ]?after|(?:retry|try again) in)\b[^\d\n]{0,5}(\d{1,9}+(?:\.\d++)?)\s*"
    r"(?:(?P<ms>ms|millis\w*)|(?P<min>m|min\w*)|(?P<h>h|hours?)|s\w*)?\b",
    re.IGNORECASE | re.ASCII,
)
UNITS = {"ms": 0.001, "min": 60.0, "h": 3600.0, None: 1.0}


def retry_after(value: str, now: datetime) -> float | None:
    """Read a `Retry-After` header (RFC 9110, section 10.2.3) as seconds from `now`, at most an hour.

    Fractions of a second are no standard, and sent all the same.

    >>> retry_after("119", datetime(2026, 1, 1, tzinfo=UTC)), retry_after("1.5", datetime(2026, 1, 1, tzinfo=UTC))
    (119.0, 1.5)
    >>> retry_after("Thu, 01 Jan 2026 00:00:30 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    """
    value = value.strip()
    if SECONDS.fullmatch(value):
        return bounded(float(value))
    try:
        due = parsedate_to_datetime(value)
        seconds = ((due if due.tzinfo else due.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return bounded(float(math.ceil(seconds)))


def told_pause(text: str) -> float | None:
    """Read from the words of a tool when to come back, in seconds, at most an hour.

    >>> told_pause("429 retry after 30 s"), told_pause("please try again in 1.5s"), told_pause("retry in 2 min")
    (30.0, 1.5, 120.0)
    """
    found = WORDS.search(text[:BEGINNING])
    return bounded(float(found[1]) * UNITS[found.lastgroup]) if found else None


def bounded(seconds: float) -> float:
    return min(max(0.0, seconds), LONGEST_PAUSE)
