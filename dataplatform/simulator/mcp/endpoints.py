"""The MCP servers over HTTP: `/mcp/static/mcp` and `/mcp/code/mcp`, and by the older transport at `…/sse`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

from attrs import frozen
from mcp.server import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

__all__ = ["serving"]

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@asynccontextmanager
async def serving(servers: Mapping[str, Server[Any]], host: str) -> AsyncIterator[Starlette]:
    """Give an application that serves the MCP servers, each below its name, on a machine reached as `host`."""
    security = _security(host)
    routes: list[Mount] = []
    async with AsyncExitStack() as stack:
        stack.enter_context(_unlogged())
        for name, server in servers.items():
            manager = StreamableHTTPSessionManager(server, stateless=True, security_settings=security)
            await stack.enter_async_context(manager.run())
            sse = SseServerTransport("/messages/", security_settings=security)
            below = [
                Route("/mcp", StreamableHTTPASGIApp(manager)),
                Route("/sse", _Sse(server, sse), methods=["GET"]),
                Mount("/messages/", app=sse.handle_post_message),
            ]
            routes.append(Mount(f"/{name}", routes=below))
        yield Starlette(routes=routes)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the SDK from setting up logging on standard error, which its first message to the root logger would do."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


@frozen
class _Sse:
    """Serves one client for as long as it listens."""

    server: Server[Any]
    transport: SseServerTransport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ValueError):  # refused by the security settings, and answered so
            async with self.transport.connect_sse(scope, receive, send) as (received, sent):
                await self.server.run(received, sent, self.server.create_initialization_options())


def _security(host: str) -> TransportSecuritySettings:
    """Refuse what a page of another site makes a browser send: only this machine's names are served, and `host`."""
    bracketed = f"[{host}]" if ":" in host else host
    hosts = [f"{name}:*" for name in dict.fromkeys((*_LOOPBACK, bracketed))]
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{name}" for name in hosts])
