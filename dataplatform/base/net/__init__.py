"""What the HTTP and the MCP client share: the meaning of refusals, the pauses that servers ask for, and proxies."""
