"""Where in a TOML file a key stands, so that an error can name its line."""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["Path", "line_of"]

Path = tuple[str | int, ...]
HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
KEY = re.compile(r"""\s*([A-Za-z0-9_-]+|"[^"]*"|'[^']*')\s*(?:\.\s*([A-Za-z0-9_-]+)\s*)?=""")
STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')


def line_of(text: str, path: Path) -> int:
    r"""Return the 1-based line of the longest known part of `path`, 1 when nothing of it is found.

    >>> line_of("[a]\n[a.b]\nx = 1\n", ("a", "b", "x"))
    3
    """
    places = _places(text)
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return 1


def _places(text: str) -> dict[Path, int]:
    places: dict[Path, int] = {}
    table: Path = ()
    arrays: Counter[str] = Counter()
    value: Path | None = None  # the key whose value goes on over several lines
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        if depth == 0:
            value = None
            if header := HEADER.match(line):
                table = _table(header[1], header[2], arrays)
                _note(places, table, number)
                continue
            if key := KEY.match(line):
                value = (*table, *[part.strip("\"'") for part in key.groups() if part])
                _note(places, value, number)
        bare = STRING.sub("", line).split("#", 1)[0]
        if value is not None:
            _note_items(places, value, line, number)
        depth += sum(bare.count(opened) - bare.count(closed) for opened, closed in ("[]", "{}"))
    return places


def _table(bracket: str, name: str, arrays: Counter[str]) -> Path:
    path: Path = tuple(part.strip().strip("\"'") for part in name.split("."))
    if bracket == "[[":
        arrays[name] += 1
        return (*path, arrays[name] - 1)
    return path


def _note_items(places: dict[Path, int], value: Path, line: str, number: int) -> None:
    """Note the inline tables of an array that begin in this line, and the keys in them."""
    for piece in re.split(r"(?=\{)", line):
        seen = sum(1 for path in places if len(path) == len(value) + 1 and path[:-1] == value)
        index = seen - 1
        if piece.startswith("{"):
            index = seen
            _note(places, (*value, index), number)
        for key in re.finditer(r"([A-Za-z0-9_-]+)\s*=", piece):
            if index >= 0:
                _note(places, (*value, index, key[1]), number)


def _note(places: dict[Path, int], path: Path, number: int) -> None:
    for length in range(1, len(path) + 1):
        places.setdefault(path[:length], number)
