"""A platform with an MCP server, on simulated prices and a database of its own, for all tests here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from attrs import define, field

from dataplatform.base.mcp import McpSettings
from dataplatform.system.platform import Platform
from dataplatform.system.ports import free_port
from dataplatform.system.topology import parse_topology
from tests.integration.conftest import copied, data_dir, template
from tests.support.mcp_platforms import Offering, server_table, settings_for

__all__ = ["data_dir", "template"]

PATIENCE = 20.0  # seconds
OFFERING = Offering("https://api.coingecko.com/api/v3", "embedded")


@define(eq=False)
class Far:
    """The other platform, which can die and come back at the same address; its token has the rights to read and write."""

    data: Path
    port: int = field(factory=free_port)
    token: str = field(factory=lambda: secrets.token_urlsafe(32))
    platform: Platform = field(init=False)

    def start(self, more: str = "") -> None:
        topology = parse_topology(OFFERING.topology + server_table(self.token, self.port) + more)
        self.platform = Platform.start(topology, demo=True, data_dir=self.data)

    @property
    def settings(self) -> McpSettings:
        return settings_for(self.platform, self.token)

    def inject(self, **fault: object) -> None:
        """Have its CoinGecko answer wrongly."""
        base = self.platform.connections["gecko"].settings.base_url.removesuffix("/api/v3")
        requests.post(f"{base}/_simulator/faults", json=fault, timeout=PATIENCE).raise_for_status()


@contextmanager
def far_platform(template: Path) -> Iterator[Far]:
    with copied(template) as data:
        far = Far(data)
        far.start()
        try:
            yield far
        finally:
            far.platform.stop()


@pytest.fixture(scope="module")
def far(template: Path) -> Iterator[Far]:
    with far_platform(template) as far:
        yield far
