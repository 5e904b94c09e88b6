"""How the faults reach a client: an ASGI layer that delays, replaces, mutilates or cuts off the answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import anyio
import msgspec
from attrs import define, field
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dataplatform.simulator import query as refusals
from dataplatform.simulator.faults import MCP_PREFIX, PREFIX, ArmedFault, Fault, Faults

__all__ = ["PAGE", "FaultMiddleware", "hold", "json_response", "refusal_of", "reshaped"]

_GLANCE = 0.02
"""Seconds between two looks at whether a slow fault has been cleared."""

PAGE: Final = """<!DOCTYPE html>
<html lang="en-US">
<head><title>Access denied | api.coingecko.com used Cloudflare to restrict access</title></head>
<body><h1>Error 1015</h1><h2>You are being rate limited</h2><p>A simulated page. Ray ID: 0000000000000000</p></body>
</html>
"""


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer as CoinGecko encodes it."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


class FaultMiddleware:
    """Lets requests through to the application, except those that meet a fault.

    Args:
        app: the application that answers correctly.
        faults: the faults that are on.
        now: where it reads the time that some bodies hold.

    """

    def __init__(self, app: ASGIApp, faults: Faults, now: Callable[[], datetime]) -> None:
        self._app = app
        self._faults = faults
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith((f"{PREFIX}/", f"{MCP_PREFIX}/")):
            await self._app(scope, receive, send)
            return
        answering: Fault | None = None
        for armed in self._faults.meet(scope["path"].removeprefix(PREFIX)):
            if armed.fault.kind == "slow":
                await hold(armed)
            else:
                answering = armed.fault
        response = self._instead(answering) if answering else None
        if response:
            await response(scope, receive, send)
        elif answering is None or _is_endless(scope):
            await self._app(scope, receive, send)
        else:
            answer = _Answer()
            await self._app(scope, receive, answer.take)
            await answer.spoil(answering, send)

    def _instead(self, fault: Fault) -> Response | None:
        """Return the answer that replaces the right one, or None if the right one is needed to spoil it."""
        headers = {"Retry-After": str(fault.retry_after)} if fault.status == 429 else None  # noqa: PLR2004
        if fault.kind == "html":
            return Response(PAGE, fault.status or 429, headers, "text/html")
        refusal = refusal_of(fault, self._now())
        return json_response(refusal.body, refusal.status, headers) if refusal else None


def refusal_of(fault: Fault, now: datetime) -> refusals.RefusedError | None:
    """Return the API's own error that a fault stands for, if it does."""
    match fault.kind:
        case "rate_limited":
            return refusals.rate_limited()
        case "server_error":
            return refusals.server_error(fault.status or 500)
        case "unauthorized":
            return refusals.key_missing(now)
        case "not_found":
            return refusals.coin_not_found()
        case _:
            return None


def _is_endless(scope: Scope) -> bool:
    """Tell whether the answer is a stream of events that ends when the client goes."""
    return scope["method"] == "GET" and bool(scope["path"].endswith("/sse"))


async def hold(armed: ArmedFault) -> None:
    """Wait for the fault's delay, or until it is cleared."""
    with anyio.move_on_after(armed.fault.delay):
        while not armed.cleared.is_set():  # noqa: ASYNC110 - an anyio event cannot be set from another thread
            await anyio.sleep(_GLANCE)


@define
class _Answer:
    """The application's answer, kept back to be spoilt."""

    start: Message = field(factory=dict)
    body: bytes = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    async def spoil(self, fault: Fault, send: Send) -> None:
        match fault.kind:
            case "cut":
                await send(self.start)
                # Without a last part the server can only close the connection: the promised length never comes.
                await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})
            case "malformed_json":
                await self._send(self.body[: len(self.body) * 2 // 3], send)
            case _:
                await self._send(_reshaped_body(self.body, fault), send)

    async def _send(self, body: bytes, send: Send) -> None:
        kept = [(name, value) for name, value in self.start["headers"] if name.lower() != b"content-length"]
        await send({**self.start, "headers": [*kept, (b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


def _reshaped_body(body: bytes, fault: Fault) -> bytes:
    try:
        return msgspec.json.encode(reshaped(msgspec.json.decode(body), fault))
    except msgspec.DecodeError:
        return body


def reshaped(document: Any, fault: Fault) -> Any:
    """Return the document in the shape that a fault `changed_shape` gives it."""
    if fault.shape == "strings":
        return _numbers_as_strings(document)
    return {"data": document} if isinstance(document, list) else [document]


def _numbers_as_strings(document: Any) -> Any:
    match document:
        case dict():
            return {name: _numbers_as_strings(value) for name, value in document.items()}
        case list():
            return [_numbers_as_strings(value) for value in document]
        case bool():
            return document
        case int() | float():
            return str(document)
        case _:
            return document
