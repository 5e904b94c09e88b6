"""Calls that fit servers of several generations: the first tool that is there now is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataplatform.base.agent import ManualClock
from dataplatform.base.mcp import CallAnyOf, CallTool
from dataplatform.errors import Permanent, Transient
from dataplatform.simulator import Fault, Simulator, SimulatorSettings
from tests.base.mcp.driven_client import Client, odd
from tests.base.mcp.http_server import ScriptedMcp, status, tool_text

Start = Callable[..., Client]
NONE = Permanent("unsupported", "neither generation has it", remedy="ask elsewhere")
CODE = "async function run(client) { return await client.ping.get(); }"
PING = CallAnyOf((CallTool("get_ping"), CallTool("execute", {"code": CODE})), NONE)


def any_of(*names: str) -> CallAnyOf:
    return CallAnyOf(tuple(CallTool(name, {"name": name}) for name in names), NONE)


@pytest.mark.parametrize(("generation", "tool"), [("static", "get_ping"), ("code", "execute")])
def test_the_first_tool_that_the_server_has_answers_and_is_named(
    start: Start, simulator: Simulator, generation: Any, tool: str
) -> None:
    answer = start(url=simulator.mcp_url(generation)).ask(PING)
    assert answer.tool == tool
    assert "To the Moon" in answer.text


def test_a_server_that_has_none_of_the_tools_is_a_failure_of_the_callers_words(start: Start) -> None:
    assert start(**odd()).fail(any_of("telephone", "telegraph")) == NONE


def test_a_server_is_asked_once_for_its_tools(start: Start, server: ScriptedMcp) -> None:
    client = start(url=server.url)
    for _ in range(3):
        client.ask(any_of("call"))
    assert server.methods.count("tools/list") == 1
    assert server.methods.count("tools/call") == 3


def test_tools_that_change_within_a_session_are_noticed(start: Start, simulator: Simulator) -> None:
    client = start(url=simulator.mcp_url("static"))
    assert client.ask(PING).tool == "get_ping"
    change = simulator.inject(Fault("changed_tools", path="/mcp/static"))
    assert client.ask(PING).tool == "execute"
    simulator.clear_faults()
    assert change.met.is_set()
    assert client.ask(PING).tool == "get_ping"
    assert client.vitals.counters["sessions"] == 1


def test_tools_that_come_later_are_noticed(start: Start, simulator: Simulator) -> None:
    static = CallAnyOf((CallTool("get_ping"),), NONE)
    client = start(url=simulator.mcp_url("static"))
    simulator.inject(Fault("changed_tools", path="/mcp/static"))
    assert client.fail(static) == NONE
    simulator.clear_faults()
    assert client.ask(static).tool == "get_ping"


def test_another_session_asks_anew_what_there_is(start: Start) -> None:
    first = Simulator()
    first.start()
    port = int(first.base_url.split(":")[2].split("/")[0])
    client = start(url=first.mcp_url("static"))
    assert client.ask(PING).tool == "get_ping"
    first.stop()
    assert isinstance(client.fail(PING), Transient)
    with Simulator(SimulatorSettings(port=port, early_tools=False)):
        assert client.fail(PING) == NONE


def test_an_error_of_the_tool_is_not_taken_for_another_generation(start: Start, server: ScriptedMcp) -> None:
    client = start(url=server.url)
    client.ask(any_of("call"))
    server.script.append(tool_text("no such thing", is_error=True))
    failure = client.fail(any_of("call", "call-2"))
    assert (type(failure), failure.code) == (Permanent, "tool_error")
    assert server.methods.count("tools/call") == 2


def test_when_the_tools_cannot_be_listed_that_is_the_failure(start: Start, server: ScriptedMcp) -> None:
    server.refuse = status(503)
    assert start(url=server.url).fail(any_of("call")).code == "server_error"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('404 {"error":"coin not found"}', "not_found"),
        ("Error: 401 no key", "unauthorized"),
        ("429 <!DOCTYPE html><title>Cloudflare</title>", "blocked"),
        ("RateLimitError: 429 too many requests", "rate_limited"),
        ("502\n<html>", "server_error"),
    ],
)
def test_an_error_of_the_api_is_one_although_the_tool_does_not_say_so(
    start: Start, server: ScriptedMcp, text: str, code: str
) -> None:
    server.script.append(tool_text(text))
    assert start(url=server.url).fail(any_of("call")).code == code


@pytest.mark.parametrize("text", ["500 apples", "404", '{"error": 404}', "[429]", "see error 404 {}"])
def test_what_only_mentions_a_number_is_an_answer(start: Start, server: ScriptedMcp, text: str) -> None:
    server.script.append(tool_text(text))
    assert start(url=server.url).ask(any_of("call")).text == text


@pytest.mark.parametrize(
    "words", ["Retry-After: 30", "please retry after 30 seconds", "try again in 30s", '"retry_after" no; retry in 30']
)
def test_a_pause_that_a_text_asks_for_is_made(
    start: Start, server: ScriptedMcp, clock: ManualClock, words: str
) -> None:
    server.script.append(tool_text(f"429 {words}", is_error=True))
    client = start(url=server.url)
    failure = client.fail(CallTool("call"))
    assert isinstance(failure, Transient)
    assert failure.retry_after == 30.0
    asked = len(server.seen)
    assert client.fail(CallTool("call")).code == "rate_limited"
    assert len(server.seen) == asked
    clock.advance(30.0)
    client.call()
