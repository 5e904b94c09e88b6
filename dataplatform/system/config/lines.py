"""Where in a TOML file a key stands, so that an error can name its line."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator

from attrs import define, field, frozen

__all__ = ["Path", "line_of"]

Path = tuple[str | int, ...]

TOKEN = re.compile(
    r'(?P<quoted>"""(?:\\.|[^\\])*?"""(?!")|\'\'\'.*?\'\'\'(?!\')|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<skip>[ \t\r]+|#[^\n]*)|(?P<mark>[\n\[\]{}=,.])|(?P<bare>[^\s\[\]{}=,.#\"']+)",
    re.DOTALL,
)


def line_of(text: str, path: Path) -> int:
    r"""Return the 1-based line of the longest known part of `path` in valid TOML, 1 when nothing of it is there.

    Tables in an array are counted from 0. Where a table has a header, that is its line.

    >>> line_of("[a]\n[a.b]\nx = 1\n\n[[c]]\ny = 2\n", ("a", "b", "x")), line_of("[[c]]\ny = 2\n", ("c", 0, "z"))
    (3, 1)
    """
    lines = _Reader(list(_tokens(text))).lines()
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


@frozen
class _Token:
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in TOKEN.finditer(text):
        if match.lastgroup != "skip":
            yield _Token(match[0], line)
        line += match[0].count("\n")
    yield _Token("\n", line)


@define
class _Reader:
    """Walks through the tokens of a document that the TOML parser has accepted, so that nothing needs checking."""

    tokens: list[_Token]
    _at: int = 0
    _lines: dict[Path, int] = field(factory=dict)
    _arrays: Counter[Path] = field(factory=Counter)

    def lines(self) -> dict[Path, int]:
        """Return the line of every key, table and item of an array."""
        table: Path = ()
        while self._at < len(self.tokens):
            if self._takes("\n"):
                continue
            if self._next.text == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    @property
    def _next(self) -> _Token:
        return self.tokens[self._at]

    def _takes(self, mark: str) -> bool:
        """Step over the mark if it comes next."""
        if self._next.text != mark:
            return False
        self._at += 1
        return True

    def _header(self) -> Path:
        line = self._next.line
        self._at += 1
        is_array = self._takes("[")
        *parents, last = self._key()
        self._at += 2 if is_array else 1
        path = (*self._resolved(tuple(parents)), last)
        if is_array:
            self._note(path, line)
            self._arrays[path] += 1
            path = (*path, self._arrays[path] - 1)
        else:
            path = self._resolved((*parents, last))
        self._note(path, line)
        self._lines[path] = line  # a header tells more than a mention of the table in an earlier one
        return path

    def _resolved(self, parts: tuple[str, ...]) -> Path:
        """Return the path of a name in headers, where an array of tables stands for its latest table."""
        path: Path = ()
        for part in parts:
            path = (*path, part)
            if self._arrays[path]:
                path = (*path, self._arrays[path] - 1)
        return path

    def _pair(self, table: Path) -> None:
        line = self._next.line
        path = (*table, *self._key())
        self._note(path, line)
        self._at += 1  # the equals sign
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        parts = []
        while True:
            parts.append(_name(self._next))
            self._at += 1
            if not self._takes("."):
                return tuple(parts)

    def _value(self, path: Path) -> None:
        if self._takes("["):
            self._items(path)
        elif self._takes("{"):
            while not self._takes("}"):
                if not (self._takes(",") or self._takes("\n")):
                    self._pair(path)
        else:
            while self._next.text not in {"\n", ",", "]", "}"}:
                self._at += 1

    def _items(self, path: Path) -> None:
        number = 0
        while not self._takes("]"):
            if not (self._takes(",") or self._takes("\n")):
                self._note((*path, number), self._next.line)
                self._value((*path, number))
                number += 1

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)


def _name(key: _Token) -> str:
    """Return a key without its quotes and escapes."""
    (name,) = tomllib.loads(f"{key.text} = 0")
    return name
