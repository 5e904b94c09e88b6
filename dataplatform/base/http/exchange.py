"""One exchange with the server: request, redirects on the same host, and a body bounded in size and time."""

from __future__ import annotations

import time
from urllib.parse import urljoin

import requests

from dataplatform.base.agent import Clock
from dataplatform.base.http.failures import EXPECTED, Answer, of_answer, of_exception
from dataplatform.base.http.messages import Get, Response
from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.net.proxies import proxy_for
from dataplatform.base.net.shown import origin, shown_url
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["Exchange"]

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
