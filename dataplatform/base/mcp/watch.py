"""What a server says over HTTP that the SDK keeps to itself is noted here, and no body is without end."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import cache

import httpx2
from attrs import define, field, frozen

from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.net.pages import is_page
from dataplatform.base.net.proxies import proxy_for

__all__ = ["Refusal", "Watch"]

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
