"""Write a topic into a table with several processes, each record exactly once.

`python scripts/topologies/processes.py --demo` does it on embedded servers, with prices made up here. All processes run
one topology, as members of one group, among which the broker shares out the partitions. The table has no key that would
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
TOPIC, BEGIN = {"prices": "crypto-prices"}, datetime(2026, 1, 1, tzinfo=UTC)


def work(servers: dp.DemoServers, number: int) -> tuple[int, int]:
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
        if number == 0:  # by now each process has one of the partitions
            with dp.create_redpanda_market_data_writer(brokers=servers.redpanda) as writer:
                dp.get_data(writer.publish_prices([price(n) for n in range(PRICES)]).get(timeout=PATIENCE))
        platform.wait_until(lambda _: rows(platform)[0] >= PRICES, PATIENCE)
        share = " ".join(f"{topic}/{partition}" for topic, partition in dp.get_data(ask(GetAssignment())))
        print(f"process {number}: {share}, {platform.status().routes[0].written} rows written")
        return rows(platform)


def rows(platform: dp.Platform) -> tuple[int, int]:
    answer = platform.sql("SELECT count(*), count(DISTINCT last_updated) FROM crypto_prices_log")
    return (0, 0) if dp.is_failure(answer) else answer.data.rows[0]  # there is no table before the first row


def price(n: int) -> dp.CryptoPriceData:
    at = BEGIN + timedelta(seconds=n)
    return dp.CryptoPriceData(coin_id=f"coin-{n % 100}", symbol="c", usd_price=n, last_updated=at, source="script")


dp.configure_logs("console", "error")
if __name__ == "__main__":
    with dp.demo_servers() as servers, ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        *_, (stored, different) = pool.map(work, [servers] * PROCESSES, range(PROCESSES))
    print(f"{PRICES} prices produced: {stored} rows, {different} of them different")
    sys.exit(0 if stored == different == PRICES else 1)
