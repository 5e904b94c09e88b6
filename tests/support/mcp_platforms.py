"""Platforms with an MCP server, as others meet them: in this process over HTTP, or as a program of their own."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from dataplatform.base.mcp import McpSettings
from dataplatform.services.gateway.options import digest
from dataplatform.system.config.topology import parse_topology
from dataplatform.system.platform.platform import Platform
from tests.support.waiting import DEADLINE

__all__ = ["Offering", "as_program", "offered", "server_table", "settings_for"]

CALL = DEADLINE
TOPOLOGY = """
[clients.gecko]
kind = "http"
base_url = {rest}

[clients.timescale]
kind = "timescale"
dsn = {dsn}

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
"""


@frozen
class Offering:
    """What a platform has to offer: a CoinGecko (REST) and a database."""

    rest: str
    dsn: str

    @property
    def topology(self) -> str:
        return TOPOLOGY.format(rest=json.dumps(self.rest), dsn=json.dumps(self.dsn))


def server_table(port: int = 0, **tokens: str) -> str:
    """Return the table of an MCP server that lets these tokens in, by the right that each has besides reading."""
    lines = [
        f'{{ name = "{right}", sha256 = "{digest(token)}", rights = ["read", "{right}"], rate_per_minute = 100_000 }}'
        for right, token in tokens.items()
    ]
    return (
        f'\n[services.mcp]\nkind = "gateway"\nport = {port}\nallow_writes = true\ntokens = [\n    '
        + ",\n    ".join(lines)
        + ",\n]\n"
    )


def settings_for(platform: Platform, token: str) -> McpSettings:
    """Return the settings of a client of a running platform's MCP server."""
    status = platform.address("mcp").status()
    assert status is not None
    url = f"http://127.0.0.1:{status.counters['port']}/mcp"
    return McpSettings(url=url, headers={"Authorization": f"Bearer {token}"}, call_timeout=CALL)


@contextmanager
def offered(offering: Offering, data_dir: Path) -> Iterator[McpSettings]:
    """Run a platform here, and return the settings of a client that has a token."""
    token = secrets.token_urlsafe(32)
    topology = parse_topology(offering.topology + server_table(write=token))
    with Platform.start(topology, data_dir=data_dir) as platform:
        yield settings_for(platform, token)


def as_program(offering: Offering, folder: Path) -> McpSettings:
    """Return the settings of a client that starts a platform of its own, and speaks with it over stdio."""
    topology = folder / "offered.toml"
    topology.write_text(offering.topology, encoding="utf-8")
    arguments = ["mcp", "--transport", "stdio", "--allow-writes", "--data-dir", str(folder / "data"), str(topology)]
    command = (sys.executable, "-m", "dataplatform.system", *arguments)
    return McpSettings(transport="stdio", command=command[0], args=command[1:], connect_timeout=CALL, call_timeout=CALL)
