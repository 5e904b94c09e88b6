"""The tools as MCP servers that call themselves `dataplatform-simulator`, so that nobody takes their data for real."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mcp import MCPError
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

from dataplatform.simulator.faults import Faults
from dataplatform.simulator.mcp.generations import Generation, UnknownToolError
from dataplatform.version import __version__

__all__ = ["SERVER_NAME", "mcp_server"]

SERVER_NAME: Final = "dataplatform-simulator"


def mcp_server(name: str, generations: Mapping[str, Generation], faults: Faults) -> Server[Any]:
    """Return the server of one of the generations; while a fault changes its tools, it has those of the other."""
    other = next(key for key in generations if key != name)

    def present() -> Generation:
        return generations[other if faults.change_tools(f"/mcp/{name}") else name]

    async def list_tools(context: ServerRequestContext[Any], params: PaginatedRequestParams | None) -> ListToolsResult:
        del context, params
        tools = [
            Tool(name=tool.name, description=tool.description, input_schema=tool.schema) for tool in present().tools()
        ]
        return ListToolsResult(tools=tools)

    async def call_tool(context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        del context
        try:
            result = await present().call(params.name, params.arguments or {})
        except UnknownToolError:
            raise MCPError(INTERNAL_ERROR, f"Unknown tool: {params.name}") from None
        return CallToolResult(content=[TextContent(type="text", text=result.text)], is_error=result.is_error)

    return Server(
        SERVER_NAME,
        version=__version__,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=lambda _: None,  # else the SDK lists the tools before each call, which would count
    )
