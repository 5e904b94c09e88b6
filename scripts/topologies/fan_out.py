"""Write what one source reads to three targets: a table with a row for each price, a log, and a topic.

`python scripts/topologies/fan_out.py --demo` does it on a simulated CoinGecko; the servers are embedded either way.
The table is updated by key, the log gets a row for each record. A batch is settled when all three have written it.
"""

import sys
from tempfile import TemporaryDirectory

import dataplatform as dp
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource, FeedOptions
from dataplatform.targets.redpanda import RedpandaTarget, RedpandaTargetOptions
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

COINS = 100
FEED = FeedOptions(operation="get_current_prices", top=COINS, every=60.0)
TOPOLOGY = dp.Topology(
    clients={
        "coingecko-http": dp.HttpSettings(base_url="https://api.coingecko.com/api/v3", rate_per_minute=5),
        "redpanda": dp.RedpandaSettings(["embedded"]),
        "timescale": dp.TimescaleSettings("embedded"),
    },
    sources={"coingecko": dp.SourceSpec(CoinGeckoSource, CoinGeckoOptions(client="coingecko-http", feeds=(FEED,)))},
    targets={
        "table": dp.TargetSpec(TimescaleTarget, TimescaleOptions(client="timescale")),
        "log": dp.TargetSpec(TimescaleTarget, TimescaleOptions(client="timescale", append=True)),
        "topic": dp.TargetSpec(RedpandaTarget, RedpandaTargetOptions(client="redpanda")),
    },
    routes=(dp.Route("coingecko", ("table", "log", "topic")),),
)


def main(*, demo: bool) -> int:
    """Run until each target has the prices of one poll; return 1 when that took too long or could not begin."""
    dp.configure_logs("console", "error")
    try:
        with TemporaryDirectory() as own, dp.Platform.start(TOPOLOGY, demo=demo, data_dir=own) as platform:
            done = platform.wait_until(lambda now: all(to.written >= COINS for to in now.routes), timeout=120)
    except dp.PlatformError as error:
        print(f"it could not be started: {error}")
        return 1
    for to in platform.status().routes:
        print(f"{to.source} -> {to.target}: {to.read} read, {to.written} written, {to.dead_lettered} dead letters")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(demo=dp.demo_option(__doc__)))
