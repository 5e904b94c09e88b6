"""What it means that a server has refused a request: the same whoever met it, over HTTP or told by a tool.

One rule tells whether a refusal says something of the server and our access to it, or only of the question. Of the
question is what another one would not have met: that its coin is unknown, that its answer needs a paid plan, that the
server failed over it (500). Of the server is what turns everybody away: a key that is not valid, too many requests, a
gateway without the server behind it (502, 503, 504, and Cloudflare's 520 to 530), a page that keeps programs away.
Requests that got no answer at all are always of the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType

from attrs import frozen

from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["Meaning", "is_blocking_page", "of_status"]

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
