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

PROCESSES, PRICES, BEGIN = 3, 10_000, datetime(2026, 1, 1, tzinfo=UTC)
TOPIC, TABLE = {"prices": "crypto-prices"}, TimescaleOptions(client="timescale", append=True)
ROWS = "SELECT count(*), count(DISTINCT last_updated) FROM crypto_prices_log"


def work(servers: dp.DemoServers, number: int) -> tuple[int, int]:
    """Be one of the processes until the rows of all are there; return how many there are, and how many different."""
    source = RedpandaSourceOptions(client="redpanda", topics=TOPIC, partitions=PROCESSES, instance_id=f"no-{number}")
    topology = dp.Topology(
        clients={"redpanda": servers.redpanda, "timescale": servers.timescale},
        sources={"topic": dp.SourceSpec(RedpandaSource, source)},
        targets={"table": dp.TargetSpec(TimescaleTarget, TABLE)},
        routes=(dp.Route("topic", ("table",)),),
    )
    dp.configure_logs("console", "error")
    with TemporaryDirectory() as own, dp.Platform.start(topology, data_dir=own) as platform:
        ask = platform["topic.consumer"].ask
        platform.wait_until(lambda _: len(dp.get_data(ask(GetAssignment()))) == 1, timeout=60)
        if number == 0:  # by now every process has one of the partitions
            produce(servers.redpanda)
        platform.wait_until(lambda _: dp.is_success(now := platform.sql(ROWS)) and now.data.rows[0][0] >= PRICES, 60)
        mine, written = dp.get_data(ask(GetAssignment())), platform.status().routes[0].written
        print(f"process {number}: {mine[0][0]}/{mine[0][1]}, {written} rows written")
        return dp.get_data(platform.sql(ROWS)).rows[0]


def produce(redpanda: dp.RedpandaSettings) -> None:
    times = (BEGIN + timedelta(seconds=number) for number in range(PRICES))
