"""Topologies written in Python: the settings of a client stand for it, and a demo leads what asks CoinGecko aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from dataplatform import (
    BaseReader,
    HttpSettings,
    McpSettings,
    RedpandaSettings,
    SourceOptions,
    SourceSpec,
    TimescaleSettings,
    Topology,
)
from dataplatform.system.config.topology import ClientSpec, parse_topology
from dataplatform.system.platform.servers import Servers, simulated

WRITTEN = """
[clients.gecko]
kind = "http"
base_url = "https://api.example/v3"

[clients.db]
kind = "timescale"
dsn = "postgresql://db"
"""
HTTP, DATABASE = HttpSettings(base_url="https://api.example/v3"), TimescaleSettings("postgresql://db")


class Quotes(BaseReader):
    """A source of somebody's own."""

    client_kind = "http"
    Options = SourceOptions


def of_client(settings: HttpSettings | McpSettings) -> Topology:
    return Topology(clients={"gecko": settings}, sources={"quotes": SourceSpec(Quotes, SourceOptions(client="gecko"))})


def test_settings_stand_for_the_client_that_has_them() -> None:
    topology = of_client(HTTP)
    assert topology.clients == {"gecko": ClientSpec("http", HTTP)}
    assert topology.check() == []


def test_a_file_and_python_say_the_same() -> None:
    sources = of_client(HTTP).sources
    parsed = evolve(parse_topology(f'{WRITTEN}[sources.q]\nkind = "coingecko"\nclient = "gecko"'), sources=sources)
    assert Topology(clients={"gecko": HTTP, "db": DATABASE}, sources=sources) == parsed


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (HTTP, "http"),
        (McpSettings(url="https://mcp.example/mcp"), "mcp"),
        (RedpandaSettings(["embedded"]), "redpanda"),
        (DATABASE, "timescale"),
    ],
)
def test_each_kind_of_settings_makes_a_client_of_its_kind(settings: Any, kind: str) -> None:
    assert Topology(clients={"it": settings, "same": ClientSpec(kind, settings)}).clients["it"] == ClientSpec(
        kind, settings
    )


@pytest.mark.parametrize(
    "settings",
    [
        HttpSettings(base_url="https://api.coingecko.com/api/v3"),
        HttpSettings(base_url="https://pro-api.CoinGecko.com/api/v3", api_key="CG-secret"),
        McpSettings(url="https://mcp.api.coingecko.com/mcp"),
    ],
    ids=["keyless", "keyed", "mcp"],
)
def test_a_demo_leads_any_client_of_coingecko_to_the_simulator(settings: Any, tmp_path: Path) -> None:
    placed = Servers().join(of_client(settings), tmp_path, demo=True).clients["gecko"].settings
    assert (getattr(placed, "base_url", None) or placed.url).startswith("http://127.0.0.1:")
    assert "CG-secret" not in getattr(placed, "secrets", ())


@pytest.mark.parametrize("host", ["api.example", "notcoingecko.com", "coingecko.com.example"])
def test_a_demo_leaves_other_hosts_alone(host: str) -> None:
    assert simulated(of_client(HttpSettings(base_url=f"https://{host}/v3"))) == set()
