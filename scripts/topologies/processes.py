"""Write a topic into a table with several processes, each record exactly once.

`python scripts/topologies/processes.py --demo` does it on embedded servers, with prices made up here. All processes run
one topology, as members of one group among which the broker shares out the partitions. The table has no key that would
hide a row written twice: the positions that are stored with the rows rule that out.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from tempfile import TemporaryDirectory

import dataplatform as dp
from dataplatform.base.streaming import GetAssignment
from dataplatform.sources.redpanda import RedpandaSource, RedpandaSourceOptions
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

PROCESSES, PRICES, PATIENCE = 3, 10_000, 60.0
TOPIC, BEGIN, SECOND = {"prices": "crypto-prices"}, datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=1)
ROWS = "SELECT count(*), count(DISTINCT last_updated) FROM crypto_prices_log"


def work(servers: dp.DemoServers, number: int) -> list[int]:
    """Be one of the processes until all rows are there; return how many those are, and how many different ones."""
    source = RedpandaSourceOptions(client="redpanda", topics=TOPIC, partitions=PROCESSES, instance_id=f"no-{number}")
    topology = dp.Topology(
        clients={"redpanda": servers.redpanda, "timescale": servers.timescale},
        sources={"topic": dp.SourceSpec(RedpandaSource, source)},
        targets={"table": dp.TargetSpec(TimescaleTarget, TimescaleOptions(client="timescale", append=True))},
        routes=(dp.Route("topic", ("table",)),),
    )
    with TemporaryDirectory() as own, dp.Platform.start(topology, data_dir=own) as platform:
        ask = platform["topic.consumer"].ask
        platform.wait_until(lambda _: len(dp.get_data(ask(GetAssignment()))) == 1, PATIENCE)
        if number == 0:
            produce(servers.redpanda)  # now that each process has one of the partitions
        platform.wait_until(lambda now: dp.get_data(platform.sql(ROWS)).rows[0][0] >= PRICES, PATIENCE)
        ((topic, partition),) = dp.get_data(ask(GetAssignment()))
        print(f"process {number}: {topic}/{partition}, {platform.status().routes[0].written} rows written")
        return list(dp.get_data(platform.sql(ROWS)).rows[0])


def produce(redpanda: dp.RedpandaSettings) -> None:
    """Publish prices of a hundred coins, a second apart."""
    prices = [
        dp.CryptoPriceData(coin_id=f"coin-{n % 100}", symbol="c", usd_price=n, last_updated=BEGIN + n * SECOND, source="x")
        for n in range(PRICES)
    ]
    with dp.create_redpanda_market_data_writer(brokers=redpanda) as writer:
        dp.get_data(writer.publish_prices(prices).get(timeout=PATIENCE))


def main() -> int:
    """Run the processes; return 0 when each price has become exactly one row."""
    with dp.demo_servers() as servers, ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        *_, (rows, different) = pool.map(work, [servers] * PROCESSES, range(PROCESSES))
    print(f"{PRICES} prices produced: {rows} rows, {different} of them different")
    return 0 if rows == different == PRICES else 1


dp.configure_logs("console", "error")
if __name__ == "__main__":
    sys.exit(main())
