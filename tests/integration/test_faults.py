"""One running platform, from its topic to its table, to which one thing after another is done."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from dataplatform.base.embedded import broker_kind
from tests.integration.platforms import (
    DEADLINE,
    PlatformProcess,
    PricesTable,
    address_of,
    consume,
    price,
    produce,
    restarted,
    unbalanced,
)
from tests.integration.topologies import NO_FEED, main_job

pytestmark = pytest.mark.story  # of one platform

ATTEMPTS = 4


@define(eq=False)
class Story:
    """The platform, its table, and how many messages and, among them, valid records were put into its topic."""

    run: PlatformProcess
    table: PricesTable
    address: str
    messages: int = 0
    produced: int = 0

    def produce(self, count: int) -> None:
        """Put new, valid records into the topic."""
        self.put([price(f"coin-{n}", n) for n in range(self.produced, self.produced + count)])
        self.produced += count

    def put(self, values: list[bytes]) -> None:
        produce(self.address, values)
        self.messages += len(values)

    def arrive(self) -> None:
        """Wait until every record that was ever produced is in the table."""
        self.table.wait_for(self.produced)
        assert self.table.count() == self.produced


@pytest.fixture(scope="module")
def story(shared_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    topology = main_job(tmp_path_factory.mktemp("faults"), feeds=NO_FEED)
    with closing(PlatformProcess.start(shared_data_dir, str(topology))) as run:
        run.ready()
        with closing(PricesTable.of(shared_data_dir)) as table:
            yield Story(run, table, address_of(shared_data_dir))


@pytest.fixture
def light() -> None:
    if broker_kind(os.environ) != "light":
        pytest.skip("Apache Kafka, which KAFKA_HOME names, loses nothing that it has acknowledged")


def test_records_of_another_program_arrive(story: Story) -> None:
    story.produce(300)
    story.arrive()


def test_what_is_no_record_becomes_a_dead_letter_and_the_stream_goes_on(story: Story) -> None:
    negative = price("negative").replace(b'"usdPrice": 1.0', b'"usdPrice": -1.0')
    bad = [b"\xff\x00 no json", b"{}", b"", negative, b'{"coinId": "cut', b"[1, 2]"]
    story.put(bad)
    story.produce(50)
    story.arrive()
    said = story.run.expect("dead letters", agent="topics")
    assert said["first"]
    letters = _letters(story, len(bad))
    assert sorted(base64.b64decode(letter["raw"]) for letter in letters) == sorted(bad)
    for letter in letters:
        assert letter["error"].split(":")[0] in {"malformed", "invalid"}
        assert (letter["origin"], letter["stream"]) == ("topics", "crypto-prices")
        assert letter["partition"] in range(4)
        assert letter["offset"] >= 0
        assert letter["time"].startswith("20")
    by_raw = {base64.b64decode(letter["raw"]): letter["error"] for letter in letters}
    assert "usdPrice" in by_raw[negative] or "usd_price" in by_raw[negative]


def test_a_killed_database_recovers_and_nothing_is_lost(story: Story) -> None:
    before = story.run.kill_server("postgres")
    story.produce(500)
    ended = story.run.expect("degraded", agent="postgres", after=before)
    assert "ended with signal 9" in ended["reason"]
    story.run.expect("server is ready", agent="postgres", after=before)
    story.table.connect()
    story.arrive()
    assert len(consume(story.address, "crypto-prices")) == story.messages
    story.run.expect("recovered", agent="postgres", after=before)


def test_a_killed_broker_recovers_and_later_records_arrive(story: Story) -> None:
    before = story.run.kill_server("broker")
    ended = story.run.expect("degraded", agent="broker", after=before)
    assert "ended with signal 9" in ended["reason"]
    story.run.expect("server is ready", agent="broker", after=before)
    story.produce(100)
    story.arrive()


@pytest.mark.usefixtures("light")
def test_what_the_broker_lost_is_an_incident_and_later_records_are_not_taken_for_it(story: Story) -> None:
    before = _lose(story)
    incident = story.run.expect("incident", agent="topics.consumer", after=before)
    assert incident["stream"] == "crypto-prices"
    assert incident["next"] > incident["first"]
    story.produce(400)  # more than were lost, so that their offsets reach beyond the lost ones
    story.arrive()


def test_the_final_account_balances(story: Story) -> None:
    story.produce(10)
    story.arrive()
    lost = story.messages - len(consume(story.address, "crypto-prices"))
    assert story.run.stop() == 0
    report = story.run.report()
    assert report["outcome"] == "signal"
    assert unbalanced(report) == []
    (route,) = (route for route in report["routes"] if route["source"] == "topics")
    assert route["records_written"] >= story.produced
    assert {"name": "crypto_prices", "rows": story.produced} in report["tables"]
    assert restarted(report) == {}
    incidents = [one for one in report["incidents"] if one["agent"] == "topics.consumer"]
    assert sum(one["records"] for one in incidents) == lost


def _letters(story: Story, count: int) -> list[dict[str, Any]]:
    """Wait until there are so many dead letters, and return them."""
    letters: list[Any] = []
    deadline = time.monotonic() + DEADLINE
    while len(letters) < count:  # they are sent on while the records of the same batch are written
        assert time.monotonic() < deadline, f"only {len(letters)} of {count} dead letters arrived"
        letters = consume(story.address, "crypto-dead-letters")
    return [json.loads(message.value) for message in letters]


def _lose(story: Story) -> int:
    """Make the light broker lose records that it acknowledged and that were read; return the lines logged before.

    It writes its snapshot once a second. What arrives right after one is lost when the broker is killed at once; where
    that took too long, and it is in the next snapshot, it is done again.
    """
    for _ in range(ATTEMPTS):
        before = _next_snapshot(story)
        story.produce(200)
        story.arrive()
        said = story.run.kill_server("broker")
        if _snapshot(story) == before:
            return said
        story.run.expect("server is ready", agent="broker", after=said)
    raise AssertionError("the broker has lost nothing")


def _next_snapshot(story: Story) -> int:
    """Keep the broker busy until it has written a snapshot; return when that was."""
    before, deadline = _snapshot(story), time.monotonic() + DEADLINE
    while (now := _snapshot(story)) == before:
        assert time.monotonic() < deadline, "the broker writes no snapshot"
        story.produce(1)
    story.arrive()
    return now


def _snapshot(story: Story) -> int:
    file = story.run.data_dir / "broker" / "light" / "kafka.json"
    return file.stat().st_mtime_ns if file.exists() else 0
