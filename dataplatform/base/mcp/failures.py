"""How everything that can go wrong with a connection becomes a `PlatformError`, with what the SDK keeps to itself.

What a server says over HTTP that the SDK keeps to itself is noted here, and no body is without end.

The codes of a `Transient` are unreachable, lost, cut, timeout, protocol, rate_limited, server_error, blocked and
stopping; those of a `Permanent` are unauthorized, no_endpoint, no_command, redirected, not_found, bad_request,
too_large, unknown_tool and tool_error; what tools say in words is read in `texts`.
"""

from __future__ import annotations

import errno
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from http import HTTPStatus

import anyio
import httpx2
from attrs import define, field, frozen
from mcp import MCPError
from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST, PARSE_ERROR, REQUEST_TIMEOUT

from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.mcp.tool_errors import KEY, server_of
from dataplatform.base.net.failures import IN_BETWEEN, is_page, of_status, retry_after, title_of
from dataplatform.base.net.proxies import answered_by, proxy_for, unreachable_through
from dataplatform.base.net.shown import shown_text
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["BROKEN", "Evidence", "Refusal", "Watch", "of_evidence", "of_refusal", "of_size"]

SUCCESS = range(200, 300)
ERRORS_TOO = {400, 404}  # what errors of the protocol come with, which the SDK understands
ERROR_BODY = 64 * 1024  # bytes of an error's body that are read, to be quoted from


