"""Ask the platform as an AI agent does: a session with its MCP server, no model needed.

`python scripts/topologies/agent_session.py --demo` starts `python -m dataplatform.system mcp` as a child process, on a
simulated CoinGecko, and speaks MCP with it over stdio, as the program around a model does. What the platform cannot
answer comes back as a tool's error that says what to do, and so the session mends its own slip.
"""

import asyncio
import json
import sys
from tempfile import TemporaryDirectory
from typing import Any

from mcp import Client, MCPError, StdioServerParameters
from mcp.types import TextResourceContents

COMMAND = ("-m", "dataplatform.system", "mcp", "--transport", "stdio", "--log-level", "error")
WIDTH, PATIENCE = 160, 60.0  # characters of an answer that are shown, seconds to wait for one


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any] | None:
    """Call a tool and write the transcript; return the data, None for an error."""
    answer = await client.call_tool(tool, arguments)
    text = " ".join(word for part in answer.content if part.type == "text" for word in part.text.split())
    print(f"> {tool} {json.dumps(arguments)}\n{'! ' if answer.is_error else '< '}{text:.{WIDTH}}")
    return None if answer.is_error else answer.structured_content


async def session(client: Client) -> bool:
    """Look around, ask, correct oneself, and see whether the answers can be relied on."""
    tools = (await client.list_tools()).tools
    print(f"{len(tools)} tools:", *(tool.name for tool in tools))
    prices = await call(client, "get_current_prices", coinIds=["bitcoin", "ethereum"])
    wrong = await call(client, "get_current_price", coinId="bitcoinn")
    right = await call(client, "get_current_price", coinId="bitcoin")
    status = await call(client, "status")
    for resource in (await client.read_resource("price://bitcoin")).contents:
        if isinstance(resource, TextResourceContents):
            print(f"> read {resource.uri}\n< {resource.text:.{WIDTH}}")
    return bool(prices and right and status) and wrong is None


async def main(*options: str) -> int:
    """Hold the session; return 1 when there was none, or an answer was not as it should be."""
    held = False
    with TemporaryDirectory() as own:
        server = StdioServerParameters(command=sys.executable, args=[*COMMAND, "--data-dir", own, *options])
        try:
            async with Client(server, read_timeout_seconds=PATIENCE) as client:
                held = await session(client)
        except* MCPError:
            print("the server cannot be talked to; what it says is above")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
