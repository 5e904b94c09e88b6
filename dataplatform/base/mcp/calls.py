"""What is asked of a connected server, and how its answers are read."""

from __future__ import annotations

from typing import Any

from mcp import Client
from mcp.types import CallToolResult, TextContent

from dataplatform.base.mcp import failures, texts
from dataplatform.base.mcp.messages import CallAnyOf, CallTool, Tool, ToolAnswer
from dataplatform.base.mcp.session import Session
from dataplatform.base.mcp.told import told_failure
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success

__all__ = ["call_any_of", "call_tool", "list_tools"]

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
