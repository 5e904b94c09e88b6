"""A platform with an MCP server, on simulated prices and a database of its own, for all tests here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from attrs import define, field

from dataplatform.base.mcp import McpSettings
from dataplatform.base.net.ports import free_port
from dataplatform.system.config.topology import parse_topology
from dataplatform.system.platform.platform import Platform
from tests.integration.conftest import copied, data_dir, template
from tests.support.mcp_platforms import Offering, server_table, settings_for
from tests.support.waiting import DEADLINE

__all__ = ["data_dir", "template"]

PATIENCE = DEADLINE
OFFERING = Offering("https://api.coingecko.com/api/v3", "embedded")


def new_token() -> str:
    return secrets.token_urlsafe(32)


@define(eq=False)
class Far:
    """The other platform, which can stop and come back at the same address.

    Who has its token may read and write, who has the other one read and see how it does.
    """

    data: Path
    port: int = field(factory=free_port)
    token: str = field(factory=new_token)
    other_token: str = field(factory=new_token)
    platform: Platform = field(init=False)

    def start(self) -> None:
        table = server_table(self.port, write=self.token, operate=self.other_token)
        topology = parse_topology(OFFERING.topology + table)
        self.platform = Platform.start(topology, demo=True, data_dir=self.data)

    @property
    def settings(self) -> McpSettings:
        return settings_for(self.platform, self.token)

    @property
    def simulator(self) -> str:
        """The URL of its CoinGecko."""
        url: str = self.platform.connections["gecko"].settings.base_url
        return url.removesuffix("/api/v3")

    def inject(self, **fault: object) -> None:
        """Have its CoinGecko answer wrongly."""
        requests.post(f"{self.simulator}/_simulator/faults", json=fault, timeout=PATIENCE).raise_for_status()


@pytest.fixture(scope="module")
def far(template: Path) -> Iterator[Far]:
    with copied(template) as data:
        far = Far(data)
        far.start()
        try:
            yield far
        finally:
            far.platform.stop()
