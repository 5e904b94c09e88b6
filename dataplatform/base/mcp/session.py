"""One connection to a server, and what is asked over it: opened once, used until it fails, closed once.

A lost one never recovers in the SDK. What is asked of a connected server, and how its answers are read.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import CancelledError, Future, wait
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, TypeVar

import anyio
from attrs import define, field
from mcp import Client, MCPError
from mcp.client import Transport
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Implementation, TextContent

from dataplatform.base.agent import Clock
from dataplatform.base.mcp import failures
from dataplatform.base.mcp import tool_errors as texts
from dataplatform.base.mcp.failures import Watch
from dataplatform.base.mcp.messages import CallAnyOf, CallTool, ServerIdentity, Tool, ToolAnswer
from dataplatform.base.mcp.process import ServerProcess
from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.mcp.tool_errors import told_failure
from dataplatform.base.net.waits import Interrupted, LoopThread, Overdue
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.version import __version__

__all__ = ["Session", "call_any_of", "call_tool", "list_tools"]

T = TypeVar("T")
GRACE = 0.25  # seconds that the loop gets to report a time-out of its own
FAREWELL = 1.0  # seconds for taking leave of a server over HTTP
INQUEST = 0.5  # seconds for the connection to say why it was lost
WRAPPING = 4  # times the size of a text that its message may have: quoted, escaped, and once more as structured content
SELF = Implementation(name="dataplatform", version=__version__)

for _name in ("mcp", "client"):  # the SDK's loggers: what they report is in our failures, and not for the terminal
    logging.getLogger(_name).addHandler(logging.NullHandler())


@define(eq=False)
class Session:
    """A connection that is held by a task on the loop, and used from the agent's thread, one request at a time.

    `mode` says whether to ask for the newer protocol first, or begin with the older one's handshake. `tools` holds the
    names of the tools that were there when they were listed last, None before that. `ended` is done
    when it is closed and its child process is dead, with what went wrong.
    """

    settings: McpSettings
    loop: LoopThread
    clock: Clock
    mode: Literal["auto", "legacy"] = "auto"
    identity: ServerIdentity = field(init=False)
    tools: frozenset[str] | None = field(default=None, init=False)
    ended: Future[tuple[BaseException, ...]] = field(factory=Future, init=False)
    _watch: Watch = field(init=False)
    _process: ServerProcess = field(init=False)
    _scope: anyio.CancelScope = field(init=False)
    _leaving: anyio.Event = field(factory=anyio.Event, init=False)
    _left: bool = field(default=False, init=False)
    _opened: Future[Client] = field(factory=Future, init=False)

    def __attrs_post_init__(self) -> None:
        limit = WRAPPING * self.settings.max_text
        self._watch = Watch(self.settings, limit, refused=self._refused)
        self._process = ServerProcess(self.settings, limit)

    @property
    def lost(self) -> bool:
        """Whether it is known to be of no use any more; not every loss is noticed before the next request."""
        return self._left or self.ended.done() or self._process.ended

    def open(self) -> PlatformError | None:
        """Connect, and return the error if that fails; in `connect_timeout`, or 0.1 s after `stopping` was set."""
        self.loop.start(self._hold)
        limit = self.settings.connect_timeout
        try:
            self.loop.wait([self._opened, self.ended], limit)
        except Interrupted:
            self.leave()
            return _stopping(self.loop)
        except Overdue:
            return self._failed(TimeoutError(), limit)
        if not self._opened.done():
            return self._failed(None, limit)
        client = self._opened.result()
        info = client.server_info or Implementation(name="", version="")
        self.identity = ServerIdentity(info.name, info.version, client.protocol_version)
        return None

    def ask(self, call: Callable[[Client], Awaitable[T]]) -> Result[T]:
        """Answer what the call returns; a failure that leaves the session unusable also begins to close it."""
        limit = self.settings.call_timeout
        asked = self.loop.start(self._within, limit, call)
        try:
            return Success(self.loop.wait([asked], limit + GRACE).result())
        except Interrupted:
            asked.cancel()
            return Failure(_stopping(self.loop))
        except Overdue:
            asked.cancel()
            return Failure(self._failed(TimeoutError(), limit))
        except CancelledError:
            return Failure(self._failed(None, limit))
        except MCPError as error:
            if self._watch.refusal is None and error.code not in failures.BROKEN:
                return Failure(failures.of_evidence(failures.Evidence((error,)), self.settings, limit))
            return Failure(self._failed(error, limit))
        except Exception as error:  # noqa: BLE001  whatever the SDK raises is about what the server did
            return Failure(self._failed(error, limit))

    def leave(self) -> None:
        """Begin to close: politely what is open, at once what is still being opened."""
        self._left = True
        if not self.ended.done():
            self.loop.start(self._leave)

    def gone(self, seconds: float) -> bool:
        """Wait until it is closed, and tell whether it is; unlike with `ended`, a stop does not end the wait."""
        return bool(wait([self.ended], seconds).done)

    def kill(self) -> None:
        """Kill the child process, if there is one, from any thread."""
        self._process.kill()

    # On the loop

    async def _hold(self) -> None:
        """Keep the connection open until it is left or lost; the SDK wants it closed by the task that opened it."""
        errors: list[BaseException] = []
        try:
            with anyio.CancelScope() as self._scope:
                async with Client(self._transport(), mode=self.mode, cache=None, client_info=SELF) as client:
                    self._opened.set_result(client)
                    await self._leaving.wait()
                    self._scope.deadline = anyio.current_time() + FAREWELL
        except Exception as error:  # noqa: BLE001  likewise
            errors.append(error)
        finally:
            self.ended.set_result(tuple(errors))

    async def _leave(self) -> None:
        self._leaving.set()
        if not self._opened.done():
            self._scope.cancel()

    def _refused(self) -> None:
        """Break off where the SDK would wait for the answer to a request that was refused."""
        if self.settings.transport == "sse":
            self._scope.cancel()

    async def _within(self, seconds: float, call: Callable[[Client], Awaitable[T]]) -> T:
        with anyio.fail_after(seconds):
            return await call(self._opened.result())

    def _transport(self) -> Transport:
        settings = self.settings
        if settings.transport == "stdio":
            return self._process.connect()
        assert settings.url is not None
        if settings.transport == "sse":
            return sse_client(settings.url, httpx_client_factory=self._watch.client)
        return self._streamable_http(settings.url)

    @asynccontextmanager
    async def _streamable_http(self, url: str) -> AsyncIterator[Any]:
        watched = self._watch.client()
        async with watched, streamable_http_client(url, http_client=watched, max_sse_event_size=None) as streams:
            yield streams

    # In the agent's thread

    def _failed(self, error: BaseException | None, limit: float) -> PlatformError:
        """Begin to close, and say what went wrong, for which the holder of the connection often knows best."""
        self.leave()
        held: tuple[BaseException, ...] = ()
        if not isinstance(error, TimeoutError):
            with suppress(Interrupted, Overdue):
                held = self.loop.wait([self.ended], INQUEST).result()
        connecting = not self._opened.done()
        if self._watch.refusal:
            return failures.of_refusal(self._watch.refusal, self.settings, self.clock.now(), connecting=connecting)
        evidence = failures.Evidence(
            errors=(*([error] if error else []), *held),
            last_words=self._process.last_words if self._process.ended or connecting else "",
            page=self._watch.page,
            too_large=self._watch.too_large or self._process.too_large,
            connecting=connecting,
        )
        return failures.of_evidence(evidence, self.settings, limit)


def _stopping(loop: LoopThread) -> PlatformError:
    return Transient("stopping", f"{loop.name} is stopping")


PAGES = 100  # of a list of tools; one with more pages does not end
NAMES_SHOWN = 60
MAY_BE_UNKNOWN = {"tool_error", "protocol"}  # servers have no common way to say that they do not know a tool


def list_tools(session: Session) -> Result[tuple[Tool, ...]]:
    """Answer the tools of all pages; the session remembers their names."""
    listed = session.ask(_tools)
    if isinstance(listed, Success):
        session.tools = frozenset(tool.name for tool in listed.data)
    return listed


def call_tool(session: Session, call: CallTool) -> Result[ToolAnswer]:
    """Answer what the tool answers; of an error that may come of an unknown tool, find out whether it does."""
    result = _called(session, call)
    if _may_be_unknown(session, result):
        return _unknown(session, call.name) or result
    return result


def call_any_of(session: Session, request: CallAnyOf) -> Result[ToolAnswer]:
    """Call the first tool that the server has; where it has other tools than when it was asked last, by those."""
    known = session.tools
    if known is None and isinstance(listed := list_tools(session), Failure):
        return listed
    result = _first_of(session, request)
    if known is None or not (_may_be_unknown(session, result) or result == Failure(request.otherwise)):
        return result
    if isinstance(list_tools(session), Failure) or session.tools == known:
        return result
    return _first_of(session, request)


async def _tools(client: Client) -> tuple[Tool, ...]:
    found, cursor = [], None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [Tool(tool.name, tool.description or "", tool.input_schema) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return tuple(found)
    raise RuntimeError(f"its list of tools has more than {PAGES} pages")


def _first_of(session: Session, request: CallAnyOf) -> Result[ToolAnswer]:
    fitting = (call for call in request.calls if call.name in (session.tools or ()))
    call = next(fitting, None)
    return Failure(request.otherwise) if call is None else _called(session, call)


def _called(session: Session, call: CallTool) -> Result[ToolAnswer]:
    answer = session.ask(lambda client: client.call_tool(call.name, dict(call.arguments)))
    if isinstance(answer, Failure):
        return answer
    assert isinstance(answer.data, CallToolResult)
    return _read(session, call, answer.data)


def _may_be_unknown(session: Session, result: Result[Any]) -> bool:
    """Tell whether an error can come of a tool that there is not, while the server can be asked for its tools."""
    return isinstance(result, Failure) and result.error.code in MAY_BE_UNKNOWN and not session.lost


def _read(session: Session, call: CallTool, answer: CallToolResult) -> Result[ToolAnswer]:
    text = "\n".join(content.text for content in answer.content if isinstance(content, TextContent))
    if len(text.encode(errors="replace")) > session.settings.max_text:
        return Failure(failures.of_size(session.settings))
    failure = told_failure(answer.meta, session.settings.secrets) if answer.is_error else None
    if failure is None and (answer.is_error or texts.tells_error(text)):
        return Failure(texts.of_answer(text, call.name, session.settings, call.meanings))
    server, now = session.identity, session.clock.now()
    return Success(ToolAnswer(text, answer.structured_content, server.name, server.version, now, call.name, failure))


def _unknown(session: Session, name: str) -> Failure | None:
    match list_tools(session):
        case Success(tools) if name not in {tool.name for tool in tools}:
            names = sorted(tool.name for tool in tools)
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            server = texts.server_of(session.settings)
            remedy = f"it has {', '.join(names[:NAMES_SHOWN]) or 'none'}{more}"
            return Failure(Permanent("unknown_tool", f"{server} has no tool {name!r}", remedy=remedy))
        case _:
            return None
