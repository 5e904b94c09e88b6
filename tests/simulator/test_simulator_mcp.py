"""The simulator's MCP servers: the same answers as over REST, in both generations of tools and over every transport."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
import requests
from mcp import MCPError, StdioServerParameters
from mcp.types import INTERNAL_ERROR

from dataplatform.simulator import Fault, Simulator, SimulatorSettings
from dataplatform.simulator.api import ENDPOINTS
from dataplatform.simulator.mcp.late import LazyApp
from dataplatform.simulator.mcp.operations import OPERATIONS
from tests.simulator.mcp_session import Session, connected
from tests.support.waiting import DEADLINE

Get = Callable[..., requests.Response]

REQUESTS: dict[str, dict[str, Any]] = {
    "/ping": {},
    "/simple/price": {"ids": "bitcoin,tether", "vs_currencies": "usd,eur", "include_market_cap": True},
    "/simple/supported_vs_currencies": {},
    "/global": {},
    "/coins/list": {"include_platform": True},
    "/coins/markets": {"vs_currency": "eur", "per_page": 3, "page": 2, "sparkline": False},
    "/coins/{id}": {"id": "solana", "tickers": False, "market_data": True},
    "/coins/{id}/ohlc": {"id": "bitcoin", "vs_currency": "usd", "days": "7"},
    "/coins/{id}/market_chart": {"id": "bitcoin", "vs_currency": "usd", "days": "1"},
    "/coins/{id}/market_chart/range": {
        "id": "bitcoin",
        "vs_currency": "usd",
        "from": "2026-05-01",
        "to": "2026-05-02T12:00",
    },
    "/exchanges/{id}/tickers": {"id": "binance", "coin_ids": "bitcoin,tether", "page": 1},
    "/coins/{id}/tickers": {"id": "bitcoin", "exchange_ids": "binance", "depth": True, "page": 1},
}
EARLY = {"get_ping", "get_coins_list", "get_coins_ohlc", "get_coins_market_chart", "get_coins_tickers"}


@pytest.fixture
def static(simulator: Simulator) -> Iterator[Session]:
    with connected(simulator.mcp_url("static")) as session:
        yield session


@pytest.fixture
def code(simulator: Simulator) -> Iterator[Session]:
    with connected(simulator.mcp_url("code")) as session:
        yield session


def program(method: str, arguments: dict[str, Any]) -> dict[str, str]:
    """The canonical program that calls a method of the SDK."""
    parameters = {name: value for name, value in arguments.items() if name != "id"}
    given = [json.dumps(arguments["id"])] if "id" in arguments else []
    given += [json.dumps(parameters)] if parameters else []
    return {"code": f"async function run(client) {{ return await client.{method}({', '.join(given)}); }}"}


def rest(get: Get, path: str, arguments: dict[str, Any]) -> Any:
    parameters = {name: json.dumps(value).strip('"') for name, value in arguments.items() if name != "id"}
    return get(path.format(**arguments), **parameters).json()


def operation(path: str) -> Any:
    return next(operation for operation in OPERATIONS if operation.path == path)


# Equality with REST


def test_there_is_an_operation_for_every_path_of_the_rest_api() -> None:
    assert [operation.path for operation in OPERATIONS] == list(ENDPOINTS)
    assert set(REQUESTS) == set(ENDPOINTS) - {"/coins/{id}/ohlc/range"}


def test_every_static_tool_answers_as_the_rest_api(static: Session, get: Get) -> None:
    for path, arguments in REQUESTS.items():
        assert json.loads(static.text(operation(path).tool, **arguments)) == rest(get, path, arguments)


def test_every_method_answers_as_the_rest_api_wrapped_as_by_a_hosted_server(code: Session, get: Get) -> None:
    for path, arguments in REQUESTS.items():
        answer = json.loads(code.text("execute", **program(operation(path).method, arguments)))
        assert answer == {"result": rest(get, path, arguments), "log_lines": [], "err_lines": []}


def test_answers_are_bare_as_those_of_a_local_server_if_so_wanted() -> None:
    with Simulator(SimulatorSettings(wrapped=False)) as simulator, connected(simulator.mcp_url("code")) as code:
        assert json.loads(code.text("execute", **program("ping.get", {}))) == {"gecko_says": "(V3) To the Moon!"}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["mcp", "sse"])
def test_the_server_says_that_it_is_a_simulator_over_every_transport(
    simulator: Simulator, transport: Any, mode: str
) -> None:
    with connected(simulator.mcp_url("static", transport), mode) as session:
        assert session.client.server_info
        assert session.client.server_info.name == "dataplatform-simulator"
        assert json.loads(session.text("get_ping")) == {"gecko_says": "(V3) To the Moon!"}


def test_what_a_tool_asks_the_api_is_recorded(simulator: Simulator, static: Session) -> None:
    static.call("get_simple_price", ids="bitcoin", vs_currencies="usd")
    static.call("get_id_coins", id="nobody")
    records = [(request.path, request.query, request.status) for request in simulator.requests]
    assert records == [
        ("/api/v3/simple/price", "ids=bitcoin&vs_currencies=usd", 200),
        ("/api/v3/coins/nobody", "", 404),
    ]


# Tools


def test_the_static_tools_are_listed_with_their_arguments(static: Session) -> None:
    tools = static.tools()
    assert len(tools) == len(ENDPOINTS)
    assert all(tool.description for tool in tools.values())
    schema = tools["get_range_coins_market_chart"].input_schema
    assert schema["required"] == ["id", "from", "to", "vs_currency"]
    assert schema["properties"]["interval"] == {"type": "string", "enum": ["5m", "hourly", "daily"]}
    assert tools["get_coins_markets"].input_schema["properties"]["per_page"] == {"type": "number"}


def test_later_releases_of_the_static_generation_lack_some_tools() -> None:
    settings = SimulatorSettings(early_tools=False)
    with Simulator(settings) as simulator, connected(simulator.mcp_url("static")) as static:
        tools = set(static.tools())
        assert tools.isdisjoint(EARLY)
        assert len(tools) == len(ENDPOINTS) - len(EARLY)
        with pytest.raises(MCPError, match="Unknown tool: get_ping"):
            static.call("get_ping")


def test_the_code_generation_has_two_tools(code: Session) -> None:
    tools = code.tools()
    assert list(tools) == ["execute", "search_docs"]
    assert tools["execute"].input_schema["required"] == ["code"]
    methods = json.loads(code.text("search_docs", query="price", language="typescript"))
    assert [method["method"] for method in methods] == [f"client.{operation.method}" for operation in OPERATIONS]
    assert "vs_currencies: string;" in methods[1]["params"]


@pytest.mark.parametrize("generation", ["static", "code"])
def test_an_unknown_tool_is_an_error_of_the_protocol(simulator: Simulator, generation: Any) -> None:
    with connected(simulator.mcp_url(generation)) as session, pytest.raises(MCPError) as refusal:
        session.call("get_weather")
    assert (refusal.value.code, refusal.value.message) == (INTERNAL_ERROR, "Unknown tool: get_weather")


# Errors


def test_an_error_of_the_api_is_told_by_status_and_body(static: Session, code: Session) -> None:
    missing = {"id": "nobody"}
    assert static.error("get_id_coins", **missing) == '404 {"error":"coin not found"}'
    assert code.error("execute", **program("coins.getID", missing)) == 'Error: 404 {"error":"coin not found"}'
    assert static.error("get_simple_price", ids="bitcoin") == '422 {"error":"Missing parameter vs_currencies"}'
    paid = {"id": "bitcoin", "vs_currency": "usd", "from": "1", "to": "2", "interval": "daily"}
    assert static.error("get_range_coins_ohlc", **paid).startswith('401 {"status":{"error_code":10005')


@pytest.mark.parametrize("wrong", [{}, {"id": ""}, {"id": "a/b"}, {"id": ".."}, {"id": "{id}"}, {"id": 7}])
def test_an_id_that_is_no_part_of_a_path_is_refused(static: Session, wrong: dict[str, Any]) -> None:
    assert "invalid segments" in static.error("get_id_coins", **wrong)


@pytest.mark.parametrize(
    ("program_text", "reason"),
    [
        ("", "missing a top-level `run` function"),
        ("const x = 1;", "missing a top-level `run` function"),
        ("async function run(client) { client.ping.get(); return 7; }", "runs no code"),
        ("async function run(client) { return 7; }", "runs no code"),
        ("async function run(client) { return await client.ping.get(); } run();", "runs no code"),
        ("async function run(client) { return await other.ping.get(); }", "cannot read this at `other`"),
        ("async function run(client) { return await client.ping.get(", "cannot read this at its end"),
        ("async function run(client) { return await client.ping.get(1 + 1); }", "cannot read"),
        ("async function run(client) { return await client.ping.get(`${x}`); }", "cannot read"),
        ("async function run(client) { return client.coins.ohlc.fetch('x', {}); }", "Did you mean: client.coins.list"),
        ("async function run(client) { return client.weather.get(); }", "Did you mean: client.ping.get"),
        ("async function run(client) { return client.simple.price.get({}); }", "'vs_currencies' is missing"),
        ("async function run(client) { return client.ping.get('x'); }", "not an object"),
        ("async function run(client) { return client.ping.get({ x: 1 }); }", "'x' does not exist"),
        ("async function run(client) { return client.coins.getID({}); }", "An id is missing"),
        ("async function run(client) { return client.coins.getID('a/b'); }", "invalid segments"),
        (
            "async function run(client) { return client.coins.ohlc.get('x', { vs_currency: 'usd', days: 7 }); }",
            "Type 'number' is not assignable to type 'string' of 'days'",
        ),
        (
            "async function run(client) { return client.coins.ohlc.get('x', { vs_currency: 'usd', days: '8' }); }",
            'Type \'"8"\' is not assignable to type \'"1" | "7"',
        ),
        (
            "async function run(client) { return client.coins.markets.get({ vs_currency: 'usd', page: true }); }",
            "Type 'boolean' is not assignable to type 'number' of 'page'",
        ),
        (
            "async function run(client) { return client.simple.price.get({ vs_currencies: ['usd'] }); }",
            "Type 'object' is not assignable to type 'string' of 'vs_currencies'",
        ),
    ],
)
def test_code_that_is_not_understood_is_refused_with_the_reason(code: Session, program_text: str, reason: str) -> None:
    assert reason in code.error("execute", code=program_text)


# Faults


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("rate_limited", path="/ping"), '429 {"status":{"error_code":429'),
        (Fault("server_error", path="/ping", status=503), '503 {"status":{"error_code":503'),
        (Fault("unauthorized", path="/ping"), '401 {"status":{"timestamp":'),
        (Fault("not_found"), '404 {"error":"coin not found"}'),
        (Fault("html", path="/ping"), "429 <!DOCTYPE html>"),
        (Fault("cut", path="/ping"), "Connection error."),
    ],
)
def test_a_fault_of_the_api_is_passed_on_by_the_tools(
    simulator: Simulator, static: Session, code: Session, fault: Fault, text: str
) -> None:
    simulator.inject(fault)
    assert static.error("get_ping").startswith(text)
    assert code.error("execute", **program("ping.get", {})).startswith(f"Error: {text}")
    simulator.clear_faults()
    assert static.text("get_ping")


def test_text_that_is_no_json_is_passed_on_too(simulator: Simulator, static: Session, code: Session) -> None:
    simulator.inject(Fault("malformed_json"))
    for text in (static.text("get_ping"), code.text("execute", **program("ping.get", {}))):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


def test_a_page_with_status_200_is_a_text_to_the_sdk(simulator: Simulator, static: Session, code: Session) -> None:
    simulator.inject(Fault("html", status=200))
    assert json.loads(static.text("get_ping")).startswith("<!DOCTYPE html>")
    assert json.loads(code.text("execute", **program("ping.get", {})))["result"].startswith("<!DOCTYPE html>")


def test_a_changed_shape_is_passed_on(simulator: Simulator, static: Session) -> None:
    simulator.inject(Fault("changed_shape"))
    assert json.loads(static.text("get_ping")) == [{"gecko_says": "(V3) To the Moon!"}]


def test_a_slow_answer_is_right_and_late_and_holds_nobody_else_up(simulator: Simulator, static: Session) -> None:
    armed = simulator.inject(Fault("slow", path="/ping", delay=3_600, times=1))
    texts: list[str] = []
    waiting = threading.Thread(target=lambda: texts.append(static.text("get_ping")))
    waiting.start()
    assert armed.met.wait(DEADLINE)
    assert static.text("get_simple_supported_vs_currencies")
    assert texts == []
    simulator.clear_faults()
    waiting.join(DEADLINE)
    assert json.loads(texts[0]) == {"gecko_says": "(V3) To the Moon!"}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("rate_limited", path="/mcp/static", retry_after=7), 429),
        (Fault("unauthorized", path="/mcp"), 401),
        (Fault("server_error", path="/mcp/static/mcp", status=502), 502),
        (Fault("html", path="/mcp", status=403), 403),
        (Fault("server_error", path="/mcp/code"), 400),
        (Fault("server_error"), 400),
        (Fault("server_error", path="/mc"), 400),
    ],
)
def test_an_mcp_server_s_own_faults_are_those_below_its_path(simulator: Simulator, fault: Fault, status: int) -> None:
    simulator.inject(fault)
    response = requests.post(simulator.mcp_url("static"), json={}, timeout=DEADLINE)
    assert response.status_code == status
    assert response.headers["X-Simulator"] == "dataplatform"
    assert response.headers.get("Retry-After") == ("7" if fault.retry_after == 7 else "30" if status == 429 else None)


def test_the_list_of_tools_can_change_to_the_other_generation_s(simulator: Simulator, static: Session) -> None:
    armed = simulator.inject(Fault("changed_tools", path="/mcp/static", times=3))
    assert list(static.tools()) == ["execute", "search_docs"]
    assert armed.met.is_set()
    with pytest.raises(MCPError, match="Unknown tool: get_ping"):
        static.call("get_ping")
    assert json.loads(static.text("execute", **program("ping.get", {})))["result"]
    assert static.text("get_ping")
    assert "execute" not in static.tools()


def test_a_change_of_tools_is_no_matter_of_the_rest_api(simulator: Simulator, get: Get) -> None:
    armed = simulator.inject(Fault("changed_tools"))
    assert get("/ping").status_code == 200
    assert not armed.met.is_set()


# Serving


@pytest.mark.parametrize(("header", "value"), [("Host", "evil.example"), ("Origin", "http://evil.example")])
def test_what_a_page_of_another_site_makes_a_browser_send_is_refused(
    simulator: Simulator, header: str, value: str
) -> None:
    headers = {"Accept": "application/json, text/event-stream", header: value}
    for transport in ("mcp", "sse"):
        url = simulator.mcp_url("static", transport)
        send = requests.post if transport == "mcp" else requests.get
        assert send(url, json={}, headers=headers, timeout=DEADLINE).status_code in {403, 421}


def test_it_stops_in_time_while_a_client_listens_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    simulator = Simulator()
    simulator.start()
    with requests.get(simulator.mcp_url("static", "sse"), stream=True, timeout=DEADLINE) as listening:
        assert next(listening.iter_lines()) == b"event: endpoint"
        simulator.stop()
    with pytest.raises(RuntimeError, match="has not been started, or has been stopped"):
        simulator.mcp_url("code")
    assert set(threading.enumerate()) <= before


def test_the_libraries_of_mcp_are_loaded_only_when_mcp_is_spoken() -> None:
    ask = "import sys, dataplatform.simulator as s; s.Simulator().start(); print('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


LISTEN = """\
import logging, requests
from dataplatform.simulator import Simulator
with Simulator() as simulator:
    with requests.get(simulator.mcp_url("static", "sse"), stream=True, timeout=60) as listening:
        next(listening.iter_lines())
