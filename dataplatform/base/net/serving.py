"""An ASGI application served and stopped in bounded time, whatever its clients do: refused, silent, slow or many."""

from __future__ import annotations

import logging
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import anyio.lowlevel
import uvicorn
from attrs import define, field, frozen
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["AsgiServer", "Limits", "listen"]

SILENT = logging.NullHandler()  # what clients do wrong is theirs to know, and no line on standard error
BACKLOG = 256
MALFORMED = Permanent("bad_request", "this is not an HTTP request")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises `OSError` when somebody else has the port, or the address is not ours."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@frozen(kw_only=True)
class Limits:
    """What clients may do, and what those are told that are sent away before they have asked for anything.

    - `connections`: how many there may be at once; one more is answered `busy`
    - `per_address`: how many of them may come from one address
    - `arrival`: seconds within which a request is to arrive whole, from the connection's beginning or its own
    - `idle`: seconds after which a connection that nothing goes over is closed, and an answer that is not read given up
    - `refusal`: why a new connection is refused, None for one that is let in
    - `refused`: is told of each that was sent away
    - `body`: an error as the body of a response, in JSON
    """

    connections: int
    per_address: int
    arrival: float
    idle: float
    refusal: Callable[[socket.socket], PlatformError | None]
    refused: Callable[[PlatformError], None]
    body: Callable[[PlatformError], bytes]


class _Connection(H11Protocol):
    """One connection, looked at now and then: one whose client owes something for too long is aborted."""

    def __init__(self, limits: Limits, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._began: float | None = None  # when the request that the client owes did; None while it owes none
        self._rested = 0.0  # since when nothing is owed
        self._unread = 0  # bytes that the client has yet to read, at the look before
        self._look: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if error := self._limits.refusal(transport.get_extra_info("socket")):
            self._send_away(HTTPStatus.FORBIDDEN, error)
        elif error := self._too_many():
            self._send_away(HTTPStatus.SERVICE_UNAVAILABLE, error)
        else:
            self._began = self._rested = self.loop.time()
            self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():  # what a client that was sent away has sent before it knew
            self._rested = self.loop.time()
            if self._began is None and self._client_asks():
                self._began = self._rested
            super().data_received(data)

    def on_response_complete(self) -> None:
        self._began, self._rested = None, self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; in the middle of an answer there is nothing left but to hang up."""
        del msg
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
        else:
            self._send_away(HTTPStatus.BAD_REQUEST, MALFORMED)

    def _send_away(self, status: HTTPStatus, error: PlatformError) -> None:
        self.connections.discard(self)  # it takes nobody's place any more
        self._limits.refused(error)
        body = self._limits.body(error)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _too_many(self) -> PlatformError | None:
        address = (self.client or [None])[0]
        here = [
            one for one in self.connections if isinstance(one, _Connection) and (one.client or [None])[0] == address
        ]
        if len(self.connections) > self._limits.connections:
            text = f"{self._limits.connections} clients are connected"
        elif len(here) > self._limits.per_address:
            text = f"{self._limits.per_address} clients are connected from this address"
        else:
            return None
        return Transient("busy", text, retry_after=1.0)

    def _look_again(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._look = self.loop.call_later(min(self._limits.arrival, self._limits.idle) / 2, self._look_at)

    def _look_at(self) -> None:
        if self._is_overdue(self.loop.time()):
            self.transport.abort()
        else:
            self._look_again()

    def _is_overdue(self, now: float) -> bool:
        if self.transport.get_write_buffer_size() != self._unread or not (self._unread or self._client_asks()):
            self._rested = now  # the client reads, or the platform works
        if self._began is not None and self._client_asks():
            return now - self._began >= self._limits.arrival
        return now - self._rested >= self._limits.idle

    def _client_asks(self) -> bool:
        """Tell whether the client has to send something before anything goes on."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hang up on all clients first: uvicorn would wait for them, however long that takes."""
        self.abort()
        await super().shutdown(sockets)

    def abort(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


@define(eq=False)
class AsgiServer:
    """Serves an application on a listening socket until `close`, which breaks off what is under way.

    `around` is entered before the first request and left after the last.
    """

    app: ASGIApp
    limits: Limits
    around: AbstractAsyncContextManager[Any] = field(factory=nullcontext)
    _uvicorn: _Server = field(init=False)

    def __attrs_post_init__(self) -> None:
        logging.getLogger("uvicorn.error").addHandler(SILENT)
        self._uvicorn = _Server(
            uvicorn.Config(
                self.app,
                http=cast("Any", partial(_Connection, self.limits)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # whoever asks could say in them that he is somebody else
                timeout_keep_alive=max(1, int(self.limits.idle)),
            )
        )

    async def serve(self, listener: socket.socket) -> None:
        """Serve until `close`; then no client is connected any more."""
        try:
            async with self.around:
                await self._uvicorn.serve([listener])
        finally:
            self._uvicorn.abort()
            await anyio.lowlevel.checkpoint()  # in which the transports close

    def close(self) -> None:
        """Have `serve` end, in any thread, without waiting for clients."""
        self._uvicorn.should_exit = self._uvicorn.force_exit = True