@frozen
class Refusal:
    """An answer that is no success: its status, headers (names in lower case), and the beginning of its body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@define(eq=False)
class Watch:
    """Notes the refusal or the page that the latest request met, if it did, and answers of more than `limit` bytes.

    What is got is not counted: such a stream of events may be open for as long as the session. Nor is it a refusal
    when a server turns down the offer to listen for notifications. `refused` is called when a refusal was noted.
    """

    settings: McpSettings
    limit: int
    refused: Callable[[], None]
    refusal: Refusal | None = field(default=None, init=False)
    page: bytes = field(default=b"", init=False)
    too_large: bool = field(default=False, init=False)

    def client(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        """Return a client that is watched; whoever waits for its answers limits the time.

        Raises `Permanent("bad_proxy")` if the proxy that is set is not a valid URL.
        """
        del headers, timeout, auth  # the SDK offers its own
        proxy = proxy_for(self.settings.url or "")
        return httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity", **self.settings.headers},  # what is counted is what memory holds
            timeout=httpx2.Timeout(None, connect=self.settings.connect_timeout),
            verify=_trusted(),
            proxy=None if proxy is None else proxy.url,
            trust_env=False,  # of the environment's proxies this is the only one
            event_hooks={"request": [self._forget], "response": [self._look_at]},
        )

    async def _forget(self, request: httpx2.Request) -> None:
        if request.method == "POST":
            self.refusal, self.page = None, b""

    async def _look_at(self, response: httpx2.Response) -> None:
        asks = response.request.method == "POST" or self.settings.transport == "sse"
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        if response.status_code not in SUCCESS:
            if asks:
                self.refusal = Refusal(response.status_code, {}, b"")  # already, should the body not come
            body = await _beginning(response.stream)
            response.stream = httpx2.ByteStream(body)
            if response.status_code in ERRORS_TOO and b'"jsonrpc"' in body:
                self.refusal = None
            elif asks:
                headers = {name.lower(): value for name, value in response.headers.items()}
                self.refusal = Refusal(response.status_code, headers, body)
                self.refused()
        elif asks and is_page(b"", response.headers.get("content-type", "")):
            self.page = await _beginning(response.stream)
            response.stream = httpx2.ByteStream(self.page)
        elif response.request.method == "POST":
            response.stream = _Counted(response.stream, self)


@cache
def _trusted() -> ssl.SSLContext:
    """Load the certificates that are trusted; it takes most of the time of a reconnection."""
    return httpx2.create_ssl_context()


class _Counted(httpx2.AsyncByteStream):
    """A body that breaks off when it is too large; the SDK takes that for an answer that it cannot read."""

    def __init__(self, stream: httpx2.AsyncByteStream, watch: Watch) -> None:
        self._stream = stream
        self._watch = watch

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._watch.limit:
                self._watch.too_large = True
                raise httpx2.StreamError("too large")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _beginning(stream: httpx2.AsyncByteStream) -> bytes:
    """Read what an error says, as far as it comes; its status says more than a body that breaks off."""
    body = bytearray()
    with suppress(httpx2.TransportError):
        async for chunk in stream:
            body += chunk
            if len(body) >= ERROR_BODY:
                break
    await stream.aclose()
    return bytes(body)


BROKEN = {CONNECTION_CLOSED, REQUEST_TIMEOUT, PARSE_ERROR, INVALID_REQUEST}  # codes after which a session is of no use
NO_PROGRAM = {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC}
TOO_LARGE = re.compile(r"exceeded the \d+ byte limit")


@frozen
class Evidence:
    """What is known of a failed connection: what its parts raised, a child process's last words, a page in its place.

    `connecting` says that there was no connection yet.
    """

    errors: tuple[BaseException, ...] = ()
    last_words: str = ""
    page: bytes = b""
    too_large: bool = False
    connecting: bool = False


def of_evidence(evidence: Evidence, settings: McpSettings, limit: float) -> PlatformError:
    """Turn what was raised, here and where the connection is held, into an error that shows no secret.

    `limit` is how many seconds were given.
    """
    server, leaves = server_of(settings), [leaf for error in evidence.errors for leaf in _leaves(error)]
    if evidence.too_large or any(TOO_LARGE.search(str(leaf)) for leaf in leaves):
        return of_size(settings)
    if evidence.page:
        return _of_page(evidence.page, settings)
    error = min(leaves, key=_rank, default=None)
    if isinstance(error, PlatformError):
        return error
    words, reason = evidence.last_words, shown_text(_reason(error), settings.secrets)
    proxy = proxy_for(settings.url) if settings.url else None
    match error:
        case ImportError() | httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError() if proxy is not None:
            return unreachable_through(proxy, settings.url or "", reason)
        case OSError(errno=code) if code in NO_PROGRAM and settings.transport == "stdio":
            remedy = "check command, args and PATH"
            return Permanent("no_command", f"cannot start {server}: {reason}", remedy=remedy, of_question=False)
        case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return Permanent("bad_request", f"{server} cannot be asked: {reason}", remedy="check url")
        case httpx2.TimeoutException() | TimeoutError():
            remedy = "raise connect_timeout if it needs longer to start" if evidence.connecting else ""
            what = f"{server} gave no answer in {limit:g} s" + (f"; {words}" if words else "")
            return Transient("timeout", what, remedy=remedy if settings.transport == "stdio" else "")
        case httpx2.ConnectError() | httpx2.ProxyError():
            return Transient("unreachable", f"cannot reach {server}: {reason}")
        case MCPError(code=code) if code != CONNECTION_CLOSED:
            return Transient("protocol", f"{server} answered an error: {reason}", of_question=code not in BROKEN)
        case None | MCPError() | OSError() | httpx2.HTTPError() | anyio.ClosedResourceError() | anyio.EndOfStream():
            if evidence.connecting:
                return Transient("unreachable", f"cannot reach {server}: {words or reason}")
            return Transient("lost", f"the connection to {server} is lost: {words or reason}")
        case _:
            return Transient("protocol", f"{server} gave an answer that cannot be used: {reason}")


def _of_page(page: bytes, settings: McpSettings) -> PlatformError:
    by, title = answered_by(settings.url or "", server_of(settings)), title_of(page.decode(errors="replace"))
    named = f", {shown_text(title, settings.secrets)!r}," if title else ""
    return Transient("protocol", f"{by} answered a page{named} and not as an MCP server does", remedy=IN_BETWEEN)


def of_size(settings: McpSettings) -> PlatformError:
    message = f"{server_of(settings)} answered more than {settings.max_text} bytes"
    return Permanent("too_large", message, remedy="ask for less, or raise max_text")


def of_refusal(refusal: Refusal, settings: McpSettings, now: datetime, *, connecting: bool) -> PlatformError:
    """Turn a refusal by HTTP into an error; one of a kind not foreseen tells that the session has come to its end."""
    text = refusal.body.decode(errors="replace")
    said = shown_text(text, settings.secrets)
    by = answered_by(settings.url or "", server_of(settings))
    what = f"{by} answered {refusal.status}" + (f": {said}" if said else "")
    pause = retry_after(refusal.headers.get("retry-after", ""), now)
    if refusal.status in range(300, 400):
        return Permanent("redirected", what, remedy="if that is wanted, put its URL into url")
    if refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Permanent("too_large", what, remedy="send less at a time, or have the server take more")
    error = of_status(refusal.status, what, text, headers=refusal.headers, retry_after=pause, key=KEY)
    if error.code not in {"bad_request", "not_found"}:
        return error
    if connecting:
        return Permanent("no_endpoint", what, remedy="check url, and transport", of_question=False)
    return Transient("lost", what)


def _rank(error: BaseException) -> int:
    """Order what was raised by how much it tells: that the connection was closed is only what followed."""
    closed = isinstance(error, (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream))
    return 1 if closed or (isinstance(error, MCPError) and error.code == CONNECTION_CLOSED) else 0


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _reason(error: BaseException | None) -> str:
    """Say what lies at the bottom of an exception; the upper ones repeat the URL, with whatever is in it."""
    if isinstance(error, MCPError):
        return str(error)
    root = error
    while root is not None and (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    if root is None:
        return "it was closed"
    if isinstance(root, ConnectionError) and root.errno:
        return os.strerror(root.errno)
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return f"{type(root).__name__}: {root}" if str(root) else type(root).__name__
