"""One CoinGecko source over several transports, at a time that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dataplatform.base.agent import Agent, ManualClock
from dataplatform.base.http import HttpClient, HttpSettings
from dataplatform.base.mcp import McpClient, McpSettings
from dataplatform.dsl.operations.parts import Connection
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.simulator import Simulator
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource
from dataplatform.sources.coingecko.transports import TRANSPORTS
from tests.support.solo import Solo, solo

__all__ = ["CLIENTS", "NOON", "clocked", "over", "rest", "stdio"]

NOON = datetime(2026, 5, 18, 12, 49, 21, tzinfo=UTC)
CLIENTS: dict[str, type[Agent]] = {"http": HttpClient, "mcp": McpClient}


@contextmanager
def clocked(now: datetime = NOON) -> Iterator[tuple[Solo, ManualClock]]:
    """Run agents on a clock that stands still."""
    clock = ManualClock(now)
    with solo(clock) as agents:
        yield agents, clock


def rest(simulator: Simulator, **settings: Any) -> HttpSettings:
    return HttpSettings(base_url=simulator.base_url, attempts=1, **settings)


def stdio(command: str, *arguments: str, **settings: Any) -> McpSettings:
    return McpSettings(transport="stdio", command=command, args=arguments, **settings)


def over(agents: Solo, name: str, settings: HttpSettings | McpSettings, **options: Any) -> ReaderProxy:
    """Start a source as a topology does, over the transport that the client's settings are for."""
    kind = "http" if isinstance(settings, HttpSettings) else "mcp"
    client = f"{name}-client"
    agents.start(client, CLIENTS[kind], settings)
    made = CoinGeckoOptions(client=client, **options)
    connection = Connection(client, kind, settings, (client,))
    assert CoinGeckoSource.part(name, made, connection, None).client == client
    transport = TRANSPORTS[type(settings)](settings)
    return ReaderProxy(agents.start(name, CoinGeckoSource, made, client, None, transport))
