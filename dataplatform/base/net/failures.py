"""What a refusal means, the same for every client: the error, the pause asked for, a page in place of data.

What it means that a server has refused a request: the same whoever met it, over HTTP or told by a tool.

One rule tells whether a refusal says something of the server and our access to it, or only of the question. Of the
question is what another one would not have met: that its coin is unknown, that its answer needs a paid plan, that the
server failed over it (500). Of the server is what turns everybody away: a key that is not valid, too many requests, a
gateway without the server behind it (502, 503, 504, and Cloudflare's 520 to 530), a page that keeps programs away.
Requests that got no answer at all are always of the server.

The pauses that servers ask for: as a header, in its two forms, or in the words of a tool. Pages where data was asked
for: what stands between us and a server, or before it, has answered in its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from http import HTTPStatus
from types import MappingProxyType

from attrs import frozen

from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = [
    "IN_BETWEEN",
    "LONGEST_PAUSE",
    "Meaning",
    "bounded",
    "is_blocking_page",
    "is_page",
    "not_json",
    "of_status",
    "retry_after",
    "title_of",
    "told_pause",
]

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
GATEWAY = {502, 503, 504, *range(520, 531)}
ERROR_CODE = re.compile(r'\\?"error_code\\?"\s*:\s*\\?"?(\d{1,9})\b')  # in JSON of any shape, quoted once more by tools
BEGINNING = 4_000  # characters of a text within which it says what it is


@frozen
class Meaning:
    """What an API means by one of its own error codes, whatever HTTP status it comes with."""

    error_code: int
    code: str
    remedy: str
    of_question: bool = True


def of_status(
    status: int,
    what: str,
    said: str = "",
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    meanings: Sequence[Meaning] = (),
    retry_after: float | None = None,
    key: str = "check the API key",
    rate: str = "ask less often, or use an API key with a higher limit",
) -> PlatformError:
    """Turn an HTTP status that is no success into an error.

    `what` tells who answered it to what; `said` is the answer's text, and `headers` (names in lower case) are its
    headers. `meanings` are those of the API's own codes; `key` and `rate` tell what to do about a key that is refused
    and about asking too often.

    >>> of_status(404, "https://api.example/coins/tulip answered 404").code
    'not_found'
    """
    if meaning := _meant(said, meanings):
        return Permanent(meaning.code, what, remedy=meaning.remedy, of_question=meaning.of_question)
    match status:
        case 403 | 429 | 503 if is_blocking_page(said, headers):
            remedy = "wait; if it lasts, ask less often, with an API key or from another address"
            return Transient("blocked", what, remedy=remedy, retry_after=retry_after)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Transient("rate_limited", what, remedy=rate, retry_after=retry_after)
        case HTTPStatus.REQUEST_TIMEOUT:
            return Transient("timeout", what, retry_after=retry_after)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Transient("server_error", what, retry_after=retry_after, of_question=status not in GATEWAY)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Permanent("unauthorized", what, remedy=key, of_question=False)
        case HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            remedy = "put the user and password into the proxy's URL"
            return Permanent("bad_proxy", what, remedy=remedy, of_question=False)
        case HTTPStatus.NOT_FOUND:
            return Permanent("not_found", what)
        case _:
            return Permanent("bad_request", what)


def is_blocking_page(said: str, headers: Mapping[str, str] = NO_HEADERS) -> bool:
    """Tell whether an answer is, or quotes, a page by which Cloudflare keeps programs away.

    >>> is_blocking_page("<html><title>Attention Required! | Cloudflare</title>"), is_blocking_page('{"error": "<"}')
    (True, False)
    """
    is_page = "html" in headers.get("content-type", "") or "<" in said[:100]
    server = headers.get("server", "").lower()
    return is_page and (server == "cloudflare" or "cf-ray" in headers or "cloudflare" in said.lower())


def _meant(said: str, meanings: Sequence[Meaning]) -> Meaning | None:
    found = ERROR_CODE.search(said[:BEGINNING])
    number = int(found[1]) if found else None
    return next((meaning for meaning in meanings if meaning.error_code == number), None)


LONGEST_PAUSE = 3600.0  # seconds; a server that asks for more is asked again after an hour all the same
WORDS_WITHIN = 1_000  # characters of a text within which it says when to come back

SECONDS = re.compile(r"\d+(\.\d*)?", re.ASCII)
WORDS = re.compile(
    r"\b(?:retry[-_ ]?after|(?:retry|try again) in)\b[^\d\n]{0,5}(\d{1,9}+(?:\.\d++)?)\s*"
    r"(?:(?P<ms>ms|millis\w*)|(?P<min>m|min\w*)|(?P<h>h|hours?)|s\w*)?\b",
    re.IGNORECASE | re.ASCII,
)
UNITS = {"ms": 0.001, "min": 60.0, "h": 3600.0, None: 1.0}


def retry_after(value: str, now: datetime) -> float | None:
    """Read a `Retry-After` header (RFC 9110, section 10.2.3) as seconds from `now`, at most an hour.

    Fractions of a second are no standard, and sent all the same.

    >>> retry_after("119", datetime(2026, 1, 1, tzinfo=UTC)), retry_after("1.5", datetime(2026, 1, 1, tzinfo=UTC))
    (119.0, 1.5)
    >>> retry_after("Thu, 01 Jan 2026 00:00:30 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    """
    value = value.strip()
    if SECONDS.fullmatch(value):
        return bounded(float(value))
    try:
        due = parsedate_to_datetime(value)
        seconds = ((due if due.tzinfo else due.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return bounded(float(math.ceil(seconds)))


def told_pause(text: str) -> float | None:
    """Read from the words of a tool when to come back, in seconds, at most an hour.

    >>> told_pause("429 retry after 30 s"), told_pause("please try again in 1.5s"), told_pause("retry in 2 min")
    (30.0, 1.5, 120.0)
    """
    found = WORDS.search(text[:WORDS_WITHIN])
    return bounded(float(found[1]) * UNITS[found.lastgroup]) if found else None


def bounded(seconds: float) -> float:
    return min(max(0.0, seconds), LONGEST_PAUSE)


TITLE = re.compile(r"<title[^>]{0,200}+>([^<]{0,2000}+)</title", re.IGNORECASE)  # its time grows with the page alone
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
