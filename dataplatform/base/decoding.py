"""JSON from outside, decoded: what is wrong in it and where; text that is not valid; optional fields that are not.

What is wrong in JSON, and where: a decoder's words, with the keys of maps that it leaves out.

msgspec names the place of what it refuses (`$.rates[...].value`), but for the key of a map it writes `[...]`. The key
is found by decoding again with parts of the map alone: of the entries before the refused one none is refused.

JSON whose characters are not all valid text: what is not valid becomes U+FFFD, and the rest can be read. Optional
fields that are not valid: read as null, each with what is wrong with it, so that they cost nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import msgspec
from attrs import field, frozen

__all__ = ["REPLACEMENT", "Mended", "decode_leniently", "mended", "misfit", "require_json", "with_null"]

PLACE = re.compile(r"^(?P<what>.*) - at `(?P<path>\$[^`]*)`$", re.DOTALL)
STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
BEYOND_FLOAT = "Number out of range"
LONGEST_KEY = 60
Entries = dict[str, msgspec.Raw]


def misfit(error: msgspec.ValidationError, raw: bytes, decode: Callable[[bytes], object]) -> str:
    """Return what is wrong with `raw`, which `decode` has refused with this error, and where.

    >>> raw, decode = b'{"usd": 1.5, "btc": null}', msgspec.json.Decoder(dict[str, float]).decode
    >>> try:
    ...     decode(raw)
    ... except msgspec.ValidationError as error:
    ...     misfit(error, raw, decode)
    "Expected `float`, got `null` - at `$['btc']`"
    """
    said = str(error)
    placed = PLACE.match(said)
    what, path = placed.groups() if placed else (said, "")
    if "[...]" in path:
        path = _with_keys(path, raw, lambda part: _refusal(decode, part) == said)
    what = "Too large a number" if what == BEYOND_FLOAT else what
    return f"{what} - at `{path}`" if path else what


def require_json(raw: bytes) -> None:
    """Raise `msgspec.DecodeError`, `UnicodeDecodeError` or `RecursionError` for what is no JSON, or breaks off.

    A decoder of a type may take fault before it comes to that: what breaks off can begin like anything.
    """
    raw.decode()
    msgspec.json.decode(raw, type=msgspec.Raw)


def with_null(raw: bytes, path: Sequence[str]) -> bytes:
    """Return a document of objects with null at a path of names.

    >>> with_null(b'{"data": {"usd": "x", "btc": 1}}', ["data", "usd"])
    b'{"data":{"usd":null,"btc":1}}'
    """
    *above, name = path
    part = Part(raw, msgspec.json.encode)
    for one in above:
        part = part.member(one)
    return part.put({**part.entries(), name: None})


@frozen
class Part:
    """A part of a document, and how to make the document with something else in its place."""

    raw: bytes
    put: Callable[[Any], bytes]

    def member(self, name: str) -> Part:
        members = self.entries()
        return Part(bytes(members[name]), lambda part: self.put({**members, name: part}))

    def item(self, index: int) -> Part:
        items = msgspec.json.decode(self.raw, type=list[msgspec.Raw])
        return Part(bytes(items[index]), lambda part: self.put([*items[:index], part, *items[index + 1 :]]))

    def entry(self, key: str) -> Part:
        return Part(bytes(self.entries()[key]), lambda part: self.put({key: part}))

    def entries(self) -> Entries:
        return msgspec.json.decode(self.raw, type=Entries)


def _with_keys(path: str, raw: bytes, refused: Callable[[bytes], bool]) -> str:
    """Return the path with each `[...]` as the key it stands for; what cannot be found out stays as it is."""
    part, found = Part(raw, msgspec.json.encode), "$"
    for step in STEP.finditer(path):
        try:
            if step["name"] is not None:
                part, named = part.member(step["name"]), step[0]
            elif step["index"] is not None:
                part, named = part.item(int(step["index"])), step[0]
            else:
                key = _refused_key(part, refused)
                part, named = part.entry(key), f"[{key!r:.{LONGEST_KEY}}]"
        except (msgspec.MsgspecError, LookupError, UnicodeDecodeError):
            return found + path[step.start() :]
        found += named
    return found


def _refused_key(part: Part, refused: Callable[[bytes], bool]) -> str:
    """Return the first key whose entry is refused; raises `LookupError` where none is: it stands there twice."""
    entries = part.entries()

    def are_refused(keys: Sequence[str]) -> bool:
        return refused(part.put({key: entries[key] for key in keys}))

    keys = list(entries)
    while len(keys) > 1:
        half = keys[: len(keys) // 2]
        keys = half if are_refused(half) else keys[len(half) :]
    if not are_refused(keys):
        raise LookupError
    return keys[0]


def _refusal(decode: Callable[[bytes], object], raw: bytes) -> str:
    try:
        decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return str(error)
    return ""


REPLACEMENT = "\ufffd"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: one character
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\.",  # any other, a backslash among them, which escapes nothing then
    re.DOTALL,
)


@frozen
class Mended:
    """JSON text that is valid as text, and how many characters of it had to be replaced for that."""

    raw: bytes = field(repr=False)
    replaced: int = 0


def mended(raw: bytes) -> Mended:
    r"""Replace the bytes that are not UTF-8, and the escapes of surrogates without their other half.

    A byte order mark at the beginning is left out. What is valid stays as it is.

    >>> mended(rb'["bad\ud800", "\ud83d\ude00"]').raw.decode(), mended(b'["\xff"]').replaced
    ('["bad\ufffd", "\\ud83d\\ude00"]', 1)
    """
    raw = raw.removeprefix(BYTE_ORDER_MARK)
    try:
        text, replaced = raw.decode(), 0
    except UnicodeDecodeError:
        text = raw.decode(errors="replace")
        replaced = text.count(REPLACEMENT) - raw.count(REPLACEMENT.encode())
    if SURROGATE.search(text):
        lone = sum(found["lone"] is not None for found in ESCAPE.finditer(text))
        text = ESCAPE.sub(lambda found: REPLACEMENT if found["lone"] else found[0], text) if lone else text
        replaced += lone
    return Mended(text.encode(), replaced) if replaced else Mended(raw)


T = TypeVar("T")
FIELD_PLACE = re.compile(r" - at `\$\.(?P<path>[^`\[]+)`$")
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
    placed = FIELD_PLACE.search(what)
    return placed["path"] if placed else ""
