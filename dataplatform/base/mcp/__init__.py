"""The MCP client agent: the tools of any MCP server, over any transport, every failure a value."""

from typing import TYPE_CHECKING

from dataplatform.faces import face

if TYPE_CHECKING:
    from dataplatform.base.mcp.client import McpClient
    from dataplatform.base.mcp.messages import (
        CallAnyOf,
        CallTool,
        ListTools,
        ServerIdentity,
        ServerInfo,
        Tool,
        ToolAnswer,
    )
    from dataplatform.base.mcp.settings import McpSettings
else:
    __getattr__, __dir__ = face(__name__)

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
