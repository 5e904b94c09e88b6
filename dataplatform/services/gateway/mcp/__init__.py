"""MCP at the gateway: the platform's operations as tools for AI agents, over HTTP or standard input and output."""
