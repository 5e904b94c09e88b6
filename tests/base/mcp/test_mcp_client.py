"""What the client answers and shows, over each transport, against the simulator and against a scripted server."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from dataplatform.base.agent import ManualClock
from dataplatform.base.mcp import CallTool, ListTools, ServerIdentity, ServerInfo, Tool, ToolAnswer
from dataplatform.errors import Permanent, Transient
from dataplatform.simulator import Fault, Simulator
from tests.base.mcp.driven_client import Client, odd
from tests.base.mcp.http_server import Act, ScriptedMcp, cut_off, endless, hang_up, status, stay_silent, tool_text
from tests.support.waiting import DEADLINE, SHORT

Start = Callable[..., Client]
KEY = "CG-abcdef123456"
PING = {"gecko_says": "(V3) To the Moon!"}
SIMULATOR = (sys.executable, "-m", "dataplatform.simulator", "--mcp", "static")


@pytest.fixture(params=["http", "sse", "stdio"])
def settings(request: pytest.FixtureRequest, simulator: Simulator) -> dict[str, Any]:
    """The settings for the simulator's static tools, over each transport."""
    if request.param == "stdio":
        return {"transport": "stdio", "command": SIMULATOR[0], "args": SIMULATOR[1:], "connect_timeout": 20.0}
    url = simulator.mcp_url("static", "sse" if request.param == "sse" else "mcp")
    return {"transport": request.param, "url": url}


# Answers


def test_a_tool_answers_over_every_transport_and_says_whose_answer_it_is(
    start: Start, settings: dict[str, Any]
) -> None:
    client = start(**settings)
    answer = client.call("get_ping")
    assert msgspec.json.decode(answer.text) == PING
    assert answer.structured is None
    assert answer.server_name == "dataplatform-simulator"
    assert answer.server_version
    assert answer.received_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert client.fail(CallTool("get_id_coins", {"id": "nobody"})).code == "not_found"
    assert client.fail(CallTool("get_weather")).code == "unknown_tool"
    prices = client.call("get_simple_price", ids="bitcoin", vs_currencies="usd", include_market_cap=True)
    assert set(msgspec.json.decode(prices.text)["bitcoin"]) == {"usd", "usd_market_cap"}
    assert client.vitals.counters["sessions"] == 1


def test_it_connects_at_the_first_request_and_once(start: Start, simulator: Simulator) -> None:
    client = start(url=simulator.mcp_url("static"))
    assert client.vitals.counters["sessions"] == 0
    size = sum(len(client.call("get_ping").text) for _ in range(3))
    assert client.vitals.counters == {"requests": 3, "sessions": 1, "bytes": size}


def test_a_server_is_asked_who_it_is(start: Start, server: ScriptedMcp) -> None:
    assert start(url=server.url).ask(ServerInfo()) == ServerIdentity("raw", "1", "2025-06-18")


def test_tools_are_listed_with_their_schemas(start: Start, simulator: Simulator) -> None:
    tools = {tool.name: tool for tool in start(url=simulator.mcp_url("static")).ask(ListTools())}
    assert tools["get_simple_price"].description
    assert tools["get_simple_price"].input_schema["required"] == ["vs_currencies"]
    assert tools["get_ping"] == Tool("get_ping", tools["get_ping"].description, tools["get_ping"].input_schema)


def test_tools_on_several_pages_are_listed_whole(start: Start) -> None:
    assert [tool.name for tool in start(**odd("pages")).ask(ListTools())] == ["tool-0", "tool-1", "tool-2"]


def test_a_list_of_tools_without_end_is_a_failure(start: Start) -> None:
    failure = start(**odd("pages", "endless")).fail(ListTools())
    assert (type(failure), failure.code) == (Transient, "protocol")
    assert "more than 100 pages" in failure.message


