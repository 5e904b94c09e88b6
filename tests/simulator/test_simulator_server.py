from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from dataplatform.simulator import Fault, ServedRequest, Simulator, SimulatorSettings
from tests.support.waiting import DEADLINE


def test_it_answers_as_soon_as_it_is_started_and_no_longer_when_stopped() -> None:
    with Simulator() as simulator:
        url = f"{simulator.base_url}/ping"
        assert url.startswith("http://127.0.0.1:")
        assert requests.get(url, timeout=DEADLINE).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=DEADLINE)
    with pytest.raises(RuntimeError, match="has not been started, or has been stopped"):
        _ = simulator.base_url


def test_it_can_be_started_again_and_twice_changes_nothing() -> None:
    simulator = Simulator()
    for _ in range(2):
        simulator.start()
        simulator.start()
        assert requests.get(f"{simulator.base_url}/ping", timeout=DEADLINE).status_code == 200
        simulator.stop()
        simulator.stop()


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with Simulator() as simulator:
        port = int(simulator.base_url.split(":")[2].split("/")[0])
        second = Simulator(SimulatorSettings(port=port))
        with pytest.raises(OSError, match=f"the simulator cannot listen on 127.0.0.1:{port}: Address already in use"):
            second.start()
        second.stop()
    second.start()
    second.stop()


def test_an_address_that_is_not_this_machines_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"the simulator cannot listen on 192\.0\.2\.1:0"):
        Simulator(SimulatorSettings(host="192.0.2.1")).start()


@pytest.mark.parametrize("wrong", [{"port": -1}, {"port": 70_000}, {"step": 0.0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        SimulatorSettings(**wrong)


def test_it_stops_in_time_with_open_connections_and_a_request_that_waits() -> None:
    with Simulator() as simulator, requests.Session() as session:
        address = ("127.0.0.1", int(simulator.base_url.split(":")[2].split("/")[0]))
        assert session.get(f"{simulator.base_url}/ping", timeout=DEADLINE).status_code == 200
        with socket.create_connection(address) as silent, socket.create_connection(address) as half_way:
            half_way.sendall(b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n")
            armed = simulator.inject(Fault("slow", delay=3_600, times=1))
            statuses: list[int] = []
            url = f"{simulator.base_url}/ping"
            waiting = threading.Thread(target=lambda: statuses.append(requests.get(url, timeout=DEADLINE).status_code))
            waiting.start()
            assert armed.met.wait(DEADLINE)
            simulator.stop()
            silent.settimeout(DEADLINE)
            assert silent.recv(1) == b""
            waiting.join(DEADLINE)
            assert statuses == [200]


def test_no_thread_is_left_behind() -> None:
    before = set(threading.enumerate())
    with Simulator():
        assert [thread.daemon for thread in set(threading.enumerate()) - before] == [True]
    assert set(threading.enumerate()) <= before


def test_two_simulators_with_the_same_seed_and_clock_give_the_same_answers() -> None:
    settings = SimulatorSettings(seed=3, now=lambda: datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
    with Simulator(settings) as one, Simulator(settings) as other:
        for path in ("/coins/markets?vs_currency=eur", "/coins/solana", "/coins/solana/ohlc?vs_currency=usd&days=7"):
            answers = [requests.get(simulator.base_url + path, timeout=DEADLINE).content for simulator in (one, other)]
            assert answers[0] == answers[1]


def test_the_record_of_requests_is_bounded() -> None:
    with Simulator() as simulator, requests.Session() as session:
        limit = simulator.requests.maxlen
        assert limit == 1000
        simulator.requests.extend([ServedRequest("/filler", "", datetime.now(UTC), 200)] * limit)
        session.get(f"{simulator.base_url}/ping", timeout=DEADLINE)
        assert len(simulator.requests) == limit
        assert simulator.requests[-1].path == "/api/v3/ping"


def _command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dataplatform.simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_url_and_ends_well_on_a_signal(number: signal.Signals) -> None:
    with _command("--port", "0", "--seed", "7") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert requests.get(f"{url}/ping", timeout=DEADLINE).headers["X-Simulator"] == "dataplatform"
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, errors) == (0, "")


def test_the_command_says_when_its_port_is_in_use() -> None:
    with Simulator() as simulator:
        port = simulator.base_url.split(":")[2].split("/")[0]
        with _command("--port", port) as process:
            _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in errors
