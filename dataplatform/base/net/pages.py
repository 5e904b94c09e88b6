"""Pages where data was asked for: what stands between us and a server, or before it, has answered in its place."""

from __future__ import annotations

import re
from html import unescape

from dataplatform.errors import Transient

__all__ = ["IN_BETWEEN", "is_page", "not_json", "title_of"]

TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
LONGEST = 100  # characters of a title, or of what is no JSON, that are shown
IN_BETWEEN = "check whether a proxy, a filter or a login of the network answers in its place"


def is_page(body: bytes, kind: str = "") -> bool:
    r"""Tell whether a body is HTML, or XML, by its content type or by how it begins.

    >>> is_page(b"\n<!DOCTYPE html>"), is_page(b"Sign in", "text/html; charset=utf-8"), is_page(b'{"a": "<"}')
    (True, True, False)
    """
    return "html" in kind.lower() or body[:1_000].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def title_of(text: str) -> str | None:
    r"""Return what a page is called, on one line; None where it has no title.

    >>> title_of("<html><title>Just a\nmoment...</title>")
    'Just a moment...'
    """
    found = TITLE.search(text)
    return " ".join(unescape(found[1]).split()) or None if found else None


def not_json(where: str, body: bytes, error: Exception) -> Transient:
    """Return the error for a body that a decoder has refused: a page is told as one, by its title.

    >>> str(not_json("https://api.example/coins", b"<html><title>Sign in</title>", ValueError("malformed")))[:78]
    "not_json: the answer of https://api.example/coins is no JSON but a page, 'Sign"
    """
    if is_page(body):
        title = title_of(body.decode(errors="replace"))
        named = f", {title[:LONGEST]!r}" if title else ""
        return Transient("not_json", f"the answer of {where} is no JSON but a page{named}", remedy=IN_BETWEEN)
    begin = f"it begins with {body[:LONGEST]!r}" if body.strip() else "it is empty"
    return Transient("not_json", f"the answer of {where} is no JSON ({error}): {begin}")
