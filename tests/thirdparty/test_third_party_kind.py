"""A kind of record in a package of somebody else's: published, stored, read, dead-lettered, replayed and asked for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kafka
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import TextResourceContents

from dataplatform.base.embedded import broker_address
from tests.support.waiting import DEADLINE
from tests.thirdparty.conftest import Site

TOPOLOGY = """
[clients.redpanda]
kind = "redpanda"
brokers = "embedded"

[clients.timescale]
kind = "timescale"
dsn = "embedded"

[sources.stream]
kind = "redpanda"
client = "redpanda"
topics = { trades = "market-trades" }

[sources.history]
kind = "timescale"
client = "timescale"

[targets.topic]
kind = "redpanda"
client = "redpanda"

[targets.database]
kind = "timescale"
client = "timescale"

[targets.copy]
kind = "timescale"
client = "timescale"
tables = { trades = "trades_copy" }

[system]
dead_letters = "database"

[services.mcp]
kind = "mcp"
allow_writes = true

[[routes]]
from = "stream"
to = ["database"]
"""
NOW = datetime.now(UTC).replace(microsecond=0)
Call = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def installed(install: Callable[[str], Site]) -> Site:
    return install("trades")


def trade(coin: str, number: int) -> dict[str, Any]:
    at = (NOW + timedelta(seconds=number)).isoformat()
    made = {"coinId": coin, "tradeId": f"t{number}", "timestamp": at}
    return {**made, "price": 100.0 + number, "amount": 1.5, "source": "test"}


def test_kinds_that_cannot_be_used_are_listed_with_the_reason_and_harm_no_other(installed: Site) -> None:
    shown = installed.platform("plugins")
    assert shown.returncode == 0, shown.stderr
    assert "kind of record trades" in shown.stdout
    assert "trades:nothing_of_that_name" in shown.stdout
    assert "the name 'prices' is that of the kind 'prices' already" in shown.stdout


@pytest.mark.long
def test_it_is_published_stored_read_dead_lettered_replayed_and_asked_for_like_our_own(
    installed: Site, data_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "trades.toml"
    file.write_text(TOPOLOGY)
    asyncio.run(_tour(installed, file, data_dir))


async def _tour(installed: Site, file: Path, data_dir: Path) -> None:
    command = installed.command("mcp", file, "--transport", "stdio", "--data-dir", data_dir, "--log-level", "error")
    server = StdioServerParameters(command=command[0], args=command[1:], env=installed.environment)
    async with Client(server, read_timeout_seconds=DEADLINE) as client:

        async def call(tool: str, **arguments: Any) -> Any:
            answer = await client.call_tool(tool, arguments)
            told = answer.structured_content or {}
            return answer.content if answer.is_error else told.get("result", told)

        await _published_and_read(client, call)
        await asyncio.to_thread(_put_what_is_no_trade, broker_address(data_dir))
        await _until(lambda: call("dead_letters"), lambda told: told["stored"] == 1)
        options = ["--topic", "market-trades", "--kind", "trades", "--from", "1h", "--to-target", "copy"]
        replayed = await asyncio.to_thread(installed.platform, "replay", file, *options, "--data-dir", data_dir)
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr
        assert "3" in replayed.stdout
    rest = installed.platform("dead-letters", "list", file, "--data-dir", data_dir, "--json")
    assert "market-trades" in rest.stdout, rest.stderr


async def _published_and_read(client: Client, call: Call) -> None:
    first, second, other = trade("bitcoin", 1), trade("bitcoin", 2), trade("ethereum", 3)
    many = await call("publish_trades", target="topic", trades=[second, first])
    assert many["published"] == 2, many
    one = await call("publish_trade", target="topic", trade=other)
    assert one == {"target": "topic", "kind": "trades"}
    asked = {"coinIds": ["ethereum", "bitcoin"]}
    for source in ("history", "stream"):  # from the table, by the route; from the topic itself
        found = await _until(
            lambda source=source: call("get_latest_trades", source=source, **asked),  # type: ignore[misc]
            lambda told: [one["tradeId"] for one in told if isinstance(one, dict)] == ["t3", "t2"],
        )
        assert [one["price"] for one in found] == [103.0, 102.0]
    (schema,) = (await client.read_resource("schema://trades")).contents
    assert isinstance(schema, TextResourceContents)
    assert json.loads(schema.text)["title"] == "Trade"


async def _until(ask: Callable[[], Awaitable[Any]], is_so: Callable[[Any], bool]) -> Any:
    """Ask until the answer is as wanted; each answer takes a turn of the platform."""
    deadline = time.monotonic() + DEADLINE
    told: Any = None
    while time.monotonic() < deadline:
        told = await ask()
        if is_so(told):
            return told
    raise AssertionError(told)


def _put_what_is_no_trade(broker: str) -> None:
    with closing(kafka.KafkaProducer(bootstrap_servers=broker)) as producer:
        producer.send("market-trades", value=b"no trade")
        producer.flush(timeout=20)
