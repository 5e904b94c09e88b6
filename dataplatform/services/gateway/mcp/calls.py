"""One call of a tool, from the request to the answer; what is no request is refused in words.

The envelope of a JSON-RPC message: what is no request is refused in words, over every transport alike. The SDK answers
some of these with silence, and takes a request with a strange `id` for a notification.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Literal

import anyio
import msgspec
from attrs import define, field, frozen
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.message import SessionMessage
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    CallToolRequestParams,
    CallToolResult,
    ErrorData,
    JSONRPCError,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)
from mcp.types.methods import validate_client_request
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result
from dataplatform.services.gateway.mcp.answers import text_for
from dataplatform.services.gateway.mcp.callers import Caller, Callers
from dataplatform.services.gateway.mcp.failures import ERROR, text_of, tool_error
from dataplatform.services.gateway.mcp.toolbox import Tool, Toolbox

__all__ = ["Calls", "CheckedBodies", "CheckedLines", "Guard", "refusal_of"]

OFTEN = 1.0  # seconds between notices of progress
UNSAID = {"initialize", "ping", "server/discover"}  # counted like any request, and not worth a line of the log


@define(eq=False)
class Calls:
    """Lists the tools that a caller may use, and runs them."""

    toolbox: Toolbox
    callers: Callers
    timeout: float

    async def list(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """Return the tools that the caller has the right to."""
        del params
        caller = self.callers.of(context)
        return ListToolsResult(
            tools=[tool.on_wire() for tool in self.toolbox.tools.values() if not caller.refusal(tool.right)]
        )

    async def call(self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        """Run a tool; what goes wrong is in the answer, for the model to read."""
        caller = self.callers.of(context)
        if error := caller.too_often():
            return tool_error(error)
        tool = self.toolbox.tools.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, self.toolbox.catalogue.missing(params.name))
        if error := caller.refusal(tool.right):
            return tool_error(error)
        async with self._progress(context, tool.name):
            answer = await self._run(tool, params.arguments or {})
        if isinstance(answer, Failure):
            return tool_error(answer.error)
        text = TextContent(type="text", text=text_for(answer.data))
        return CallToolResult(content=[text], structured_content=answer.data)

    async def _run(self, tool: Tool, arguments: dict[str, Any]) -> Result[dict[str, Any]]:
        try:
            return await tool.run(arguments)
        except PlatformError as error:  # arguments that do not fit
            return Failure(error)

    @asynccontextmanager
    async def _progress(self, context: ServerRequestContext[Any, Any], name: str) -> AsyncIterator[None]:
        """Tell a caller who wants to know, each second, that the call is under way and how long it may take."""

        async def tell() -> None:
            begun = time.monotonic()
            while True:
                await anyio.sleep(OFTEN)
                elapsed = min(round(time.monotonic() - begun, 1), self.timeout)
                await context.session.report_progress(elapsed, self.timeout, f"{name} is waiting for its answer")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tell)
            yield
            tasks.cancel_scope.cancel()


@define(eq=False)
class Guard:
    """Stands before every request: counts it against the caller's rate, and logs who asked what and how it went.

    Arguments are not logged. A tool that is called counts its rate itself, to answer in a way that a model reads.
    Parameters that do not fit are the caller's mistake; whatever else is raised is a bug of this server.
    """

    callers: Callers
    log: Any
    params_of: Callable[[str], type[BaseModel] | None] = field(default=lambda _: None)

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        caller = self.callers.of(ctx)
        if ctx.request_id is None:
            return await call_next(ctx)
        if ctx.method in UNSAID:
            self._let_in(ctx, caller)
            return await call_next(ctx)
        begun, outcome = time.monotonic(), "cancelled"
        try:
            self._let_in(ctx, caller)
            self._check(ctx)
            result = await call_next(ctx)
            outcome = _outcome(result)
        except MCPError as error:
            outcome = f"refused: {error.message}"
            raise
        except Exception as bug:
            outcome = "bug"
            self.log.exception("bug", error=f"{type(bug).__name__}: {bug}", method=ctx.method)
            raise MCPError(INTERNAL_ERROR, "the server failed over this request; its log says why") from None
        else:
            return result
        finally:
            taken = round((time.monotonic() - begun) * 1000, 1)
            self.log.info("call", client=caller.name, method=ctx.method, about=_about(ctx), ms=taken, outcome=outcome)

    def _let_in(self, context: ServerRequestContext[Any, Any], caller: Caller) -> None:
        if context.method == "tools/call":
            return
        error = caller.too_often() or (
            caller.refusal("read") if context.method.startswith(("resources/", "subscr")) else None
        )
        if error is not None:
            raise MCPError(INVALID_REQUEST, text_of(error))

    def _check(self, context: ServerRequestContext[Any, Any]) -> None:
        """Refuse parameters that the method does not take; an unknown method is the SDK's to refuse."""
        form = self.params_of(context.method)
        try:
            with suppress(KeyError):  # the method is not of this version of the protocol
                validate_client_request(context.method, context.protocol_version, context.params)
            if form is not None:
                form.model_validate(context.params or {}, by_name=False)
        except ValidationError as error:
            raise MCPError(INVALID_PARAMS, _place_of(error)) from None


def _place_of(error: ValidationError) -> str:
    """Return what is wrong with the parameters, and where, without what was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part != "params")
    return f"{place or 'params'}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _about(context: ServerRequestContext[Any, Any]) -> str | None:
    """Return the tool, resource or prompt that was asked for, cut and quoted where it is strange."""
    params = context.params or {}
    named = params.get("name") or params.get("uri")
    if named is None:
        return None
    return named if isinstance(named, str) and named.isidentifier() else f"{named!r:.80}"


def _outcome(result: HandlerResult) -> str:
    """Return `ok`, or the code of a tool's error."""
    if not isinstance(result, dict) or not result.get("isError"):
        return "ok"
    code: str = (result.get("_meta") or {}).get(ERROR, {}).get("code", "error")
    return code


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