def test_a_list_of_tools_that_changes_is_listed_as_it_is(start: Start, simulator: Simulator) -> None:
    client = start(url=simulator.mcp_url("static"))
    assert "get_ping" in {tool.name for tool in client.ask(ListTools())}
    client.call("get_ping")
    simulator.inject(Fault("changed_tools", path="/mcp/static"))
    assert client.fail(CallTool("get_ping")) == Permanent(
        "unknown_tool",
        f"{simulator.mcp_url('static')} has no tool 'get_ping'",
        remedy="it has execute, search_docs",
    )
    assert {tool.name for tool in client.ask(ListTools())} == {"execute", "search_docs"}
    assert client.vitals.counters["sessions"] == 1


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_texts_are_joined_and_structured_content_is_passed_on(start: Start, server: ScriptedMcp, kind: str) -> None:
    server.script.append(tool_text("one", "two", structured={"a": [1]}, kind=kind))
    answer = start(url=server.url).call()
    assert (answer.text, answer.structured) == ("one\ntwo", {"a": [1]})


def test_text_that_is_no_json_is_an_answer_like_any_other(start: Start, server: ScriptedMcp) -> None:
    server.script.append(tool_text("<html>oops</html>"))
    assert start(url=server.url).call().text == "<html>oops</html>"


def test_what_is_asked_for_and_the_headers_are_sent(start: Start, server: ScriptedMcp) -> None:
    client = start(url=f"{server.url}?x=1", headers={"x-cg-demo-api-key": KEY})
    client.call("call", ids="bitcoin", page=2)
    assert {headers["x-cg-demo-api-key"] for _, headers in server.seen} == {KEY}


def test_arguments_variables_and_arguments_of_the_command_reach_a_child_process(start: Start) -> None:
    client = start(**odd("complain"), env={"API_KEY": "short"})
    assert msgspec.json.decode(client.call(ids="bitcoin", page=2).text) == {"ids": "bitcoin", "page": 2}


