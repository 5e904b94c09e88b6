"""Layer 1: raw capability without market data: agents, database, streaming, HTTP, MCP, embedded servers."""
