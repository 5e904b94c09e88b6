"""The MCP server: the platform's operations as tools for AI agents, over HTTP or standard input and output."""

from dataplatform.services.mcp_server.options import McpServerOptions, TokenOptions
from dataplatform.services.mcp_server.service import McpService

__all__ = ["McpServerOptions", "McpService", "TokenOptions"]
