"""Factories: a reader or writer from one call, mended when it crashes, stopped without a trace."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from attrs import evolve

from dataplatform import (
    create_coingecko_market_data_reader,
    create_mcp_market_data_reader,
    create_mcp_market_data_writer,
    create_redpanda_market_data_reader,
    create_redpanda_market_data_writer,
    create_timescale_market_data_reader,
    create_timescale_market_data_writer,
)
from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.dsl.operations.proxy import Proxy
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Success, get_data, is_failure
from dataplatform.sources.coingecko import CoinGeckoSource, transforms
from dataplatform.system.platform.demo import DemoServers, demo_servers
from dataplatform.system.platform.factories import HOSTED, LOCAL, MarketDataReader
from tests.base.mcp.driven_client import odd
from tests.dsl.records import price
from tests.support.agents import no_thread_left_behind
from tests.support.solo import failure
from tests.support.waiting import DEADLINE

PATIENCE = DEADLINE
NOWHERE = "postgresql://127.0.0.1:1/nowhere"
SCRIPT = Path(__file__).parents[2] / "scripts" / "topologies" / "pipeline.py"
STOP_ALL = f"""
import pykka
from dataplatform import create_coingecko_market_data_reader, create_timescale_market_data_writer
reader, writer = create_coingecko_market_data_reader(), create_timescale_market_data_writer("db", {NOWHERE!r})
pykka.ActorRegistry.stop_all()
print(writer.flush().get(timeout=60).error.code, len(pykka.ActorRegistry.get_all()))
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[DemoServers]:
    with demo_servers() as servers:
        yield servers


@pytest.fixture
def reader(servers: DemoServers) -> Iterator[MarketDataReader]:
    with no_thread_left_behind(), create_coingecko_market_data_reader(client=servers.coingecko) as reader:
        yield reader


@contextmanager
def no_process_left_behind() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    _, alive = psutil.wait_procs(set(psutil.Process().children(recursive=True)) - before, timeout=60)
    assert not alive


def wait_until_it_answers(proxy: Proxy) -> int:
    """Return how often the agent has been restarted when it answers again."""
    deadline = time.monotonic() + PATIENCE
    while is_failure(answer := proxy.get_status().get(timeout=PATIENCE)):
        assert time.monotonic() < deadline, answer.error
    return answer.data.restarts


def test_a_reader_of_coingecko_answers_over_mcp(reader: MarketDataReader) -> None:
    (answer,) = get_data(reader.get_current_prices(["bitcoin"]).get(timeout=PATIENCE))

    assert (answer.coin_id, answer.source) == ("bitcoin", "simulator")


def test_a_reader_of_coingecko_answers_over_rest(servers: DemoServers) -> None:
    assert servers.coingecko.url is not None
    rest = HttpSettings(base_url=servers.coingecko.url.replace("/mcp/code/mcp", "/api/v3"))
    with create_coingecko_market_data_reader("rest", client=rest) as reader:
        assert get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE)).source == "simulator"


def test_where_coingecko_is_reached_follows_from_the_arguments() -> None:
    assert HOSTED.url == "https://mcp.api.coingecko.com/mcp"
    assert (LOCAL.transport, LOCAL.command) == ("stdio", "npx")


def test_what_a_writer_acknowledged_a_reader_of_the_database_answers(servers: DemoServers) -> None:
    written = price("factory", source="simulator")
    with (
        create_timescale_market_data_writer("out", connection_string=servers.timescale) as writer,
        create_timescale_market_data_reader("in", servers.timescale, simulated=True) as reader,
    ):
        assert get_data(writer.publish_price(written).get(timeout=PATIENCE)).target == "out"
        assert reader.get_current_price("factory").get(timeout=PATIENCE) == Success(written)


def test_what_a_writer_acknowledged_a_reader_of_the_topic_answers(servers: DemoServers) -> None:
    written, topics = price("factory", source="simulator"), {"prices": "factory-prices"}
    with create_redpanda_market_data_writer("out", servers.redpanda, topics) as writer:
        assert get_data(writer.publish_prices([written]).get(timeout=PATIENCE)).published == 1
    with create_redpanda_market_data_reader("in", servers.redpanda, topics) as reader:
        assert reader.get_current_price("factory").get(timeout=PATIENCE) == Success(written)


def test_a_bug_in_an_operation_fails_that_one_alone(reader: MarketDataReader, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: object) -> NoReturn:
        raise RuntimeError("a bug")

    with monkeypatch.context() as bug:
        bug.setattr(transforms, "markets", crash)
        assert failure(reader.get_current_price("bitcoin").get(timeout=PATIENCE)) == "bug"

    assert wait_until_it_answers(reader) == 0


