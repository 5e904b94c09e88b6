"""The code that clients send, read without ever running it: one call of one method of the SDK, with literals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from attrs import define, field, frozen

__all__ = ["CodeError", "SdkCall", "parse"]

_TOKEN = re.compile(
    r"""\s*(?://[^\n]*\n\s*)*(?:
        (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\$]|\\.)*`)
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_$][\w$]*)
      | (?P<mark>[(){}\[\].,:;?])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}
_WORDS = {"true": True, "false": False, "null": None, "undefined": None}
_TEMPLATE = "async function run(client) {\n  // Fill this out\n}"
_CANONICAL = "async function run(client) { return await client.simple.price.get({ … }); }"
_DEEPEST = 20


class CodeError(ValueError):
    """Code that is not run, and why."""


@frozen
class SdkCall:
    """`client.coins.ohlc.get('bitcoin', { days: '1' })`: the method without `client.`, and its arguments."""

    method: str
    identifier: str | None
    parameters: Mapping[str, Any]


def parse(code: str) -> SdkCall:
    """Return the call that the code makes; a `CodeError` says why it makes none.

    >>> parse("async function run(client) { return await client.coins.ohlc.get('bitcoin', { days: '1' }); }")
    SdkCall(method='coins.ohlc.get', identifier='bitcoin', parameters={'days': '1'})
    """
    if not re.search(r"\brun\b", code):
        message = "The code is missing a top-level `run` function. Write code within this template:"
        raise CodeError(f"{message}\n\n```\n{_TEMPLATE}\n```")
    return _Reader(list(_tokens(code))).program()


def _tokens(code: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(code.rstrip())
    while position < end:
        match = _TOKEN.match(code, position)
        if match is None:
            raise CodeError(f"The simulator cannot read the code from {code[position:].strip()[:40]!r} on.")
        position = match.end()
        kind = match.lastgroup or ""
        yield kind, match[kind]


@define
class _Reader:
    """Reads the tokens from first to last, looking one ahead."""

    tokens: list[tuple[str, str]]
    place: int = field(default=0, init=False)

    def program(self) -> SdkCall:
        for word in ("async", "function", "run", "("):
            self._take(word)
        client = self._name()
        if self._skip(":"):
            self._name()
        for word in (")", "{", "return"):
            self._take(word)
        self._skip("await")
        self._take(client)
        method = ".".join(self._path())
        call = SdkCall(method, *self._arguments())
        self._skip(";")
        self._take("}")
        if self.place < len(self.tokens):
            self._stop()
        return call

    def _path(self) -> Iterator[str]:
        while self._skip("."):
            yield self._name()

    def _arguments(self) -> tuple[str | None, Mapping[str, Any]]:
        values = self._list("(", ")")
        identifier = values.pop(0) if values and isinstance(values[0], str) else None
        parameters = values.pop(0) if values else None
        if values or not isinstance(parameters, dict | None):
            self._stop()
        return identifier, parameters or {}

    def _value(self, depth: int) -> Any:
        kind, word = self._peek()
        if depth > _DEEPEST:
            self._stop()
        if word == "[":
            return self._list("[", "]", depth)
        if word == "{":
            return dict(self._list("{", "}", depth))
        self.place += 1
        if kind == "text":
            return _text(word[1:-1])
        if kind == "number":
            return float(word) if set(word) & set(".eE") else int(word)
        if kind == "name" and word in _WORDS:
            return _WORDS[word]
        return self._stop()

    def _list(self, opening: str, closing: str, depth: int = 0) -> list[Any]:
        """Read what stands between two marks, separated by commas, of which the last may be there for nothing."""
        values: list[Any] = []
        self._take(opening)
        while not self._skip(closing):
            values.append(self._entry(depth + 1) if opening == "{" else self._value(depth + 1))
            if self._peek()[1] != closing:
                self._take(",")
        return values

    def _entry(self, depth: int) -> tuple[str, Any]:
        kind, _ = self._peek()
        name = self._value(depth) if kind == "text" else self._name()
        self._take(":")
        return name, self._value(depth)

    def _name(self) -> str:
        kind, word = self._peek()
        if kind != "name":
            self._stop()
        self.place += 1
        return word

    def _take(self, word: str) -> None:
        if not self._skip(word):
            self._stop()

    def _skip(self, word: str) -> bool:
        found = self._peek() in (("name", word), ("mark", word))
        self.place += found
        return found

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "")

    def _stop(self) -> NoReturn:
        _, word = self._peek()
        place = f"`{word}`" if word else "its end"
        raise CodeError(f"The simulator runs no code, and cannot read this at {place}; it reads `{_CANONICAL}`.")


def _text(raw: str) -> str:
    r"""Resolve the escapes; the two halves of a surrogate pair are one character, and a single half becomes U+FFFD.

    >>> _text(r"\u00e9 \ud83d\ude00")
    'é 😀'
    """
    text = _ESCAPE.sub(_unescaped, raw)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescaped(match: re.Match[str]) -> str:
    escape = match[1]
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    return _ESCAPED.get(escape, escape)
