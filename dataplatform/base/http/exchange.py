"""One exchange with the server: request, redirects on the same host, a bounded body; and what can go wrong.

How everything that can go wrong with a request becomes a `PlatformError`: exceptions, and answers that are no 2xx.

The codes of a `Transient` are timeout, unreachable, cut, server_error, rate_limited and blocked; those of a `Permanent`
are unauthorized, not_found, bad_request, redirected and too_large.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
from urllib.parse import urljoin

import requests
import urllib3.exceptions as low
from attrs import field, frozen
from requests import exceptions as high

from dataplatform.base.agent import Clock
from dataplatform.base.http.messages import Get, Response
from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.net.failures import Meaning, of_status, retry_after
from dataplatform.base.net.proxies import Proxy, answered_by, proxy_for, unreachable_through
from dataplatform.base.net.shown import excerpt, origin, shown_text, shown_url
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["EXPECTED", "Answer", "Exchange", "of_answer", "of_exception"]

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


REDIRECTS = 3
CHUNK = 64 * 1024
ERROR_BODY = 64 * 1024  # bytes of an error's body that are read, to be quoted from


class _Session(requests.Session):
    """A session that leaves redirects alone: it would read their bodies whole and send our keys to other hosts."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        del resp


class Exchange:
    """Holds the session, and uses it from one thread at a time."""

    def __init__(self, settings: HttpSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._session = _Session()
        self._session.headers.update({"User-Agent": settings.user_agent, **settings.headers})
        if settings.api_key:
            self._session.headers[settings.api_key_header] = settings.api_key

    def close(self) -> None:
        self._session.close()

    def get(self, get: Get, due: float) -> Result[Response]:
        """Answer the response, or the failure that every exception of the library becomes.

        `due` is a time of the real monotonic clock. It bounds the body chunk by chunk; what comes before it, a caller
        who cannot wait must bound himself.
        """
        try:
            return self._get(get, due)
        except EXPECTED as error:
            return Failure(of_exception(error, self._settings, proxy_for(self._settings.base_url)))
        except PlatformError as error:  # the proxy that is set is not a valid URL
            return Failure(error)

    def _get(self, get: Get, due: float) -> Result[Response]:
        url, params = f"{self._settings.base_url.rstrip('/')}/{get.path.lstrip('/')}", get.params
        for _ in range(REDIRECTS + 1):
            left = _time_left(due)
            timeout = (min(self._settings.connect_timeout, left), left)
            with self._session.get(
                url, params=params, timeout=timeout, stream=True, allow_redirects=False, proxies=_proxies(url)
            ) as response:
                if not response.is_redirect:
                    return self._read(response, get, due)
                target = self._target(response)
            if target is None:
                message = f"{shown_url(url, self._settings.secrets)} redirects to another server"
                return Failure(Permanent("redirected", message, remedy="if that is wanted, put its URL into base_url"))
            url, params = target, ()
        raise requests.TooManyRedirects

    def _target(self, response: requests.Response) -> str | None:
        """Return where the server redirects to, unless the keys must not go there."""
        try:
            target = urljoin(response.url, response.headers["location"])
            leaks: bool = self._session.should_strip_auth(response.url, target)  # type: ignore[no-untyped-call]
        except ValueError:
            return None
        return None if leaks else target

    def _read(self, response: requests.Response, get: Get, due: float) -> Result[Response]:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code // 100 != 2:  # noqa: PLR2004  2xx, as RFC 9110 writes it
            answer = Answer(response.url, response.status_code, headers, _beginning(response, due))
            return Failure(of_answer(answer, self._settings, self._clock.now(), get.meanings))
        body, limit = _body(response, self._settings.max_body, due), self._settings.max_body
        if len(body) > limit:
            message = f"{origin(response.url)} answered more than {limit} bytes"
            return Failure(Permanent("too_large", message, remedy="ask for less, or raise max_body"))
        url = shown_url(response.url, self._settings.secrets)
        return Success(Response(response.status_code, body, headers, url, self._clock.now()))


def _proxies(url: str) -> dict[str, str]:
    """Return what keeps the library from choosing a proxy itself, and the one that leads to the URL."""
    proxy = proxy_for(url)
    return {"no_proxy": "*"} | ({} if proxy is None else {"http": proxy.url, "https": proxy.url})


def _time_left(due: float) -> float:
    left = due - time.monotonic()
    if left <= 0:
        raise requests.Timeout
    return left


def _beginning(response: requests.Response, due: float) -> bytes:
    """Read what an error says, as far as it comes; its status says more than a body that breaks off."""
    try:
        return _body(response, ERROR_BODY, due)
    except EXPECTED:
        return b""


def _body(response: requests.Response, limit: int, due: float) -> bytes:
    """Read the decompressed body up to `limit` bytes, and one chunk more at most."""
    body = bytearray()
    while len(body) <= limit and (chunk := response.raw.read1(CHUNK, decode_content=True)):
        body += chunk
        _time_left(due)
    return bytes(body)