def test_a_crash_is_mended_and_the_proxy_outlives_it(reader: MarketDataReader, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> NoReturn:
        raise RuntimeError("a bug")

    with monkeypatch.context() as bug:
        bug.setattr(CoinGeckoSource, "receive", crash)
        with pytest.raises(RuntimeError, match="a bug"):
            reader.get_current_price("bitcoin").get(timeout=PATIENCE)

    assert wait_until_it_answers(reader) == 1
    assert get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE)).coin_id == "bitcoin"


def test_an_unreachable_server_is_answered_as_an_outage() -> None:
    with no_thread_left_behind(), create_timescale_market_data_writer("db", NOWHERE) as writer:
        answer = writer.publish_price(price()).get(timeout=PATIENCE)

    assert isinstance(answer, Failure)
    assert isinstance(answer.error, Transient)


def test_a_server_here_that_does_not_start_is_told_at_once_with_what_it_said_and_leaves_nothing() -> None:
    broken = McpSettings(**odd("complain", "exit"), env={"API_KEY": "CG-abcdef123456"}, connect_timeout=60.0)
    for create in (create_coingecko_market_data_reader, create_mcp_market_data_reader, create_mcp_market_data_writer):
        said = pytest.raises(Transient, match=r"status 5; it said: my key is \*\*\*$")
        with no_thread_left_behind(), no_process_left_behind(), said:
            create(client=broken)


def test_a_server_here_whose_program_is_missing_is_told_as_that() -> None:
    missing = McpSettings(transport="stdio", command="no-such-program-anywhere")
    with no_thread_left_behind(), pytest.raises(Permanent, match=r"no_command: .*No such file"):
        create_coingecko_market_data_reader(client=missing)


@pytest.mark.skipif(shutil.which("npx") is None, reason="Node.js is not installed here")
def test_a_server_that_npx_cannot_fetch_is_told_with_npms_reason_and_leaves_nothing(tmp_path: Path) -> None:
    unreachable = {"npm_config_registry": "http://127.0.0.1:1", "npm_config_cache": str(tmp_path)}
    local = evolve(LOCAL, env={**LOCAL.env, **unreachable})
    said = pytest.raises(Transient, match=r"status 1; it said: npm error .*127\.0\.0\.1:1")
    with no_thread_left_behind(), no_process_left_behind(), said:
        create_coingecko_market_data_reader(client=local)


def test_after_a_stop_an_operation_says_so_and_a_second_stop_changes_nothing(servers: DemoServers) -> None:
    with no_thread_left_behind():
        reader = create_coingecko_market_data_reader("gone", client=servers.coingecko)
        reader.stop()
        reader.stop()
    assert reader.get_market_analytics().get(timeout=PATIENCE) == Failure(Transient("absent", "gone has been stopped"))


@pytest.mark.parametrize("name", ["", "two words", "supervisor", "x" * 64])
def test_a_name_that_no_agent_can_have_is_refused(name: str) -> None:
    with no_thread_left_behind(), pytest.raises(Permanent, match="is no name"):
        create_coingecko_market_data_reader(name)


def test_a_topic_of_no_kind_of_record_is_refused() -> None:
    with no_thread_left_behind(), pytest.raises(ValueError, match="'price' is no kind of record"):
        create_redpanda_market_data_writer(topics={"price": "somewhere"})


def test_settings_stay_out_of_what_is_shown(servers: DemoServers) -> None:
    secret = evolve(servers.timescale, dsn="postgresql://ada:hunter2@127.0.0.1:1/nowhere")
    with create_timescale_market_data_reader("db", secret) as reader:
        assert "hunter2" not in repr(reader)


def test_pykka_s_own_stop_of_all_actors_does_not_hang() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOP_ALL], capture_output=True, text=True, timeout=DEADLINE, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "absent 0"


@pytest.mark.long
def test_the_pipeline_script_prints_what_it_read_and_what_each_target_acknowledged() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--demo"], capture_output=True, text=True, timeout=DEADLINE, check=False
    )

    assert done.returncode == 0, done.stderr
    *read, timescale, redpanda = done.stdout.splitlines()
    assert [line.split(":")[0] for line in read] == ["read bitcoin", "read ethereum", "read solana"]
    assert all(line.endswith(", simulator") for line in read)
    assert (timescale, redpanda) == ("timescale: 3 prices are durable", "redpanda: 3 prices are durable")
