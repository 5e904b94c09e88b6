from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import kafka
import pytest

from dataplatform.base.embedded import EmbeddedBroker, broker_address, broker_kind
from dataplatform.base.embedded.broker import Kafka, find_kafka
from tests.base.embedded.servers import House
from tests.support.kafka import kafka_home
from tests.support.waiting import DEADLINE


@pytest.fixture
def java(tmp_path: Path) -> Path:
    """A Java as far as its version goes."""
    java = tmp_path / "jdk/bin/java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    return java


@pytest.fixture
def installed(tmp_path: Path, java: Path) -> dict[str, str]:
    (tmp_path / "kafka/libs").mkdir(parents=True)
    (tmp_path / "kafka/libs/kafka_2.13-4.1.0.jar").touch()
    return {"KAFKA_HOME": str(tmp_path / "kafka"), "JAVA_HOME": str(java.parent.parent), "PATH": ""}


def test_kafka_is_found_where_its_home_has_jars_and_a_java_is_there(installed: dict[str, str], java: Path) -> None:
    assert find_kafka(installed) == Kafka(Path(installed["KAFKA_HOME"], "libs").resolve(), java.resolve())
    assert broker_kind(installed) == "kafka"


def test_a_java_on_the_path_will_do(installed: dict[str, str], java: Path) -> None:
    without_home = {"KAFKA_HOME": installed["KAFKA_HOME"], "PATH": str(java.parent)}
    assert broker_kind(without_home) == "kafka"


@pytest.mark.parametrize("missing", ["KAFKA_HOME", "JAVA_HOME", "jars", "version"])
def test_without_one_of_them_the_broker_is_the_light_one(installed: dict[str, str], java: Path, missing: str) -> None:
    match missing:
        case "jars":
            next(Path(installed["KAFKA_HOME"]).rglob("*.jar")).unlink()
        case "version":
            java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
        case _:
            installed[missing] = ""
    assert broker_kind(installed) == "light"


def test_a_home_may_have_any_name(installed: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "a, b=c\\d ü"
    home.mkdir()
    found = find_kafka(installed)
    assert found is not None
    found.write_settings(home, 29_092)
    settings = dict(line.split("=", 1) for line in (home / "server.properties").read_text().splitlines())
    assert settings["log.dirs"] == "kafka"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:29092"
    assert "0.0.0.0" not in str(settings)


@pytest.mark.long
def test_a_real_kafka_keeps_its_records_from_run_to_run(
    house: House, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(kafka_home()))
    assert broker_kind(os.environ) == "kafka"
    address = broker_address(data_dir)
    for run in (1, 2):
        broker = house.start(EmbeddedBroker.child("broker", data_dir, address))
        broker.ready()
        assert broker.status.degraded is None
        with closing(kafka.KafkaProducer(bootstrap_servers=address, acks="all")) as producer:
            assert producer.send("prices", b"x").get(timeout=DEADLINE).offset == run - 1
        assert broker.stop().failure is None