assert not logging.getLogger().handlers
"""


def test_serving_mcp_sets_up_no_logging_on_the_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", LISTEN], check=True, capture_output=True, text=True, timeout=DEADLINE)
    assert (done.stdout, done.stderr) == ("", "")


def test_servers_that_cannot_be_made_are_an_error_of_every_request_and_not_a_wait() -> None:
    def make() -> Any:
        raise ImportError("no such library")

    async def ask() -> None:
        late = LazyApp(make)
        async with late.running():
            for _ in range(2):
                with pytest.raises(ImportError, match="no such library"):
                    await late({"type": "http"}, None, None)  # type: ignore[arg-type]

    anyio.run(ask)


def command(*arguments: str) -> StdioServerParameters:
    args = ["-m", "dataplatform.simulator", "--seed", "7", *arguments]
    return StdioServerParameters(command=sys.executable, args=args, env=dict(os.environ))


def test_the_command_serves_one_generation_over_its_standard_streams() -> None:
    fault = json.dumps({"kind": "not_found", "path": "/coins/bitcoin", "times": 1})
    with connected(command("--mcp", "code", "--fault", fault)) as code:
        assert code.client.server_info
        assert code.client.server_info.name == "dataplatform-simulator"
        assert json.loads(code.text("execute", **program("ping.get", {}))) == {"gecko_says": "(V3) To the Moon!"}
        bitcoin = program("coins.tickers.get", {"id": "bitcoin"})
        assert code.error("execute", **bitcoin) == 'Error: 404 {"error":"coin not found"}'
        assert json.loads(code.text("execute", **bitcoin))["name"] == "Bitcoin"


def test_the_command_wraps_answers_if_told_to() -> None:
    with connected(command("--mcp", "code", "--wrapped")) as code:
        assert set(json.loads(code.text("execute", **program("ping.get", {})))) == {"result", "log_lines", "err_lines"}


@pytest.mark.parametrize("fault", ["nonsense", '{"kind": "meteor"}'])
def test_the_command_refuses_what_is_no_fault(fault: str) -> None:
    line = [sys.executable, "-m", "dataplatform.simulator", "--mcp", "static", "--fault", fault]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Invalid value for '--fault'" in done.stderr
