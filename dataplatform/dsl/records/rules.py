"""What a field of market data may hold: one function per rule, used by the attrs types.

The converters make exact floats and times of what is one; whatever else they are given they leave to the rule, which
knows the field's name. The rules of numbers are intervals: a column keeps one when its least and greatest value do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from attrs import Attribute

__all__ = [
    "EARLIEST",
    "LONGEST_IDENTIFIER",
    "change",
    "content",
    "count",
    "flag",
    "identifier",
    "latest_market_time",
    "market_time",
    "money",
    "number",
    "optional",
    "optional_number",
    "printable",
    "prose",
    "shown",
    "text",
    "texts",
    "utc",
    "whole",
]

LONGEST_IDENTIFIER = 128  # four of them, 4 bytes a character, must fit PostgreSQL's longest index entry of 2704 bytes
LONGEST_TEXT = 300
LONGEST_PROSE = 5_000
MOST_COUNT = 2**63 - 1
EARLIEST = datetime(2008, 1, 1, tzinfo=UTC)  # no coin was traded before
AHEAD = timedelta(days=1)  # of our clock: what a source's may be wrong by
Validator = Callable[[Any, "Attribute[Any]", Any], None]


# Converters


def utc(value: datetime) -> datetime:
    """Convert an aware time to UTC; refuse a naive one, which could mean any time of that day.

    Raises `TypeError` for what is no time, `ValueError` for a naive one and for one that UTC puts beyond year 9999.

    >>> utc(datetime(2026, 1, 1, 12, tzinfo=UTC)).isoformat()
    '2026-01-01T12:00:00+00:00'
    """
    if value.__class__ is datetime and value.tzinfo is UTC:
        return value
    if not isinstance(value, datetime):
        raise TypeError(f"expected a time, got {shown(value)}")
    if value.utcoffset() is None:
        raise ValueError(f"expected a time with a time zone, got the naive {value.isoformat()}")
    exact = datetime.combine(value.date(), value.timetz())  # the codec takes no subclass
    try:
        return exact.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"expected a time in the years 1 to 9999 of UTC, got {value.isoformat()}") from error


def number(value: float) -> float:
    """Make a float of a whole number, and of a subclass of float such as NumPy's.

    >>> number(5)
    5.0
    """
    if value.__class__ is float or isinstance(value, bool) or not isinstance(value, (float, int)):
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def optional_number(value: float | None) -> float | None:
    """Make a float as `number` does; unknown stays None."""
    return None if value is None else number(value)


def texts(values: Iterable[str]) -> tuple[str, ...]:
    """Make a tuple of several texts; refuse a single one, whose letters nobody means."""
    if isinstance(values, str):
        raise TypeError(f"expected a list of texts, got {shown(values)}")
    return tuple(values)


# What others send


def latest_market_time(now: datetime) -> datetime:
    """Return the latest time that market data can be of: a day after `now`, as clocks differ."""
    return now + AHEAD


def market_time(name: str, value: datetime | float, now: datetime) -> datetime:
    """Return a time of market data in UTC, given as a time or in seconds since 1970; `name` is the field's.

    Raises `ValueError` for one that it cannot be of: before 2008, or more than a day after `now`.

    >>> market_time("updated_at", 1_767_268_800, datetime(2026, 1, 2, tzinfo=UTC)).isoformat()
    '2026-01-01T12:00:00+00:00'
    """
    try:
        moment = utc(value) if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{name}: expected a time, got {shown(value)}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not EARLIEST <= moment <= latest_market_time(now):
        raise ValueError(f"{name}: expected a time from 2008 to a day from now, got {moment.isoformat()}")
    return moment


def whole(name: str, value: float) -> int:
    """Return a whole number that may be written as 1476.0; refuse any other, by the name of its field.

    >>> whole("markets", 1476.0)
    1476
    """
    if not value.is_integer():
        raise ValueError(f"{name}: expected a whole number, got {shown(value)}")
    return int(value)


def printable(value: str | None, longest: int = LONGEST_TEXT) -> str | None:
    r"""Return a name or symbol as it can be shown and stored; None where nothing of it can.

    Control, format and joining characters become spaces, and what is too long is cut.

    >>> printable("Tab\tCoin "), printable("\u200b")
    ('Tab Coin', None)
    """
    text = "".join(character if character.isprintable() else " " for character in value or "").strip()
    return text[:longest].rstrip() or None


# Rules


def money(_: Any, attribute: Attribute[Any], value: float) -> None:
    """Accept a finite number that is not negative: a price, a volume, a market cap."""
    _is_number(attribute, value)
    if not 0 <= value < inf:
        raise ValueError(f"{attribute.name}: expected a finite number of at least 0, got {shown(value)}")


def change(_: Any, attribute: Attribute[Any], value: float) -> None:
    """Accept a finite number of either sign: a change in percent."""
    _is_number(attribute, value)
    if not -inf < value < inf:
        raise ValueError(f"{attribute.name}: expected a finite number, got {shown(value)}")


def count(_: Any, attribute: Attribute[Any], value: int) -> None:
    """Accept a whole number that is not negative and fits 64 bits."""
    if value.__class__ is not int:
        raise TypeError(f"{attribute.name}: expected a whole number, got {shown(value)}")
    if not 0 <= value <= MOST_COUNT:
        raise ValueError(f"{attribute.name}: expected a whole number from 0 to 2**63 - 1, got {shown(value)}")


def flag(_: Any, attribute: Attribute[Any], value: bool) -> None:  # noqa: FBT001  a rule's signature
    """Accept true and false."""
    if value.__class__ is not bool:
        raise TypeError(f"{attribute.name}: expected true or false, got {shown(value)}")


def identifier(_: Any, attribute: Attribute[Any], value: str) -> None:
    """Accept printable text of 1 to 128 characters."""
    _is_text(attribute, value, LONGEST_IDENTIFIER)
    if not value:
        raise ValueError(f"{attribute.name}: must not be empty")


def text(_: Any, attribute: Attribute[Any], value: str) -> None:
    """Accept printable text of at most 300 characters; it may be empty."""
    _is_text(attribute, value, LONGEST_TEXT)


def prose(_: Any, attribute: Attribute[Any], value: str) -> None:
    """Accept printable text of at most 5,000 characters: what went wrong, told to people."""
    _is_text(attribute, value, LONGEST_PROSE)


def content(_: Any, attribute: Attribute[Any], value: bytes) -> None:
    """Accept bytes."""
    if value.__class__ is not bytes:
        raise TypeError(f"{attribute.name}: expected bytes, got {shown(value)}")


def optional(rule: Validator) -> Validator:
    """Accept `None` besides what the rule accepts: unknown is None, never 0."""

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        if value is not None:
            rule(instance, attribute, value)

    return check


def _is_number(attribute: Attribute[Any], value: float) -> None:
    if value.__class__ is float:
        return
    if value.__class__ is int:  # `number` could make no float of it
        raise ValueError(f"{attribute.name}: expected a number that a float can hold, got {shown(value)}")
    raise TypeError(f"{attribute.name}: expected a number, got {shown(value)}")


def _is_text(attribute: Attribute[Any], value: str, longest: int) -> None:
    if value.__class__ is not str:
        raise TypeError(f"{attribute.name}: expected text, got {shown(value)}")
    if len(value) > longest:
        raise ValueError(f"{attribute.name}: expected at most {longest} characters, got {len(value)}")
    if not value.isprintable():
        raise ValueError(f"{attribute.name}: expected printable text, got {shown(value)}")


def shown(value: object) -> str:
    """Show a value in an error, shortened; what cannot be shown, such as a number of 5,000 digits, by its type.

    >>> shown("bitcoin")
    "'bitcoin'"
    """
    try:
        return f"{value!r:.80}"
    except Exception:  # noqa: BLE001  whatever the value's own code raises
        return f"a {type(value).__name__}"
