"""A platform on simulated prices with an MCP server, and its clients as a test uses them from its own thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import requests
from anyio.from_thread import BlockingPortal
from attrs import frozen
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent, Tool

from dataplatform.base.agent import Address
from dataplatform.services.gateway.mcp.failures import ERROR
from dataplatform.system.platform.platform import Platform
from tests.support.waiting import DEADLINE

PATIENCE = DEADLINE
TOKENS = {
    "everything": ["read", "write", "operate"],
    "reader": ["read"],
    "writer": ["write"],
    "seldom": ["read"],
    "rare": ["read"],
}
TOPOLOGY = """
[clients.gecko]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"

[clients.timescale]
kind = "timescale"
dsn = "embedded"

[sources.coingecko]
kind = "coingecko"
client = "gecko"

[sources.history]
kind = "timescale"
client = "timescale"
simulated = true

[targets.database]
kind = "timescale"
client = "timescale"

[services.mcp]
kind = "gateway"
port = 0
allow_writes = true
max_body = "64KiB"
max_sessions = 30
timeout = "10s"
tokens = [
    {tokens}
]

[[routes]]
from = "coingecko"
to = ["database"]
"""


@frozen
class Session:
    """A connected client."""

    portal: BlockingPortal
    client: Client

    def tools(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self.portal.call(self.client.list_tools).tools}

    def call(self, name: str, arguments: Mapping[str, Any] | None = None, progress: Any = None) -> CallToolResult:
        result: CallToolResult = self.begin(name, arguments, progress).result(PATIENCE)
        return result

    def begin(self, name: str, arguments: Mapping[str, Any] | None = None, progress: Any = None) -> Future[Any]:
        """Call a tool, and wait for its answer elsewhere."""

        async def call() -> CallToolResult:
            return await self.client.call_tool(name, dict(arguments or {}), progress_callback=progress)

        return self.portal.start_task_soon(call)

    def answer(self, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Return what a tool answers, which must be no error."""
        result = self.call(name, arguments)
        assert not result.is_error, result.content
        return result.structured_content

    def error(self, name: str, arguments: Mapping[str, Any] | None = None) -> tuple[str, str]:
        """Return the code and the text of a tool's error."""
        return error_of(self.call(name, arguments))


def error_of(result: CallToolResult) -> tuple[str, str]:
    assert result.is_error, result.structured_content
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert result.meta is not None
    return result.meta[ERROR]["code"], content.text


@frozen
class Served:
    """The platform, the address of its MCP server, and a token of each kind."""

    platform: Platform
    portal: BlockingPortal
    tokens: Mapping[str, str]

    @property
    def service(self) -> Address:
        return self.platform.address("mcp")

    @property
    def url(self) -> str:
        status = self.service.status()
        assert status is not None
        return f"http://127.0.0.1:{status.counters['port']}/mcp"

    def asked(self) -> int:
        """Return how many questions the service has put to sources and targets."""
        status = self.service.status()
        assert status is not None
        return status.counters["asked"]

    def sent(self) -> int:
        """Return how many requests went to CoinGecko and to the database."""
        statuses = [self.platform.address(name).status() for name in self.platform.runtime.directory.names()]
        clients = [status for status in statuses if status is not None and status.kind == "client"]
        return sum(status.counters.get("requests", 0) + status.counters.get("rows", 0) for status in clients)

    @contextmanager
    def connected(
        self, who: str = "everything", mode: str = "auto", hear: Callable[[Any], Any] | None = None
    ) -> Iterator[Session]:
        """Connect with a token; `mode` is the protocol's: `auto` is the newest, `legacy` the one of handshakes."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}

        @asynccontextmanager
        async def connection() -> AsyncIterator[Client]:
            async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(PATIENCE)) as http:
                wire = streamable_http_client(self.url, http_client=http)
                options: Any = {"cache": None, "mode": mode, "message_handler": hear}
                async with Client(wire, read_timeout_seconds=PATIENCE, **options) as client:
                    yield client

        with self.portal.wrap_async_context_manager(connection()) as client:
            yield Session(self.portal, client)

    def post(self, body: bytes, **headers: str) -> requests.Response:
        """Send a request by hand."""
        usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        return requests.post(self.url, data=body, headers=usual | headers, timeout=PATIENCE)

    def inject(self, **fault: Any) -> None:
        """Have the simulator answer wrongly, until `heal`."""
        requests.post(f"{self._simulator}/_simulator/faults", json=fault, timeout=PATIENCE).raise_for_status()

    def heal(self) -> None:
        requests.delete(f"{self._simulator}/_simulator/faults", timeout=PATIENCE).raise_for_status()

    def simulated_price(self, coin: str) -> float:
        """Return the price that the simulator has now."""
        url = f"{self._simulator}/api/v3/coins/markets?ids={coin}&vs_currency=usd"
        price: float = requests.get(url, timeout=PATIENCE).json()[0]["current_price"]
        return price

    @property
    def _simulator(self) -> str:
        url: str = self.platform.connections["gecko"].settings.base_url
        return url.removesuffix("/api/v3")