@pytest.mark.parametrize(
    "arguments", [{"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"x": float("nan")}, {"x": "\ud800"}, {"x": {1, 2}}]
)
def test_arguments_that_are_no_json_are_refused_where_the_call_is_made(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="arguments of a CallTool is no JSON"):
        CallTool("call", arguments)
    with pytest.raises(TypeError, match="not the name of a tool"):
        CallTool("")


def test_an_answer_does_not_show_its_contents() -> None:
    assert "private" not in repr(
        ToolAnswer("private", {"private": 1}, "s", "1", datetime(2026, 1, 1, tzinfo=UTC), "call")
    )


# Errors of tools


@pytest.mark.parametrize(
    ("text", "error", "code"),
    [
        ('404 {"error":"coin not found"}', Permanent, "not_found"),
        ('Error: 404 {"error":"coin not found"}', Permanent, "not_found"),
        ("401 status code (no body)", Permanent, "unauthorized"),
        ("403: forbidden", Permanent, "unauthorized"),
        ("400 invalid vs_currency", Permanent, "bad_request"),
        ('422 {"error":"Missing parameter vs_currency"}', Permanent, "bad_request"),
        ("408", Transient, "timeout"),
        ("RateLimitError: 429 <!DOCTYPE html>", Transient, "rate_limited"),
        ("500 {}", Transient, "server_error"),
        ("503 Service Unavailable", Transient, "server_error"),
        ("Error: Connection error.", Transient, "unreachable"),
        ("TypeError: fetch failed", Transient, "unreachable"),
        ("Error: Request timed out.", Transient, "timeout"),
        ("SyntaxError: Unexpected end of JSON input", Transient, "cut"),
        ("TypeError: error reading a body from connection", Transient, "cut"),
        ("4040 coins are too many", Permanent, "tool_error"),
        ("200 OK, but no", Permanent, "tool_error"),
        ("no such thing", Permanent, "tool_error"),
        ("", Permanent, "tool_error"),
    ],
)
def test_an_error_of_a_tool_is_a_failure_by_the_status_that_it_begins_with(
    start: Start, server: ScriptedMcp, text: str, error: type[Permanent | Transient], code: str
) -> None:
    server.script.append(tool_text(text, is_error=True))
    client = start(url=server.url)
    failure = client.fail(CallTool("call"))
    assert (type(failure), failure.code) == (error, code)
    assert failure.message.startswith(f"call of {server.url} answered an error")
    client.call()
    assert client.vitals.counters["sessions"] == 1


def test_an_error_is_quoted_on_one_line_of_bounded_length_and_without_secrets(
    start: Start, server: ScriptedMcp
) -> None:
    server.script.append(tool_text(f"404 {KEY}\r\n\x1b[31m" + "x" * 10_000, is_error=True))
    message = start(url=server.url, headers={"x-key": KEY}).fail(CallTool("call")).message
    assert message.startswith(f"call of {server.url} answered an error: 404 *** [31mxxx")
    assert len(message) < 400


@pytest.mark.parametrize("code", [-32601, -32602, -32603, 7])
def test_an_error_of_the_protocol_is_transient_and_keeps_the_session(start: Start, code: int) -> None:
    client = start(**odd())
    assert client.fail(CallTool("error", {"code": code})) == Transient(
        "protocol", f"{sys.executable} answered an error: out of order"
    )
    assert not client.degraded
    client.call()
    assert client.vitals.counters["sessions"] == 1


# The endpoint refuses


@pytest.mark.parametrize(
    ("refusal", "error", "code"),
    [
        (status(401, b"no key"), Permanent, "unauthorized"),
        (status(403), Permanent, "unauthorized"),
        (status(403, b"<html>cloudflare</html>"), Transient, "blocked"),
        (status(301, Location="http://elsewhere.invalid/"), Permanent, "redirected"),
        (status(408), Transient, "timeout"),
        (status(413), Permanent, "too_large"),
        (status(429), Transient, "rate_limited"),
        (status(500, b"<html>"), Transient, "server_error"),
        (status(503), Transient, "server_error"),
        (status(200, b"<html>hello</html>", "text/html"), Transient, "protocol"),
        (status(200, b"{"), Transient, "protocol"),
        (status(200, b'{"jsonrpc": "2.0", "id": 1}', "application/json"), Transient, "protocol"),
        (status(202), Transient, "protocol"),
        (cut_off, Transient, "lost"),
        (hang_up, Transient, "lost"),
    ],
)
@pytest.mark.parametrize("when", ["handshake", "call"])
def test_an_endpoint_that_refuses_is_a_failure_and_another_session_mends_it(
    start: Start, server: ScriptedMcp, refusal: Act, error: type[Permanent | Transient], code: str, when: str
) -> None:
    client = start(url=server.url)
    if when == "call":
        server.script.append(refusal)
    else:
        server.refuse = refusal
        code = "unreachable" if code == "lost" else code
    failure = client.fail(CallTool("call"))
    assert (type(failure), failure.code) == (error, code)
    assert server.url in failure.message
    server.refuse = None
    client.call()
    assert not client.degraded
    assert client.vitals.counters["sessions"] == 2


@pytest.mark.parametrize("when", ["handshake", "call"])
def test_a_page_in_the_place_of_an_answer_is_told_by_its_title(start: Start, server: ScriptedMcp, when: str) -> None:
    page = status(200, f"<html><title>Sign in\nas {KEY}</title>".encode(), "text/html; charset=utf-8")
    client = start(url=server.url, headers={"x-key": KEY})
    if when == "call":
        server.script.append(page)
    else:
        server.refuse = page
    assert client.fail(CallTool("call")) == Transient(
        "protocol",
        f"{server.url} answered a page, 'Sign in as ***', and not as an MCP server does",
        remedy="check whether a proxy, a filter or a login of the network answers in its place",
    )
    assert client.degraded
    server.refuse = None
    client.call()
    assert not client.degraded


def test_a_pause_may_be_asked_for_as_a_date_or_with_a_fraction(
    start: Start, server: ScriptedMcp, clock: ManualClock
) -> None:
    client = start(url=server.url)
    for value, seconds in (("Thu, 01 Jan 2026 00:00:30 GMT", 30.0), ("1.5", 1.5)):
        server.script.append(status(503, Retry_After=value))
        failure = client.fail(CallTool("call"))
        assert isinstance(failure, Transient)
        assert failure.retry_after == seconds
        clock.advance(seconds)


@pytest.mark.parametrize("code", [400, 404, 405, 410, 415])
def test_a_url_where_no_mcp_server_is_is_permanent_and_a_session_that_is_no_more_is_not(
    start: Start, server: ScriptedMcp, code: int
) -> None:
    server.refuse = status(code, b"<html>what?</html>")
    client = start(url=server.url)
    assert client.fail(ListTools()) == Permanent(
        "no_endpoint", f"{server.url} answered {code}: <html>what?</html>", remedy="check url, and transport"
    )
    assert client.degraded
    server.refuse = None
    client.call()
    server.script.append(status(code, b"session unknown"))
    assert client.fail(CallTool("call")) == Transient("lost", f"{server.url} answered {code}: session unknown")
    client.call()


@pytest.mark.parametrize("code", [400, 404])
def test_an_error_of_the_protocol_may_come_with_a_status_of_its_own(
    start: Start, server: ScriptedMcp, code: int
) -> None:
    body = b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "Unknown tool: weather"}}'
    server.script.append(status(code, body, "application/json"))
    client = start(url=server.url)
    assert client.fail(CallTool("weather")).code == "unknown_tool"
    assert client.vitals.counters["sessions"] == 1


