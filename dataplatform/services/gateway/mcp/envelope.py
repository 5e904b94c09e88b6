"""The envelope of a JSON-RPC message: what is no request is refused in words, over every transport alike.

The SDK answers some of these with silence, and takes a request with a strange `id` for a notification.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Literal

import anyio
import msgspec
from attrs import define, frozen
from mcp.shared.message import SessionMessage
from mcp.types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CheckedBodies", "CheckedLines", "refusal_of"]

LONGEST_ID = 256  # characters of an id, which is repeated in the answer
Id = (
    Annotated[str, msgspec.Meta(max_length=LONGEST_ID)] | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
)


class Envelope(msgspec.Struct):
    """What every message has around its parameters; one with a `method` is a request, or without `id` a notification.

    Others are answers, which only correlate with what this server has asked.
    """

    jsonrpc: Literal["2.0"]
    method: str | msgspec.UnsetType = msgspec.UNSET
    id: Id | msgspec.UnsetType = msgspec.UNSET
    params: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    result: Any | msgspec.UnsetType = msgspec.UNSET
    error: Any | msgspec.UnsetType = msgspec.UNSET


def refusal_of(message: bytes | str) -> JSONRPCError | None:
    """Return the answer to what is no JSON-RPC message; None for what is one.

    >>> refusal_of('{"jsonrpc": "2.0", "id": 1, "method": "ping"}') is None
    True
    >>> refusal_of('{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}').error.message
    "params: Expected 'object | null', got 'array'"
    """
    try:
        value = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return _refusal(None, PARSE_ERROR, f"this is not JSON: {error}")
    if isinstance(value, list):
        return _refusal(None, INVALID_REQUEST, "batches are not accepted; send one message at a time")
    try:
        envelope = msgspec.convert(value, Envelope)
    except msgspec.ValidationError as error:
        return _refusal(value, INVALID_REQUEST, _told(error))
    if envelope.method is msgspec.UNSET and envelope.result is msgspec.UNSET and envelope.error is msgspec.UNSET:
        return _refusal(value, INVALID_REQUEST, "a request names its method")
    if envelope.method is not msgspec.UNSET and envelope.id is None:
        return _refusal(value, INVALID_REQUEST, "id: expected text or a whole number, got null")
    return None


@frozen
class CheckedBodies:
    """Answers a POST whose body is no JSON-RPC message, and hands the others on; bodies are bounded before it."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        if refused := refusal_of(body):
            await Response(_written(refused), 400, media_type="application/json")(scope, receive, send)
            return
        await self.app(scope, _again(body, receive), send)


@define(eq=False)
class CheckedLines:
    """The lines of standard input that are messages; other lines are answered, and blank ones ignored."""

    lines: AsyncIterable[str]
    answer: Callable[[SessionMessage], Awaitable[None]] | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self.lines:
            if not line.strip():
                continue
            refused = refusal_of(line)
            if refused is None:
                yield line
            elif self.answer is not None:
                with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # the server is ending
                    await self.answer(SessionMessage(refused))


def _told(error: msgspec.ValidationError) -> str:
    text, _, place = str(error).replace("`", "'").rpartition(" - at '$.")
    return f"{place.rstrip(chr(39))}: {text}" if text else place


def _refusal(value: Any, code: int, text: str) -> JSONRPCError:
    """Return the answer, with the message's id where that can be repeated."""
    try:
        given = msgspec.convert(value.get("id"), Id) if isinstance(value, dict) else None
    except msgspec.ValidationError:
        given = None
    return JSONRPCError(jsonrpc="2.0", id=given, error=ErrorData(code=code, message=text))


def _written(refused: JSONRPCError) -> bytes:
    return msgspec.json.encode(refused.model_dump(exclude_unset=True))


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that brings the body, and after it what else the client sends: that it has gone."""
    bodies = iter([body])

    async def receive_again() -> Message:
        for once in bodies:
            return {"type": "http.request", "body": once, "more_body": False}
        return await receive()

    return receive_again
