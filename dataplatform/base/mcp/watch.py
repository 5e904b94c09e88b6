"""What a server says over HTTP that the SDK keeps to itself is noted here, and no body is without end."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress

import httpx2
from attrs import define, field, frozen

from dataplatform.base.mcp.settings import McpSettings

__all__ = ["Refusal", "Watch"]

SUCCESS = range(200, 300)
ERROR_BODY = 64 * 1024  # bytes of an error's body that are read, to be quoted from


@frozen
class Refusal:
    """An answer that is no success: its status, headers (names in lower case), and the beginning of its body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@define(eq=False)
class Watch:
    """Notes the refusal that the latest request met, if it did, and whether an answer had more than `limit` bytes.

    The streams of events are not counted here: their events are limited one by one, and they may be open for as long
    as the session. Nor does the offer to listen for notifications count, which a server may well turn down.
    """

    settings: McpSettings
    limit: int
    refusal: Refusal | None = field(default=None, init=False)
    too_large: bool = field(default=False, init=False)

    def client(self, headers: Mapping[str, str] | None = None) -> httpx2.AsyncClient:
        """Return a client that is watched; whoever waits for its answers limits the time."""
        settings = self.settings
        return httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity", **settings.headers, **(headers or {})},  # count what memory holds
            timeout=httpx2.Timeout(None, connect=settings.connect_timeout),
            event_hooks={"response": [self._look_at]},
        )

    async def _look_at(self, response: httpx2.Response) -> None:
        method, stream = response.request.method, response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        if response.status_code not in SUCCESS:
            if method == "POST" or self.settings.transport == "sse":
                self.refusal = Refusal(response.status_code, {}, b"")  # already, should the body not come
            body = await _beginning(stream)
            response.stream = httpx2.ByteStream(body)
            if self.refusal:
                headers = {name.lower(): value for name, value in response.headers.items()}
                self.refusal = Refusal(response.status_code, headers, body)
            return
        if method == "POST":
            self.refusal = None
        if "event-stream" not in response.headers.get("content-type", ""):
            response.stream = _Counted(stream, self)


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
        async for chunk in _until(stream, body):
            body += chunk
    await stream.aclose()
    return bytes(body)
