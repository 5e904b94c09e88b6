"""Write what one source reads to three targets: the rows of a table, the rows of a log, and a topic.

`python scripts/topologies/fan_out.py --demo` does it on a simulated CoinGecko; the servers are embedded either way.
The table is updated by key, the log gets a row for each record. A batch is settled when all three have written it.
"""

from __future__ import annotations

import sys

from dataplatform import (
    HttpSettings,
    Platform,
    PlatformError,
    RedpandaSettings,
    Route,
    SourceSpec,
    TargetSpec,
    TimescaleSettings,
    Topology,
    configure_logs,
)
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource, FeedOptions
from dataplatform.targets.redpanda import RedpandaTarget, RedpandaTargetOptions
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

COINS = 100
FEED = FeedOptions(operation="get_current_prices", top=COINS, every=60.0)
TOPOLOGY = Topology(
    clients={
        "coingecko-http": HttpSettings(base_url="https://api.coingecko.com/api/v3", rate_per_minute=5),
        "redpanda": RedpandaSettings(["embedded"]),
        "timescale": TimescaleSettings("embedded"),
    },
    sources={"coingecko": SourceSpec(CoinGeckoSource, CoinGeckoOptions(client="coingecko-http", feeds=(FEED,)))},
    targets={
        "table": TargetSpec(TimescaleTarget, TimescaleOptions(client="timescale")),
        "log": TargetSpec(TimescaleTarget, TimescaleOptions(client="timescale", append=True)),
        "topic": TargetSpec(RedpandaTarget, RedpandaTargetOptions(client="redpanda")),
    },
    routes=(Route("coingecko", ("table", "log", "topic")),),
)


def main(*, demo: bool) -> int:
    """Run until every target has the prices of one poll; return 1 when that did not happen within two minutes."""
    configure_logs("console", "error")
    try:
        with Platform.start(TOPOLOGY, demo=demo) as platform:
            done = platform.wait_until(lambda now: all(route.written >= COINS for route in now.routes), timeout=120)
    except PlatformError as error:
        print(f"it could not be started: {error}")
        return 1
    for to in platform.status().routes:
        print(f"{to.source} -> {to.target}: {to.read} read, {to.written} written, {to.dead_lettered} dead letters")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(demo="--demo" in sys.argv[1:]))
