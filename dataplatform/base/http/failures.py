"""How everything that can go wrong with a request becomes a `PlatformError`: exceptions, and answers that are no 2xx.

The codes of a `Transient` are timeout, unreachable, cut, server_error, rate_limited and blocked; those of a
`Permanent` are unauthorized, not_found, bad_request, redirected and too_large.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

import urllib3.exceptions as low
from attrs import field, frozen
from requests import exceptions as high

from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.http.shown import excerpt, origin, shown_text, shown_url
from dataplatform.errors import Permanent, PlatformError, Transient, of_status

__all__ = ["EXPECTED", "Answer", "of_answer", "of_exception", "retry_after"]

EXPECTED = (high.RequestException, low.HTTPError, low.ProxySchemeUnsupported, OSError)
NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}  # as OpenSSL calls it
LONGEST_PAUSE = 3600.0  # seconds; a server that asks for more is asked again after an hour all the same

Classes: TypeAlias = tuple[type[BaseException], ...]
TIMEOUT: Classes = (high.Timeout, low.TimeoutError)
UNREACHABLE: Classes = (high.ConnectionError, low.NewConnectionError, low.PoolError, low.ProxyError, high.RetryError)
CUT: Classes = (
    high.ChunkedEncodingError,
    high.ContentDecodingError,
    low.ProtocolError,
    low.DecodeError,
    low.IncompleteRead,
    low.InvalidChunkLength,
    low.SSLError,
    ConnectionError,
)


@frozen
class Answer:
    """An answer that is no success: its status, headers (names in lower case), and the beginning of its body."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def of_exception(error: BaseException, settings: HttpSettings) -> PlatformError:
    """Turn an exception of `requests`, or of what it stands on, into an error that shows no secret."""
    *_, root = _causes(error)
    host, reason = origin(settings.base_url), shown_text(_reason(root), settings.secrets)
    if isinstance(error, low.NewConnectionError):  # a kind of time-out to urllib3
        return Transient("unreachable", f"cannot reach {host}: {reason}")
    if isinstance(error, (high.ConnectTimeout, low.ConnectTimeoutError)):
        return Transient("timeout", f"no connection to {host} in {settings.connect_timeout:g} s")
    if isinstance(error, TIMEOUT):
        return Transient("timeout", f"{host} gave no complete answer in {settings.timeout:g} s")
    if isinstance(root, ssl.SSLCertVerificationError):
        remedy = "check its certificate, this machine's clock and the proxies"
        return Transient("unreachable", f"cannot trust {host}: {reason}", remedy=remedy)
    if isinstance(root, ssl.SSLError) and getattr(root, "reason", "") in NO_TLS:
        return Transient("unreachable", f"{host} speaks no TLS: {reason}", remedy="check base_url: http or https")
    if isinstance(error, UNREACHABLE):
        return Transient("unreachable", f"cannot reach {host}: {reason}")
    if isinstance(error, CUT):
        return Transient("cut", f"the answer of {host} broke off: {reason}")
    if isinstance(error, high.TooManyRedirects):
        return Permanent("redirected", f"{host} redirects too often", remedy="check base_url")
    return Permanent("bad_request", f"{host} cannot be asked: {reason}", remedy="check base_url and the environment")


def of_answer(answer: Answer, settings: HttpSettings, now: datetime) -> PlatformError:
    """Turn an answer that is no success into an error that says where it came from and what it said."""
    said = excerpt(answer.body, settings.secrets)
    what = f"{shown_url(answer.url, settings.secrets)} answered {answer.status}" + (f": {said}" if said else "")
    return of_status(
        answer.status,
        what,
        blocked=_is_cloudflare_page(answer),
        retry_after=retry_after(answer.headers.get("retry-after", ""), now),
        key=f"check that the API key (header {settings.api_key_header}) is valid for {origin(answer.url)}",
        rate="lower rate_per_minute, or use an API key with a higher limit",
    )


def retry_after(value: str, now: datetime) -> float | None:
    """Read a `Retry-After` header (RFC 9110, section 10.2.3) as seconds from `now`, at most an hour.

    >>> retry_after("119", datetime(2026, 1, 1, tzinfo=UTC))
    119.0
    >>> retry_after("Thu, 01 Jan 2026 00:00:30 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_PAUSE)
    try:
        due = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    seconds = ((due if due.tzinfo else due.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(0.0, float(math.ceil(seconds))), LONGEST_PAUSE)


def _is_cloudflare_page(answer: Answer) -> bool:
    is_html = "html" in answer.headers.get("content-type", "") or answer.body.lstrip().startswith(b"<")
    server = answer.headers.get("server", "").lower()
    return is_html and (server == "cloudflare" or "cf-ray" in answer.headers or b"cloudflare" in answer.body.lower())


def _reason(root: BaseException) -> str:
    """Say what lies at the bottom of an exception; the upper ones repeat the URL, with whatever is in it."""
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return f"{type(root).__name__}: {root}" if str(root) else type(root).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        inner = [part for part in (getattr(error, "reason", None), *error.args) if isinstance(part, BaseException)]
        error = inner[0] if inner else error.__cause__ or error.__context__
