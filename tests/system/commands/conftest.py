"""A platform that runs, on embedded servers, while commands work beside it; and what is in its stores."""

from __future__ import annotations

import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataplatform.base.embedded import broker_address, postgres_dsn
from dataplatform.base.streaming import Produce, TopicSpec
from dataplatform.result import get_data
from dataplatform.system.cli.main import main
from dataplatform.system.config.topology import parse_topology
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform.platform import Platform
from tests.support.storage import query
from tests.support.waiting import DEADLINE
from tests.system.commands.topologies import WRONG
from tests.system.logs import restored

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    import kafka

PATIENCE = DEADLINE


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A platform whose source takes the topic `mixed` for candles, though prices are in it.

    A module says `DEMO = True` where its commands are for simulated data.
    """
    demo: bool = getattr(request.module, "DEMO", False)
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as folder, restored():
        configure_logs("console", "critical", (), io.StringIO())
        with Platform.start(parse_topology(WRONG), demo=demo, data_dir=Path(folder, "data")) as platform:
            yield platform


@pytest.fixture
def command(running: Platform) -> Callable[..., Result]:
    """Return a function that gives a command beside the running platform."""

    def command(*arguments: object) -> Result:
        return CliRunner().invoke(main, [*map(str, arguments), "--data-dir", str(running.data.path)])

    return command


@pytest.fixture
def rows(running: Platform) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a function that asks the running platform's database."""
    return lambda sql, **parameters: query(postgres_dsn(running.data.path), sql, **parameters)


@pytest.fixture
def publish(running: Platform) -> Callable[[str, Sequence[bytes]], None]:
    """Return a function that puts messages into a topic of the running platform."""

    def publish(topic: str, values: Sequence[bytes]) -> None:
        request = Produce(TopicSpec(topic, 2), [b"key"] * len(values), list(values))
        get_data(running.address("redpanda.producer").ask(request, PATIENCE))

    return publish


@pytest.fixture
def messages(running: Platform) -> Callable[[str, int], list[bytes]]:
    """Return a function that waits until a topic of one partition holds so many messages, and returns all of them."""

    def messages(topic: str, count: int) -> list[bytes]:
        found: list[bytes] = []
        deadline = time.monotonic() + PATIENCE
        consumer = kafka.KafkaConsumer(bootstrap_servers=broker_address(running.data.path))
        with closing(consumer):
            while not consumer.partitions_for_topic(topic) and time.monotonic() < deadline:
                consumer.poll(50)
            consumer.assign([kafka.TopicPartition(topic, 0)])
            consumer.seek_to_beginning()
            while len(found) < count:
                assert time.monotonic() < deadline, f"only {len(found)} of {count} messages came"
                found += [one.value for part in consumer.poll(500).values() for one in part]
        return found

    return messages
