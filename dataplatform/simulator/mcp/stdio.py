"""The MCP servers over standard input and output, for whoever starts them as a child process."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
from mcp.server.stdio import stdio_server

from dataplatform.simulator.api import Api
from dataplatform.simulator.faults import Fault, Faults
from dataplatform.simulator.market import Market
from dataplatform.simulator.mcp.generations import generations
from dataplatform.simulator.mcp.server import mcp_server

__all__ = ["serve_stdio"]


def serve_stdio(name: str, market: Market, faults: Iterable[Fault] = (), *, wrapped: bool = False) -> None:
    """Serve one generation until the input ends, with the given faults switched on."""
    registry = Faults()
    for fault in faults:
        registry.inject(fault)
    api = Api(market, registry, record=lambda *_: None)
    server = mcp_server(name, generations(api, wrapped=wrapped), registry)

    async def serve() -> None:
        async with stdio_server() as (received, sent):
            await server.run(received, sent, server.create_initialization_options())

    anyio.run(serve)
