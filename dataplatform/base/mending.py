"""JSON whose characters are not all valid text: what is not valid becomes U+FFFD, and the rest can be read."""

from __future__ import annotations

import re

from attrs import field, frozen

__all__ = ["REPLACEMENT", "Mended", "mended"]

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
