"""The MCP client agent: the tools of any MCP server, over any transport, every failure a value."""

from dataplatform.base.mcp.client import McpClient
from dataplatform.base.mcp.messages import CallAnyOf, CallTool, ListTools, ServerIdentity, ServerInfo, Tool, ToolAnswer
from dataplatform.base.mcp.settings import McpSettings

__all__ = [
    "CallAnyOf",
    "CallTool",
    "ListTools",
    "McpClient",
    "McpSettings",
    "ServerIdentity",
    "ServerInfo",
    "Tool",
    "ToolAnswer",
]