def test_a_refusal_is_quoted_without_secrets(start: Start, server: ScriptedMcp) -> None:
    server.refuse = status(401, f"no such key: {KEY}".encode())
    client = start(url=f"{server.url}?key={KEY}")
    assert client.fail(ListTools()) == Permanent(
        "unauthorized",
        f"{server.url} answered 401: no such key: ***",
        remedy="check the API key that the server is given",
    )
    assert KEY not in (client.degraded or KEY)


def test_a_refusal_over_sse_is_told_at_once(start: Start, simulator: Simulator) -> None:
    client = start(transport="sse", url=simulator.mcp_url("static", "sse"), call_timeout=DEADLINE)
    client.call("get_ping")
    simulator.inject(Fault("unauthorized", path="/mcp", times=1))
    assert client.fail(CallTool("get_ping")).code == "unauthorized"
    client.call("get_ping")


@pytest.mark.parametrize("code", [429, 503])
def test_nothing_is_sent_while_the_pause_lasts_that_the_server_asked_for(
    start: Start, server: ScriptedMcp, clock: ManualClock, code: int
) -> None:
    server.script.append(status(code, Retry_After="30"))
    client = start(url=server.url)
    failure = client.fail(CallTool("call"))
    assert isinstance(failure, Transient)
    assert failure.retry_after == 30.0
    asked = len(server.seen)
    clock.advance(20.0)
    assert client.fail(CallTool("call")) == Transient(
        "rate_limited", f"{server.url} has asked for a pause", retry_after=10.0
    )
    assert len(server.seen) == asked
    clock.advance(10.0)
    client.call()
    assert client.vitals.counters["throttled"] == 1


def test_a_port_where_nobody_listens_is_unreachable(start: Start, server: ScriptedMcp) -> None:
    server.close()
    assert start(url=server.url).fail(ListTools()) == Transient(
        "unreachable", f"cannot reach {server.url}: Connection refused"
    )


