"""Two platforms: records go from one to the other and back through the MCP server of one, also over its restart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from dataplatform.result import is_failure
from dataplatform.services.service import PlatformStatus
from dataplatform.system.cli.check import wiring
from dataplatform.system.config.topology import Topology, parse_topology
from dataplatform.system.platform.platform import Platform
from tests.integration.conftest import copied
from tests.integration.platforms import restarted, unbalanced
from tests.sources.mcp.conftest import PATIENCE, Far

pytestmark = pytest.mark.long

TOPOLOGY = """
[clients.far]
kind = "mcp"
url = {url}
headers = {{ Authorization = {bearer} }}
call_timeout = "20s"

[clients.gecko]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"

[clients.timescale]
kind = "timescale"
dsn = "embedded"

[sources.theirs]
kind = "mcp"
client = "far"
source = "coingecko"
feeds = [
    {{ operation = "get_current_prices", top = 20, every = "200ms" }},
    {{ operation = "get_market_analytics", every = "200ms" }},
]

[sources.ours]
kind = "coingecko"
client = "gecko"
feeds = [{{ operation = "get_current_prices", coins = ["dogecoin", "solana", "cardano"], every = "200ms" }}]

[targets.here]
kind = "timescale"
client = "timescale"

[targets.there]
kind = "mcp"
client = "far"
target = "database"
max_items = 2

[[routes]]
from = "theirs"
to = ["here"]

[[routes]]
from = "ours"
to = ["there"]
"""
COINS = "select distinct coin_id from crypto_prices"
OTHERS = "select count(*) from crypto_prices where source <> 'simulator'"
NEWEST = "select max(last_updated) from crypto_prices"


def topology(far: Far) -> Topology:
    url, bearer = json.dumps(far.settings.url), json.dumps(f"Bearer {far.token}")
    return parse_topology(TOPOLOGY.format(url=url, bearer=bearer))


@pytest.fixture(scope="module")
def near(far: Far, template: Path) -> Iterator[Platform]:
    with copied(template) as data, Platform.start(topology(far), demo=True, data_dir=data) as platform:
        yield platform


def degraded(status: PlatformStatus) -> set[str]:
    return {agent.name for agent in status.agents if agent.shown == "degraded"}


def rows(platform: Platform, select: str, reached: Callable[[list[object]], bool]) -> list[object]:
    """Query until the first column of the answer is as it should be, and return it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = platform.sql(select)
        found = [] if is_failure(answer) else [row[0] for row in answer.data.rows]
        if reached(found):
            return found
        assert time.monotonic() < deadline, answer


def test_in_a_demo_another_platform_is_no_simulator(far: Far) -> None:
    lines = list(wiring(topology(far), demo=True))
    assert any(line.startswith("client  far ") and "simulator" not in line for line in lines), lines


def test_dead_letters_stay_here_unless_a_topology_says_otherwise(far: Far) -> None:
    known = topology(far)
    targets = {name: known.targets[name] for name in ("there", "here")}
    assert evolve(known, targets=targets).dead_letters == "here"
    assert evolve(known, targets={"there": targets["there"]}).dead_letters == "there"


def test_prices_and_analytics_of_the_other_platform_arrive_in_our_tables(near: Platform) -> None:
    rows(near, COINS, lambda coins: len(coins) == 20 and "bitcoin" in coins)
    rows(near, "select count(*) from market_analytics where source = 'simulator'", lambda found: found > [0])
    assert rows(near, OTHERS, bool) == [0]


def test_our_prices_arrive_in_the_tables_of_the_other_platform(far: Far, near: Platform) -> None:
    rows(far.platform, COINS, lambda coins: set(coins) == {"dogecoin", "solana", "cardano"})
    assert rows(far.platform, OTHERS, bool) == [0]


def test_both_ways_go_on_when_the_other_platform_is_back_and_nothing_is_lost(far: Far, near: Platform) -> None:
    far.platform.stop()
    try:
        assert near.wait_until(lambda status: {"there", "theirs"} <= degraded(status), PATIENCE)
    finally:
        far.start()
    (there,), (here,) = rows(far.platform, NEWEST, bool), rows(near, NEWEST, bool)
    rows(far.platform, NEWEST, lambda newest: newest > [there])
    rows(near, NEWEST, lambda newest: newest > [here])
    near.stop()
    report = near.report("ok")
    assert (unbalanced(report), restarted(report)) == ([], {})
