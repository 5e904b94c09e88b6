"""An MCP server that dies, hangs, refuses or talks nonsense: a timely failure of the operation, then recovery."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import psutil
import pytest

from dataplatform.base.mcp import McpClient, McpSettings
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, get_data
from dataplatform.simulator import Fault, Simulator
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource, FeedOptions
from dataplatform.sources.coingecko.transports import Mcp
from tests.base.mcp.http_server import Act, ScriptedMcp, hang_up, status, stay_silent, tool_text
from tests.dsl.flows import INPUT, SOURCE, Flow
from tests.sources.coingecko.answers import row
from tests.sources.coingecko.transports import clocked, over, stdio
from tests.support.solo import PATIENCE, failure
from tests.support.waiting import SHORT

PRICE = tool_text(json.dumps([row("bitcoin")]))


@pytest.fixture
def server() -> Iterator[ScriptedMcp]:
    server = ScriptedMcp()
    server.tools = ["get_coins_markets"]
    yield server
    server.close()


@pytest.mark.parametrize(
    ("act", "kind", "code"),
    [
        (hang_up, Transient, "lost"),
        (stay_silent, Transient, "timeout"),
        (status(503), Transient, "server_error"),
        (status(401, b"no key"), Permanent, "unauthorized"),
        (tool_text("out of order", is_error=True), Permanent, "tool_error"),
        (tool_text('404 {"error":"coin not found"}'), Permanent, "not_found"),
        (tool_text("429 <!DOCTYPE html><title>Cloudflare</title>", is_error=True), Transient, "blocked"),
        (tool_text("<!DOCTYPE html><title>Just a moment...</title>"), Transient, "not_json"),
        (tool_text("The price of bitcoin is 77,000 dollars."), Transient, "not_json"),
        (tool_text(""), Transient, "not_json"),
        (tool_text('{"prices": []}'), Permanent, "changed_shape"),
    ],
)
def test_an_operation_fails_by_name_and_the_next_one_is_answered(
    server: ScriptedMcp, act: Act, kind: type[PlatformError], code: str
) -> None:
    server.script.extend([act, PRICE])
    with clocked(datetime.now(UTC)) as (agents, _):
        reader = over(agents, "coingecko", McpSettings(url=server.url, call_timeout=SHORT))
        answer = reader.get_current_price("bitcoin").get(timeout=PATIENCE)
        assert isinstance(answer, Failure)
        assert (type(answer.error), answer.error.code) == (kind, code)
        assert server.url in answer.error.message
        price = get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE))
        assert (price.coin_id, price.source) == ("bitcoin", "coingecko")


def test_a_server_that_changes_its_generation_is_spoken_to_in_the_new_one() -> None:
    with Simulator() as simulator, clocked(datetime.now(UTC)) as (agents, _):
        reader = over(agents, "coingecko", McpSettings(url=simulator.mcp_url("static")))
        before = get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE))
        change = simulator.inject(Fault("changed_tools", path="/mcp/static"))
        assert get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE)).coin_id == before.coin_id
        assert change.met.is_set()


def test_a_child_process_that_is_killed_is_started_again_by_the_next_question() -> None:
    command = ("-m", "dataplatform.simulator", "--mcp", "code")
    with clocked(datetime.now(UTC)) as (agents, _):
        reader = over(agents, "coingecko", stdio(sys.executable, *command, connect_timeout=20.0))
        assert get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE)).source == "simulator"
        (child,) = (one for one in psutil.Process().children(recursive=True) if set(command) <= set(one.cmdline()))
        guard = child.parent()
        assert guard is not None
        child.kill()
        psutil.wait_procs([child, guard], timeout=PATIENCE)
        again = reader.get_current_price("bitcoin").get(timeout=PATIENCE)
        assert not isinstance(again, Failure), "a process that is known to be dead is replaced before it is asked"
        assert child.pid not in {one.pid for one in psutil.Process().children(recursive=True)}


def test_a_server_that_does_not_exist_is_said_to_be_missing() -> None:
    with clocked(datetime.now(UTC)) as (agents, _):
        reader = over(agents, "coingecko", stdio("no-such-mcp-server"))
        assert failure(reader.get_market_analytics().get(timeout=PATIENCE)) == "no_command"


# Feeds


@pytest.mark.parametrize("generation", ["static", "code"])
def test_a_feed_brings_prices_over_mcp_and_waits_an_outage_out(flow: Flow, market: Simulator, generation: str) -> None:
    settings = McpSettings(url=market.mcp_url(generation))  # type: ignore[arg-type]
    options = CoinGeckoOptions(client=INPUT, feeds=(FeedOptions(operation="get_current_prices", top=300),))
    market.inject(Fault("server_error", times=1))
    flow.run(
        McpClient.child(INPUT, settings),
        lambda outbox: CoinGeckoSource.child(SOURCE, options, INPUT, outbox, Mcp(settings), stage=2),
        "table",
    )
    flow.until(lambda: flow.reason(SOURCE) is not None)
    assert str(flow.reason(SOURCE)).startswith("server_error: ")
    flow.in_time(lambda: flow.account("table").written == 300)
    assert len(set(flow.store("table").coins)) == 300
    assert flow.reason(SOURCE) is None
