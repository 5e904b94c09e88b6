"""How many prices a second go from a topic into a table, by the platform and by a loop written by hand."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from statistics import median
from typing import Any

import psycopg2
from attrs import evolve, frozen
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from dataplatform import Platform, Topology
from dataplatform.base.database import TimescaleSettings
from dataplatform.base.streaming import RedpandaSettings, TopicSpec, ensure_topics
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.dsl.storage.tables import table_of
from dataplatform.sources.redpanda import RedpandaSource, RedpandaSourceOptions
from dataplatform.system.config.specs import ClientSpec, Route, SourceSpec, TargetSpec
from dataplatform.system.platform.demo import DemoServers, demo_servers
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

PARTITIONS, COINS = 4, 250
POLL = 5_000  # records
LONGEST = 600.0  # seconds
SPEC = table_of(PRICES)
START = datetime(2026, 1, 1, tzinfo=UTC)


@frozen
class Place:
    """The servers, and a topic full of prices."""

    redpanda: RedpandaSettings
    timescale: TimescaleSettings
    topic: str
    records: int

    @contextmanager
    def database(self) -> Iterator[Any]:
        """Connect to the database, with its table empty."""
        with closing(psycopg2.connect(self.timescale.dsn)) as session, session.cursor() as cursor:
            session.autocommit = True
            cursor.execute("DROP TABLE IF EXISTS stream_positions")
            cursor.execute(f"DROP TABLE IF EXISTS {SPEC.quoted_name} CASCADE")
            for statement in SPEC.create:
                cursor.execute(statement)
            yield session


def fill(servers: DemoServers, topic: str, count: int) -> Place:
    """Publish prices of 250 coins, a second apart, as the platform publishes them."""
    assert ensure_topics(servers.redpanda, [TopicSpec(topic, PARTITIONS)]) is None
    producer = KafkaProducer(
        bootstrap_servers=list(servers.redpanda.brokers), compression_type="lz4", batch_size=256 * 1024, linger_ms=20
    )
    wire = codec(PRICES)
    for first in range(0, count, 10_000):
        prices = [price(number) for number in range(first, min(first + 10_000, count))]
        for one, value in zip(prices, wire.encode(prices), strict=True):
            producer.send(topic, key=one.coin_id.encode(), value=value)
        producer.flush(timeout=60)
    producer.close()
    return Place(servers.redpanda, servers.timescale, topic, count)


def price(number: int) -> CryptoPriceData:
    return CryptoPriceData(
        coin_id=f"coin-{number % COINS}",
        symbol="c",
        name="A coin",
        usd_price=1.0 + number / 7,
        market_cap=1e12 + number,
        volume_24h=1e9,
        change_24h=-1.5,
        change_7d=2.5,
        last_updated=START + timedelta(seconds=number // COINS),
        source="benchmark",
        attribution="made for a benchmark",
    )


def by_hand(place: Place, group: str) -> float:
    """Poll, decode, COPY into a staging table, upsert, commit the offsets; answers the seconds it took."""
    with place.database() as session:
        session.autocommit = False
        begun = time.perf_counter()
        consumer = KafkaConsumer(
            bootstrap_servers=list(place.redpanda.brokers),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        consumer.subscribe([place.topic])
        with session.cursor() as cursor:
            cursor.execute(SPEC.stage)
        session.commit()
        done = 0
        while done < place.records:
            polled = consumer.poll(200, max_records=POLL)
            messages = [message for part in polled.values() for message in part]
            if not messages:
                continue
            with session.cursor() as cursor:
                cursor.copy_expert(SPEC.copy, StringIO("".join(line(json.loads(one.value)) for one in messages)))
                cursor.execute(SPEC.upsert)
            session.commit()
            consumer.commit(
                {TopicPartition(*tp): OffsetAndMetadata(part[-1].offset + 1, "", -1) for tp, part in polled.items()}
            )
            done += len(messages)
        seconds = time.perf_counter() - begun
        consumer.close()
        return seconds


def line(row: dict[str, Any]) -> str:
    """Return a record as a line of COPY text."""
    values = (row.get(name) for name in WIRE_NAMES)
    return "\t".join("\\N" if value is None else str(value) for value in values) + "\n"


WIRE_NAMES = ["".join([first, *map(str.capitalize, rest)]) for first, *rest in (c.split("_") for c in SPEC.columns)]


def by_platform(place: Place, group: str) -> float:
    """Run a topology of one route until all is written; answers the seconds from its start."""
    source = RedpandaSourceOptions(client="redpanda", group=group, topics={"prices": place.topic}, most=POLL)
    topology = Topology(
        clients={"redpanda": ClientSpec("redpanda", place.redpanda), "db": ClientSpec("timescale", place.timescale)},
        sources={"topics": SourceSpec(RedpandaSource, source)},
        targets={"table": TargetSpec(TimescaleTarget, TimescaleOptions(client="db"))},
        routes=(Route("topics", ("table",)),),
    )
    topology = evolve(topology, system=evolve(topology.system, migrate=False))
    with place.database():
        begun = time.perf_counter()
        with Platform.start(topology) as platform:
            while sum(route.written for route in platform.status().routes) < place.records:
                assert time.perf_counter() - begun < LONGEST, "it does not come to an end"
                time.sleep(0.01)
            return time.perf_counter() - begun


WAYS: dict[str, Callable[[Place, str], float]] = {"by hand": by_hand, "platform": by_platform}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000, help="prices in the topic (200000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way has its turn (3)")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with demo_servers() as servers:
        place = fill(servers, "benchmark-prices", options.records)
        for number in range(options.rounds):
            for way, run in WAYS.items():
                seconds[way].append(run(place, f"{way.replace(' ', '-')}-{number}"))
                print(f"{way}: {place.records / seconds[way][-1]:,.0f} rows/s", flush=True)
    ratio = median(seconds["by hand"]) / median(seconds["platform"])
    print(f"the platform, its start and stop included, is {ratio:.2f} times as fast as the loop")


if __name__ == "__main__":
    main()
