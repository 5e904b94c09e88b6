"""What a validator refused, in words: attrs's own messages name classes and repeat values that may be secret."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

__all__ = ["refusal"]

COMPARED = re.compile(r"'\w+' must be (>=|>|<=|<) (\S+): ", re.ASCII)
LENGTH = re.compile(r"Length of '\w+' must be (>=|<=) (\d+): ", re.ASCII)
IN_WORDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
PARTS = 4  # of attrs's errors: message, attribute, what was allowed, value


def refusal(error: ValueError | TypeError, key: str, got: str) -> str:
    """Return the message for a key; `got` shows the value, and is added where the validator's own text does not.

    >>> from attrs import field, frozen, validators
    >>> @frozen
    ... class Options:
    ...     pool: int = field(validator=validators.ge(1))
    >>> try:
    ...     Options(0)
    ... except ValueError as error:
    ...     print(refusal(error, "pool", ", got 0"))
    pool: must be at least 1, got 0
    """
    said = str(error.args[0]) if error.args else str(error)
    if words := _in_words(error, said, got):
        return f"{key}: {words}"
    return said if not key or said.startswith(key) else f"{key}: {said}"


def _in_words(error: ValueError | TypeError, said: str, got: str) -> str:
    """Translate a message of attrs's own validators; nothing for another."""
    if match := COMPARED.match(said):
        return f"must be {IN_WORDS[match[1]]} {_number(match[2])}{got}"
    if match := LENGTH.match(said):
        return f"must have {IN_WORDS[match[1]]} {match[2]} item{'' if match[2] == '1' else 's'}{got}"
    if len(error.args) != PARTS:
        return ""
    allowed, value = error.args[2:]
    if isinstance(allowed, re.Pattern):
        return f"must be like {allowed.pattern}{got}"
    if isinstance(allowed, range):
        return f"must be from {allowed.start} to {allowed.stop - 1}{got}"
    if isinstance(allowed, Iterable) and not isinstance(allowed, (str, type)):
        return f"must be one of {', '.join(map(str, allowed))}{got}{_meant(value, allowed)}"
    return ""


def _number(text: str) -> str:
    return text.removesuffix(".0")


def _meant(value: Any, allowed: Iterable[Any]) -> str:
    known = [one for one in allowed if isinstance(one, str)]
    close = get_close_matches(value, known, n=1, cutoff=0.5) if isinstance(value, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""
