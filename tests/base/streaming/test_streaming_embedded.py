"""Producer and consumer under a supervisor, beside an embedded broker whose process is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from kafka import KafkaConsumer, TopicPartition

from dataplatform.base.agent import BackoffPolicy, Context, Link, Ready, Request, Runtime, Supervisor
from dataplatform.base.agent.supervisor import root_entry
from dataplatform.base.embedded import EmbeddedBroker, broker_address
from dataplatform.base.streaming import (
    Fetch,
    Produce,
    RedpandaConsumer,
    RedpandaProducer,
    RedpandaSettings,
    Slice,
    Subscription,
    TopicSpec,
)
from dataplatform.result import Success
from tests.support.agents import Parent
from tests.support.waiting import DEADLINE

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # kafka-python's, of failed connects
R = TypeVar("R")
TOPIC = TopicSpec("prices", 1)


class Platform:
    """A supervisor with an embedded broker, a producer and a consumer, on real time."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.address = data_dir, broker_address(data_dir)
        self.runtime = Runtime.start(backoff=BackoffPolicy(base=0.02, cap=0.1))
        settings = RedpandaSettings((self.address,), request_timeout=3.0, delivery_timeout=4.0, light=True)
        children = [
            EmbeddedBroker.child("broker", data_dir, self.address),
            RedpandaProducer.child("producer", settings, stage=1),
            RedpandaConsumer.child("consumer", settings, Subscription((TOPIC,), "group", "only"), stage=1),
        ]
        links = [Link("broker", "producer"), Link("broker", "consumer")]
        parent = Parent()
        context = Context("root", self.runtime, parent)
        self.runtime.directory.enter("root", root_entry(context))
        self._root = Supervisor.start(context, children, links)
        parent.until_type(Ready)

    def kill_broker(self) -> None:
        os.kill(int((self.data_dir / "broker/server.lock").read_text().split()[1]), signal.SIGKILL)

    def put(self, values: list[bytes]) -> None:
        """Publish, and put the same request again until it succeeds."""
        request = Produce(TOPIC, [b"k"] * len(values), values)
        self._until_success("producer", request)

    def read_until(self, last: bytes) -> list[bytes | None]:
        """Fetch until this value has come."""
        values: list[bytes | None] = []
        deadline = time.monotonic() + DEADLINE
        while last not in values:
            assert time.monotonic() < deadline, values
            slices: list[Slice] = self._until_success("consumer", Fetch("reader"))
            values += [value for part in slices for value in part.values]
        return values

    def log(self) -> list[bytes]:
        place = TopicPartition(TOPIC.name, 0)
        with closing(KafkaConsumer(bootstrap_servers=self.address, group_id=None)) as consumer:
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            end = consumer.end_offsets([place])[place]
            found: list[bytes] = []
            while len(found) < end:
                found += [message.value for message in consumer.poll(1_000).get(place, [])]
            return found

    def stop(self) -> None:
        self._root.stop(timeout=DEADLINE)
        self.runtime.stop()

    def _until_success(self, name: str, request: Request[R]) -> R:
        address, deadline = self.runtime.directory.address(name), time.monotonic() + DEADLINE
        while not isinstance(answer := address.ask(request, DEADLINE), Success):
            assert time.monotonic() < deadline, answer
        return answer.data


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    platform = Platform(tmp_path)
    yield platform
    platform.stop()


def test_a_killed_broker_s_clients_recover_and_report_exactly_what_it_lost(platform: Platform) -> None:
    old, new = ([b"%s%d" % (mark, number) for number in range(300)] for mark in (b"old", b"new"))
    platform.put(old)
    assert platform.read_until(old[-1]) == old
    platform.kill_broker()
    platform.put(new)
    assert platform.read_until(new[-1])[-300:] == new
    kept = platform.log().index(new[0])
    incidents = platform.runtime.journal.incidents()
    lost = {(incident.kind, incident.first, incident.next) for incident in incidents}
    assert lost == ({("log_truncated", kept, 300), ("acknowledged_lost", kept, 300)} if kept < 300 else set())
