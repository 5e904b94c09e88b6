"""A demo whose CoinGecko is an MCP server: prices and analytics arrive in the tables."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.conftest import Start
from tests.integration.platforms import PricesTable, restarted, unbalanced

pytestmark = pytest.mark.long
TOPOLOGY = """
[clients.gecko]
kind = "mcp"
url = "https://mcp.api.coingecko.com/mcp"

[clients.timescale]
kind = "timescale"
dsn = "embedded"

[sources.coingecko]
kind = "coingecko"
client = "gecko"
feeds = [
    { operation = "get_current_prices", top = 50, every = "200ms" },
    { operation = "get_market_analytics", every = "200ms" },
]

[targets.database]
kind = "timescale"
client = "timescale"

[[routes]]
from = "coingecko"
to = ["database"]
"""


def test_prices_arrive_over_mcp(start: Start, data_dir: Path) -> None:
    topology = data_dir.with_name("mcp.toml")
    topology.write_text(TOPOLOGY, encoding="utf-8")
    process = start(str(topology), "--demo")
    process.ready()
    with closing(PricesTable.of(data_dir)) as table:
        table.wait_for(100, "source = 'simulator'")
        assert table.count("source <> 'simulator'") == 0
    assert process.stop() == 0
    report = process.report()
    assert (unbalanced(report), restarted(report)) == ([], {})
    tables = {one["name"]: one["rows"] for one in report["tables"]}
    assert tables["market_analytics"] >= 1
