"""What a field of market data may hold: one function per rule, used by the attrs types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import Any

from attrs import Attribute

__all__ = ["change", "identifier", "money", "optional", "text", "utc"]

LONGEST_TEXT = 300
Validator = Callable[[Any, "Attribute[Any]", Any], None]


def utc(value: datetime) -> datetime:
    """Convert an aware time to UTC; refuse a naive one, which could mean any time of that day.

    >>> utc(datetime(2026, 1, 1, 12, tzinfo=UTC)).isoformat()
    '2026-01-01T12:00:00+00:00'
    """
    if not isinstance(value, datetime):
        raise TypeError(f"expected a datetime, got {value!r:.80}")
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError(f"expected a time with a time zone, got the naive {value.isoformat()}")
    return value.astimezone(UTC)


def optional_utc(value: datetime | None) -> datetime | None:
    return None if value is None else utc(value)


def money(_: Any, attribute: Attribute[Any], value: float) -> None:
    """Accept a finite number that is not negative: a price, a volume, a market cap."""
    if not isinstance(value, (float, int)) or isinstance(value, bool):
        raise TypeError(f"{attribute.name}: expected a number, got {value!r:.80}")
    if not 0 <= value < inf:
        raise ValueError(f"{attribute.name}: expected a finite number of at least 0, got {value!r:.80}")


def change(_: Any, attribute: Attribute[Any], value: float) -> None:
    """Accept a finite number of either sign: a change in percent."""
    if not isinstance(value, (float, int)) or isinstance(value, bool):
        raise TypeError(f"{attribute.name}: expected a number, got {value!r:.80}")
    if not -inf < value < inf:
        raise ValueError(f"{attribute.name}: expected a finite number, got {value!r:.80}")


def count(_: Any, attribute: Attribute[Any], value: int) -> None:
    """Accept a whole number that is not negative and fits 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{attribute.name}: expected a whole number, got {value!r:.80}")
    if not 0 <= value < 2**63:
        raise ValueError(f"{attribute.name}: expected a whole number of at least 0, got {value!r:.80}")


def text(_: Any, attribute: Attribute[Any], value: str) -> None:
    """Accept printable text of at most 300 characters; it may be empty."""
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name}: expected text, got {value!r:.80}")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"{attribute.name}: expected at most {LONGEST_TEXT} characters, got {len(value)}")
    if not value.isprintable():
        raise ValueError(f"{attribute.name}: expected printable text, got {value!r:.80}")


def identifier(instance: Any, attribute: Attribute[Any], value: str) -> None:
    """Accept printable text that is not empty."""
    text(instance, attribute, value)
    if not value:
        raise ValueError(f"{attribute.name}: must not be empty")


def optional(rule: Validator) -> Validator:
    """Accept `None` besides what the rule accepts: unknown is None, never 0."""

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        if value is not None:
            rule(instance, attribute, value)

    return check
