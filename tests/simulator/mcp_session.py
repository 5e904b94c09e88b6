"""The simulator's MCP servers as a client of the SDK sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import frozen
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.types import CallToolResult, TextContent, Tool


@frozen
class Session:
    """A connected client, used from a test's own thread."""

    portal: BlockingPortal
    client: Client

    def tools(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self.portal.call(self.client.list_tools).tools}

    def call(self, name: str, /, **arguments: Any) -> CallToolResult:
        result: CallToolResult = self.portal.call(self.client.call_tool, name, arguments)
        return result

    def text(self, name: str, /, **arguments: Any) -> str:
        result = self.call(name, **arguments)
        assert not result.is_error, result
        return text_of(result)

    def error(self, name: str, /, **arguments: Any) -> str:
        result = self.call(name, **arguments)
        assert result.is_error, result
        return text_of(result)


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@contextmanager
def connected(server: str | StdioServerParameters, mode: str = "auto") -> Iterator[Session]:
    """Connect to a URL, to the older transport where it ends so, or to a command."""
    transport = sse_client(server) if isinstance(server, str) and server.endswith("/sse") else server
    with start_blocking_portal() as portal:
        client = Client(transport, cache=None, read_timeout_seconds=20, mode=mode)
        with portal.wrap_async_context_manager(client):
            yield Session(portal, client)
