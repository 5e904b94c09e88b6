"""A batch that cannot be read, on a platform that runs: the others flow on, and an operator gives it up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import kafka.codec
import pytest
from attrs import evolve
from click.testing import CliRunner

from dataplatform.dsl.records.codec import codec as record_codec
from dataplatform.dsl.records.kinds import DEAD_LETTERS, PRICES
from dataplatform.dsl.records.types import DeadLetter
from dataplatform.system.cli.main import main
from dataplatform.system.config.topology import load_topology
from dataplatform.system.platform.platform import Platform
from tests.base.streaming.broker import ApacheKafka
from tests.base.streaming.codecs import codec, put_in_one_batch, zstd
from tests.dsl.records import price
from tests.support.kafka import kafka_home
from tests.support.waiting import until

TOPOLOGY = """
[clients.redpanda]
kind = "redpanda"
brokers = ["{address}"]

[sources.topics]
kind = "redpanda"
client = "redpanda"
topics = {{ prices = "in" }}

[targets.copy]
kind = "redpanda"
client = "redpanda"
topics = {{ prices = "out" }}

[[routes]]
from = "topics"
to = ["copy"]
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ApacheKafka]:
    kafka_home()  # skips with the reason where there is none
    broker = ApacheKafka(tmp_path / "kafka")
    yield broker
    broker.close()


def wire(*coins: str) -> list[bytes]:
    return record_codec(PRICES).encode([evolve(price(coin), attribution="0" * 250) for coin in coins])


def test_it_becomes_a_dead_letter_and_what_is_behind_it_flows(
    broker: ApacheKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka.codec, "has_zstd", lambda: False)
    broker.create("in", partitions=2)
    broker.put("in", wire("a", "b"))
    with codec("zstd", zstd, monkeypatch):
        put_in_one_batch(broker, "in", wire("c", "d", "e"), "zstd")
    broker.put("in", wire("f"))
    broker.put("in", wire("x", "y", "z"), partition=1)
    file = tmp_path / "topology.toml"
    file.write_text(TOPOLOGY.format(address=broker.address), encoding="utf-8")

    with Platform.start(load_topology(file), data_dir=tmp_path / "data") as platform:
        until(lambda: _written(platform) == 5, "the others are written")
        until(lambda: _reason(platform, "topics") == _reason(platform, "topics.consumer") is not None, "it is shown")
        assert str(_reason(platform, "topics")).endswith("pip install zstandard, or give it up: skip in/0")
        assert _run(tmp_path, "skip", "in/1") == (1, "")

        status, said = _run(tmp_path, "skip", "in/0")
        assert status == 0
        assert "in/0: the zstd batch at offsets 2 to 4 cannot be read: the library for zstd is missing" in said
        until(lambda: _written(platform) == 6, "what is behind it is written")
        until(lambda: _reason(platform, "topics") is None, "it is well again")
        (route,) = platform.status().routes
        assert (route.read, route.written, route.dead_lettered) == (7, 6, 1)
    assert broker.committed("dataplatform", "in") == 6
    (letter,) = [raw for _, raw in broker.messages("crypto-dead-letters")]
    kept = record_codec(DEAD_LETTERS).decode(letter)
    assert isinstance(kept, DeadLetter)
    assert (kept.origin, kept.stream, kept.partition, kept.offset) == ("topics", "in", 0, 2)
    assert "the zstd batch at offsets 2 to 4" in kept.error
    assert all(f'"coinId":"{coin}"'.encode() in kept.raw for coin in "cde")
    arrived = [json.loads(value)["coinId"] for number in range(4) for value in broker.values("out", number)]
    assert sorted(arrived) == ["a", "b", "f", "x", "y", "z"]


def _written(platform: Platform) -> int:
    return platform.status().routes[0].written


def _reason(platform: Platform, agent: str) -> str | None:
    status = platform.address(agent).status()
    return status.degraded.reason if status and status.degraded else None


def _run(folder: Path, *arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(main, [*arguments, "--data-dir", str(folder / "data")])
    return ran.exit_code, ran.stdout
