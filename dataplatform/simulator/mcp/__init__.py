"""The simulator as an MCP server, in the two generations of tools that CoinGecko's own has had."""
