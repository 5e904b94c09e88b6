"""One call of a tool, from the request to the answer; and the guard that every request passes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from attrs import define, field
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)
from mcp.types.methods import validate_client_request
from pydantic import BaseModel, ValidationError

from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result
from dataplatform.services.gateway.mcp.answers import text_for
from dataplatform.services.gateway.mcp.callers import Caller, Callers
from dataplatform.services.gateway.mcp.failures import ERROR, text_of, tool_error
from dataplatform.services.gateway.mcp.toolbox import Tool, Toolbox

__all__ = ["Calls", "Guard"]

OFTEN = 1.0  # seconds between notices of progress
FREE = {"initialize", "ping", "server/discover"}  # what a client needs before it can be told anything


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
        tool = self.toolbox.tools.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, self.toolbox.catalogue.missing(params.name))
        if error := caller.too_often() or caller.refusal(tool.right):
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
        if ctx.request_id is None or ctx.method in FREE:
            return await call_next(ctx)
        caller, begun, outcome = self.callers.of(ctx), time.monotonic(), "cancelled"
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