def test_a_name_that_does_not_exist_is_unreachable(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert start(url="http://nowhere.invalid/mcp").fail(ListTools()) == Transient(
        "unreachable", "cannot reach http://nowhere.invalid/mcp: Name or service not known"
    )


def test_a_server_that_is_started_again_is_reached_again(start: Start, simulator: Simulator) -> None:
    other = Simulator()
    other.start()
    port = int(other.base_url.split(":")[2].split("/")[0])
    client = start(url=other.mcp_url("static"))
    client.call("get_ping")
    other.stop()
    assert client.fail(CallTool("get_ping")).code in {"unreachable", "lost"}
    assert client.degraded
    again = Simulator(type(other.settings)(port=port))
    with again:
        client.call("get_ping")
    assert not client.degraded


# Size


@pytest.mark.parametrize("is_error", [False, True])
def test_a_text_above_the_limit_is_refused_and_one_of_just_the_limit_taken(
    start: Start, server: ScriptedMcp, *, is_error: bool
) -> None:
    client = start(url=server.url, max_text=1000)
    server.script.append(tool_text("é" * 500))
    assert len(client.call().text) == 500
    server.script.append(tool_text("é" * 500 + "x", is_error=is_error))
    assert client.fail(CallTool("call")) == Permanent(
        "too_large", f"{server.url} answered more than 1000 bytes", remedy="ask for less, or raise max_text"
    )


def test_a_large_text_comes_whole_over_every_transport(start: Start, server: ScriptedMcp) -> None:
    for kind in ("application/json", "text/event-stream"):
        server.script.append(tool_text('"x"' * 1_000_000, kind=kind))
        assert len(start(url=server.url).call().text) == 3_000_000
    assert len(start(**odd()).call("huge", size=3_000_000).text) == 3_000_000


@pytest.mark.parametrize("act", [endless, tool_text("x" * 100_000), tool_text("x" * 100_000, kind="text/event-stream")])
def test_a_body_without_end_is_broken_off(start: Start, server: ScriptedMcp, act: Act) -> None:
    server.script.append(act)
    client = start(url=server.url, max_text=1000, call_timeout=DEADLINE)
    assert client.fail(CallTool("call")).code == "too_large"
    client.call()


def test_an_event_above_the_sdk_s_limit_of_the_older_transport_is_too_large(start: Start, simulator: Simulator) -> None:
    client = start(transport="sse", url=simulator.mcp_url("static", "sse"), call_timeout=DEADLINE)
    everything = CallTool("get_coins_markets", {"vs_currency": "usd", "per_page": 250, "sparkline": True})
    assert client.fail(everything).code == "too_large"
    assert len(start(url=simulator.mcp_url("static")).ask(everything).text) > 1024 * 1024
    client.call("get_ping")


# Time


@pytest.mark.parametrize("when", ["handshake", "call"])
def test_a_silent_endpoint_is_waited_for_no_longer_than_the_timeout(
    start: Start, server: ScriptedMcp, when: str
) -> None:
    client = start(url=server.url, call_timeout=SHORT, connect_timeout=1.5 * SHORT)
    if when == "call":
        server.script.append(stay_silent)
    else:
        server.refuse = stay_silent
    seconds = SHORT if when == "call" else 1.5 * SHORT
    assert client.fail(CallTool("call")) == Transient("timeout", f"{server.url} gave no answer in {seconds:g} s")
    server.refuse = None
    client.call()
    assert client.vitals.counters["sessions"] == 2


def test_a_silent_name_server_holds_up_neither_the_answer_nor_a_stop(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: silence.wait(2 * DEADLINE) and [])
    client = start(url="http://mcp.invalid/mcp", connect_timeout=0.2)
    assert client.fail(ListTools()).code == "timeout"
    client.stop()
    silence.set()


def test_a_slow_answer_in_time_is_no_failure(start: Start, simulator: Simulator) -> None:
    armed = simulator.inject(Fault("slow", path="/ping", delay=0.1))
    assert msgspec.json.decode(start(url=simulator.mcp_url("static")).call("get_ping").text) == PING
    assert armed.met.is_set()


def test_a_session_of_the_older_protocol_is_ended_politely(start: Start, server: ScriptedMcp) -> None:
    server.stateful = True
    client = start(url=server.url)
    client.call()
    client.stop()
    assert server.methods[-1] == "DELETE"
    assert server.seen[-1][1]["mcp-session-id"] == "s-1"
