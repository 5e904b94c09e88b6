"""What is asked of a connected server, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from mcp import Client
from mcp.types import CallToolResult, TextContent

from dataplatform.base.mcp import failures
from dataplatform.base.mcp.messages import Tool, ToolAnswer
from dataplatform.base.mcp.session import Session
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success

__all__ = ["call_tool", "list_tools"]

PAGES = 100  # of a list of tools; one with more pages does not end
NAMES_SHOWN = 60
MAY_BE_UNKNOWN = {"tool_error", "protocol"}  # servers have no common way to say that they do not know a tool


def list_tools(session: Session) -> Result[tuple[Tool, ...]]:
    """Answer the tools of all pages."""
    return session.ask(_tools)


def call_tool(
    session: Session, name: str, arguments: Mapping[str, Any], now: Callable[[], datetime]
) -> Result[ToolAnswer]:
    """Answer what the tool answers; of an error that may come of an unknown tool, find out whether it does."""
    match session.ask(lambda client: client.call_tool(name, dict(arguments))):
        case Success(data=CallToolResult() as answer):
            result = _read(session, name, answer, now())
        case Failure() as result:
            pass
    match result:
        case Failure(error) if error.code in MAY_BE_UNKNOWN and not session.lost:
            return _unknown(session, name) or result
        case _:
            return result


async def _tools(client: Client) -> tuple[Tool, ...]:
    found, cursor = [], None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [Tool(tool.name, tool.description or "", tool.input_schema) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return tuple(found)
    raise RuntimeError(f"its list of tools has more than {PAGES} pages")


def _read(session: Session, name: str, answer: CallToolResult, now: datetime) -> Result[ToolAnswer]:
    text = "\n".join(content.text for content in answer.content if isinstance(content, TextContent))
    if len(text.encode(errors="replace")) > session.settings.max_text:
        return Failure(failures.of_size(session.settings))
    if answer.is_error:
        return Failure(failures.of_answer(text, name, session.settings))
    return Success(ToolAnswer(text, answer.structured_content, session.identity.name, session.identity.version, now))


def _unknown(session: Session, name: str) -> Failure | None:
    match list_tools(session):
        case Success(tools) if name not in {tool.name for tool in tools}:
            names = sorted(tool.name for tool in tools)
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            server = failures.server_of(session.settings)
            remedy = f"it has {', '.join(names[:NAMES_SHOWN]) or 'none'}{more}"
            return Failure(Permanent("unknown_tool", f"{server} has no tool {name!r}", remedy=remedy))
        case _:
            return None
