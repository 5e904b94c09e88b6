from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import requests

from dataplatform.simulator import Fault, Faults, Simulator
from tests.support.waiting import DEADLINE

Get = Callable[..., requests.Response]


def test_a_rate_limit_is_a_429_with_a_wait_and_a_reason(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("rate_limited", retry_after=119))
    response = get("/ping")
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "119"
    assert response.json()["status"]["error_code"] == 429
    assert "exceeded the Rate Limit" in response.json()["status"]["error_message"]


@pytest.mark.parametrize("status", [500, 502, 503, 599])
def test_a_server_error_has_the_status_asked_for(simulator: Simulator, get: Get, status: int) -> None:
    simulator.inject(Fault("server_error", status=status))
    assert get("/ping").status_code == status


def test_a_slow_answer_is_right_and_late(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("slow", delay=0.15, times=1))
    begin = time.monotonic()
    assert get("/ping").json() == {"gecko_says": "(V3) To the Moon!"}
    assert time.monotonic() - begin >= 0.15


def test_a_slow_fault_passes_on_to_the_next_one(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("slow", delay=0.05))
    simulator.inject(Fault("not_found"))
    begin = time.monotonic()
    assert get("/ping").status_code == 404
    assert time.monotonic() - begin >= 0.05


def test_clearing_the_faults_lets_go_of_who_waits(simulator: Simulator, get: Get) -> None:
    armed = simulator.inject(Fault("slow", delay=3_600, times=1))
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(get("/ping").status_code))
    waiting.start()
    assert armed.met.wait(DEADLINE)
    simulator.clear_faults()
    waiting.join(DEADLINE)
    assert answers == [200]


def simulator_faults(simulator: Simulator) -> list[dict[str, Any]]:
    url = simulator.base_url.replace("/api/v3", "/_simulator/faults")
    faults: list[dict[str, Any]] = requests.get(url, timeout=DEADLINE).json()
    return faults


