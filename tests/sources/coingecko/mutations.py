"""Every small change of JSON: each field null, missing, negative, of another type, extra; rows doubled, reordered."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from attrs import frozen

__all__ = ["Mutation", "Path", "mutations"]

Path: TypeAlias = tuple[str | int, ...]
BEYOND_FLOAT = "\N{LARGE CIRCLE}"  # stands for 1e400, which Python's JSON cannot write
OTHERS: dict[str, Any] = {
    "null": None,
    "a text": "text",
    "a number": 7,
    "true": True,
    "a list": [],
    "an object": {},
    "too large": BEYOND_FLOAT,
}


@frozen
class Mutation:
    """A document with one change at a path: as it is sent, and as Python's JSON reads it."""

    path: Path
    what: str
    body: bytes
    document: Any

    def __str__(self) -> str:
        return f"{'/'.join(map(str, self.path)) or 'all'}: {self.what}"


def mutations(document: Any) -> Iterator[Mutation]:
    """Return the document with each of the changes, one at a time."""
    for path, value in _parts(document, ()):
        for what, other in OTHERS.items():
            if type(other) is not type(value) or what == "too large":
                yield _changed(document, path, what, lambda holder, key, other=other: holder.__setitem__(key, other))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield _changed(
                document, path, "negative", lambda holder, key: holder.__setitem__(key, -abs(holder[key]) - 1)
            )
        if path:
            yield _changed(document, path, "missing", lambda holder, key: holder.__delitem__(key))
        if path and isinstance(path[-1], int):
            yield _changed(
                document, path, "doubled", lambda holder, key: holder.insert(key, copy.deepcopy(holder[key]))
            )
        if isinstance(value, list):
            yield _changed(document, path, "reordered", lambda holder, key: holder[key].reverse())
            yield _changed(document, path, "a column more", lambda holder, key: holder[key].append("extra"))
        if isinstance(value, dict):
            extra = {"extra": {"usd": [1]}}
            yield _changed(document, path, "a field more", lambda holder, key, more=extra: holder[key].update(more))


def _parts(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    yield path, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from _parts(inner, (*path, key))


def _changed(document: Any, path: Path, what: str, change: Any) -> Mutation:
    whole = {"": copy.deepcopy(document)}
    *above, key = ("", *path)
    holder: Any = whole
    for step in above:
        holder = holder[step]
    change(holder, key)
    body = json.dumps(whole[""]).replace(json.dumps(BEYOND_FLOAT), "1e400")
    return Mutation(path, what, body.encode(), json.loads(body))
