"""One platform with an MCP server for all tests here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from dataplatform.services.gateway.options import digest
from dataplatform.system.config.topology import parse_topology
from dataplatform.system.platform.platform import Platform
from tests.integration.conftest import copied, data_dir, template
from tests.services.gateway.mcp.served import TOKENS, TOPOLOGY, Served, Session

__all__ = ["data_dir", "template"]


@pytest.fixture(scope="module")
def running(template: Path) -> Iterator[Served]:
    tokens = {name: secrets.token_urlsafe(32) for name in TOKENS}
    lines = [
        f'{{ name = "{name}", sha256 = "{digest(tokens[name])}", rights = {rights}'
        f", rate_per_minute = {6 if name in {'seldom', 'rare'} else 60_000} }},"
        for name, rights in TOKENS.items()
    ]
    topology = parse_topology(TOPOLOGY.replace("{tokens}", "\n    ".join(lines)))
    with (
        copied(template) as data,
        Platform.start(topology, demo=True, data_dir=data) as platform,
        start_blocking_portal() as portal,
    ):
        yield Served(platform, portal, tokens)


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    yield running
    running.heal()


@pytest.fixture
def session(served: Served) -> Iterator[Session]:
    with served.connected() as session:
        yield session
