"""Optional fields that are not valid: read as null, each with what is wrong with it, so that they cost nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec

from dataplatform.base.misfit import misfit, with_null

__all__ = ["decode_leniently"]

T = TypeVar("T")
PLACE = re.compile(r" - at `\$\.(?P<path>[^`\[]+)`$")
MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`(?: - at `\$\.(?P<path>[^`\[]+)`)?$")


def decode_leniently(raw: bytes, decode: Callable[[bytes], T], optional: Collection[str]) -> tuple[T, tuple[str, ...]]:
    """Return what `decode` makes of an object, and what is wrong with each of its optional fields that is not valid.

    `optional` names fields by their paths (`data.change`); such a field may be null in the type. Raises what `decode`
    raises for any other field.

    >>> class Row(msgspec.Struct):
    ...     id: str
    ...     cap: float | None = None
    >>> decode_leniently(b'{"id": "btc", "cap": "much"}', msgspec.json.Decoder(Row).decode, {"cap"})
    (Row(id='btc', cap=None), ('Expected `float | null`, got `str` - at `$.cap`',))
    """
    left, wrong = {*optional}, list[str]()
    while True:
        try:
            return decode(raw), tuple(wrong)
        except msgspec.ValidationError as error:
            what = misfit(error, raw, decode)
            path = _path(what)
            within = [name for name in left if path == name or path.startswith(f"{name}.")]
            field = max(within, key=len, default=None)
            if field is None:
                raise
            left.remove(field)
            wrong.append(what)
            raw = with_null(raw, field.split("."))


def _path(what: str) -> str:
    """Return the path of the field that is wrong or missing, without the `$`."""
    if missing := MISSING.match(what):
        return f"{missing['path']}.{missing['name']}" if missing["path"] else missing["name"]
    placed = PLACE.search(what)
    return placed["path"] if placed else ""
