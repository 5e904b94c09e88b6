"""How everything that can go wrong with a request becomes a `PlatformError`: exceptions, and answers that are no 2xx.

The codes of a `Transient` are timeout, unreachable, cut, server_error, rate_limited and blocked; those of a
`Permanent` are unauthorized, not_found, bad_request, redirected and too_large.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import urllib3.exceptions as low
from attrs import field, frozen
from requests import exceptions as high

from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.net.pauses import retry_after
from dataplatform.base.net.proxies import Proxy, answered_by, unreachable_through
from dataplatform.base.net.refusals import Meaning, of_status
from dataplatform.base.net.shown import excerpt, origin, shown_text, shown_url
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["EXPECTED", "Answer", "of_answer", "of_exception"]

EXPECTED = (high.RequestException, low.HTTPError, low.ProxySchemeUnsupported, OSError)
NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}  # as OpenSSL calls it

Classes: TypeAlias = tuple[type[BaseException], ...]
TIMEOUT: Classes = (high.Timeout, low.TimeoutError)
UNREACHABLE: Classes = (high.ConnectionError, low.NewConnectionError, low.PoolError, low.ProxyError, high.RetryError)
OF_PROXY: Classes = (high.ProxyError, high.InvalidSchema, low.ProxyError, low.ProxySchemeUnsupported)
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


def of_exception(error: BaseException, settings: HttpSettings, proxy: Proxy | None = None) -> PlatformError:
    """Turn an exception of `requests`, or of what it stands on, into an error that shows no secret.

    `proxy` is the one that leads to the server, if any does.
    """
    *_, root = _causes(error)
    host, reason = origin(settings.base_url), shown_text(_reason(root), settings.secrets)
    if proxy is not None and isinstance(error, OF_PROXY):
        return unreachable_through(proxy, settings.base_url, reason)
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


def of_answer(answer: Answer, settings: HttpSettings, now: datetime, meanings: Sequence[Meaning] = ()) -> PlatformError:
    """Turn an answer that is no success into an error that says where it came from and what it said."""
    said = excerpt(answer.body, settings.secrets)
    by = answered_by(answer.url, shown_url(answer.url, settings.secrets))
    return of_status(
        answer.status,
        f"{by} answered {answer.status}" + (f": {said}" if said else ""),
        answer.body.decode(errors="replace"),
        headers=answer.headers,
        meanings=meanings,
        retry_after=retry_after(answer.headers.get("retry-after", ""), now),
        key=f"check that the API key (header {settings.api_key_header}) is valid for {origin(answer.url)}",
        rate="lower rate_per_minute, or use an API key with a higher limit",
    )


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