def test_a_cut_ends_the_connection_in_the_middle_of_the_body(
    simulator: Simulator, get: Get, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(Fault("cut", times=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        get("/coins/list")
    assert get("/coins/list").status_code == 200
    assert caplog.records == []


def test_malformed_json_comes_whole_and_cannot_be_read(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("malformed_json"))
    response = get("/coins/markets", vs_currency="usd")
    assert response.status_code == 200
    assert len(response.content) == int(response.headers["Content-Length"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.text)


@pytest.mark.parametrize("status", [429, 403, 503, 200])
def test_an_html_page_comes_with_the_status_asked_for(simulator: Simulator, get: Get, status: int) -> None:
    simulator.inject(Fault("html", status=status))
    response = get("/ping")
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")
    assert response.headers["Server"] == "dataplatform-simulator"


def test_an_unauthorized_answer_says_that_the_key_is_missing(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("unauthorized"))
    response = get("/ping")
    assert response.status_code == 401
    assert response.json()["status"]["error_code"] == 10002
    assert datetime.fromisoformat(response.json()["status"]["timestamp"]).tzinfo is not None


def test_a_changed_shape_wraps_what_was_bare_and_the_other_way_round(simulator: Simulator, get: Get) -> None:
    right = get("/coins/markets", vs_currency="usd", per_page=2).json()
    simulator.inject(Fault("changed_shape"))
    assert get("/coins/markets", vs_currency="usd", per_page=2).json() == {"data": right}
    assert get("/ping").json() == [{"gecko_says": "(V3) To the Moon!"}]


def test_a_changed_shape_can_be_numbers_as_strings(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("changed_shape", shape="strings"))
    row = get("/coins/markets", vs_currency="usd", ids="bitcoin").json()[0]
    assert float(row["current_price"]) > 0
    assert isinstance(row["current_price"], str)
    assert row["roi"] is None


def test_not_found_is_a_404_with_a_reason(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("not_found"))
    response = get("/coins/bitcoin")
    assert (response.status_code, response.json()) == (404, {"error": "coin not found"})


def test_a_fault_ends_after_its_times(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("server_error", times=2))
    assert [get("/ping").status_code for _ in range(4)] == [500, 500, 200, 200]


def test_a_fault_without_times_lasts_until_it_is_cleared(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("server_error"))
    assert {get("/ping").status_code for _ in range(5)} == {500}
    simulator.clear_faults()
    assert get("/ping").status_code == 200


@pytest.mark.parametrize("path", ["/coins", "coins/", "/api/v3/coins"])
def test_a_fault_is_for_its_paths_only(simulator: Simulator, get: Get, path: str) -> None:
    simulator.inject(Fault("server_error", path=path))
    assert get("/coins/bitcoin/tickers").status_code == 500
    assert get("/coins/list").status_code == 500
    assert get("/simple/supported_vs_currencies").status_code == 200


def test_a_path_is_no_prefix_of_a_longer_word() -> None:
    assert Fault("slow", path="/coins/bitcoin").is_for("/coins/bitcoin/ohlc")
    assert not Fault("slow", path="/coins/bitcoin").is_for("/coins/bitcoin-cash")


def test_faults_are_met_in_the_order_they_were_switched_on(simulator: Simulator, get: Get) -> None:
    simulator.inject(Fault("not_found", times=1))
    simulator.inject(Fault("server_error", times=1))
    assert [get("/ping").status_code for _ in range(3)] == [404, 500, 200]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "no_such_kind"},
        {"kind": "slow", "delay": -1},
        {"kind": "slow", "delay": float("inf")},
        {"kind": "slow", "status": 500},
        {"kind": "server_error", "status": 404},
        {"kind": "html", "status": 418},
        {"kind": "rate_limited", "retry_after": -1},
        {"kind": "cut", "times": 0},
        {"kind": "changed_shape", "shape": "round"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        Fault(**wrong)


def test_faults_are_switched_over_http_too(simulator: Simulator, get: Get, session: requests.Session) -> None:
    url = simulator.base_url.replace("/api/v3", "/_simulator/faults")
    document = {"kind": "rate_limited", "path": "/ping", "times": 3, "retry_after": 7}
    posted = session.post(url, json=document, timeout=DEADLINE)
    assert posted.status_code == 201
    assert get("/ping").headers["Retry-After"] == "7"
    expected = document | {"status": 429, "delay": 1.0, "shape": "wrapped", "remaining": 2}
    assert session.get(url, timeout=DEADLINE).json() == [expected]
    assert session.delete(url, timeout=DEADLINE).json() == {"cleared": 1}
    assert get("/ping").status_code == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "malformed"),
        (b"[]", "a fault is a JSON object"),
        (b'{"kind": "slow", "dealy": 1}', "'dealy'"),
        (b'{"kind": "meteor"}', "rate_limited"),
        (b'{"kind": "slow", "delay": "long"}', "another type"),
        (b'{"kind": "slow", "path": 7}', "another type"),
        (b'{"kind": "slow", "times": 1.5}', "another type"),
    ],
)
def test_what_is_no_fault_is_refused_over_http_with_the_reason(
    simulator: Simulator, session: requests.Session, body: bytes, reason: str
) -> None:
    url = simulator.base_url.replace("/api/v3", "/_simulator/faults")
    response = session.post(url, data=body, timeout=DEADLINE)
    assert response.status_code == 400
    assert reason in response.json()["error"]


def test_the_switch_itself_meets_no_fault(simulator: Simulator) -> None:
    simulator.inject(Fault("server_error"))
    assert [fault["kind"] for fault in simulator_faults(simulator)] == ["server_error"]


def test_requests_are_recorded_with_path_query_time_and_status(simulator: Simulator, get: Get, now: datetime) -> None:
    get("/simple/price", ids="bitcoin", vs_currencies="usd")
    simulator.inject(Fault("rate_limited", times=1))
    get("/ping")
    simulator_faults(simulator)
    records = [(request.path, request.query, request.status) for request in simulator.requests]
    assert records == [
        ("/api/v3/simple/price", "ids=bitcoin&vs_currencies=usd", 200),
        ("/api/v3/ping", "", 429),
    ]
    assert {request.time for request in simulator.requests} == {now}


def test_a_limited_fault_meets_exactly_its_times_whatever_the_number_of_threads() -> None:
    faults = Faults()
    faults.inject(Fault("cut", times=500))
    met: list[int] = []

    def ask() -> None:
        met.append(sum(len(faults.meet("/ping")) for _ in range(200)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(met) == 500
    assert faults.listed() == []
