"""Write a topic into a table with several processes, each record exactly once.

`python scripts/topologies/processes.py --demo` does it on embedded servers; else they are DATABASE_URL's and BROKERS'.
All processes run one topology, as members of one group among which the broker shares out the partitions. Their log has
no key that would hide a row written twice: the positions that are stored with the rows rule it out.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataplatform import CryptoPriceData, Platform, RedpandaSettings, Route, SourceSpec, TargetSpec, TimescaleSettings
from dataplatform import Topology, configure_logs, create_redpanda_market_data_writer, demo_servers, get_data, is_failure
from dataplatform.base.streaming import GetAssignment
from dataplatform.sources.redpanda import RedpandaSource, RedpandaSourceOptions
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

PROCESSES, PRICES, PATIENCE = 3, 10_000, 60.0
TOPICS, LOG = {"prices": "shared-prices"}, {"prices": "shared_prices_log"}


def topology(redpanda: RedpandaSettings, timescale: TimescaleSettings, number: int) -> Topology:
    source = RedpandaSourceOptions(client="redpanda", topics=TOPICS, group="shared", instance_id=f"member-{number}")
    target = TimescaleOptions(client="timescale", append=True, tables=LOG)
    return Topology(
        clients={"redpanda": redpanda, "timescale": timescale},
        sources={"topic": SourceSpec(RedpandaSource, source)},
        targets={"log": TargetSpec(TimescaleTarget, target)},
        routes=(Route("topic", ("log",)),),
    )


def work(redpanda: RedpandaSettings, timescale: TimescaleSettings, number: int, joined: threading.Barrier, since: datetime) -> str:
    """Run one member until all rows of this run are there, whoever has written them; return its account."""
    configure_logs("console", "error")
    with tempfile.TemporaryDirectory() as own, Platform.start(topology(...), data_dir=Path(own)) as platform:
        ...
