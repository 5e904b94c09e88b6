"""A platform in a script: started, asked, stopped, and nothing of it left behind."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import psycopg2
import pytest
from click.testing import CliRunner

from dataplatform.base.agent import Agent, State
from dataplatform.base.database import Rows
from dataplatform.base.embedded import DataDirectory
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Success, get_data, is_failure
from dataplatform.sources.coingecko import CoinGeckoSource
from dataplatform.system.cli.main import main
from dataplatform.system.config.topology import ConfigurationError, SystemOptions, Topology, load_topology
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform import platform as module
from dataplatform.system.platform import root
from dataplatform.system.platform.platform import Phase, Platform
from tests.integration.topologies import main_job
from tests.support.agents import no_thread_left_behind
from tests.support.waiting import DEADLINE
from tests.system.logs import restored

pytestmark = pytest.mark.story  # of one platform

PHASES = [Phase.RUNNING, Phase.STOPPED]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with restored():
        configure_logs("console", "error", (), io.StringIO())
        yield


@pytest.fixture(scope="module")
def platform(shared_data_dir: Path) -> Iterator[Platform]:
    with no_thread_left_behind(), Platform.start(demo=True, data_dir=shared_data_dir) as platform:
        yield platform


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    return load_topology(main_job(tmp_path))


def children() -> list[psutil.Process]:
    """Return the processes a platform of this module left behind; servers of other tests' sessions may run on."""
    return [child for child in psutil.Process(os.getpid()).children(recursive=True) if child not in OTHERS]


OTHERS: set[psutil.Process] = set()


@pytest.fixture(scope="module", autouse=True)
def others() -> None:
    OTHERS.update(psutil.Process(os.getpid()).children(recursive=True))


# One platform, asked


def test_a_started_platform_is_ready_and_every_agent_runs(platform: Platform) -> None:
    status = platform.status()
    assert (status.phase, status.ready) == (Phase.RUNNING, True)
    assert {agent.state for agent in status.agents} == {State.RUNNING}
    assert {(route.source, route.target) for route in status.routes} == {
        ("coingecko", "stream"),
        ("topics", "database"),
    }
    assert status.uptime > 0


def test_a_script_waits_until_it_sees_what_it_wants(platform: Platform) -> None:
    assert platform.wait_until(lambda now: all(route.written for route in now.routes), timeout=DEADLINE)
    status = platform.status()
    assert all(route.written for route in status.routes)
    assert status.counters("database")["batches"] > 0
    assert (status.counters("database")["unheard of"], status.counters("nobody")["batches"]) == (0, 0)


def test_a_wait_for_what_never_shows_has_its_time(platform: Platform) -> None:
    assert not platform.wait_until(lambda _: False, timeout=0.1)


def test_the_database_is_asked_in_sql_which_cannot_change_it(platform: Platform) -> None:
    assert get_data(platform.sql("SELECT 1 AS one")) == Rows(("one",), [(1,)])
    assert get_data(platform.sql("/* one */ (values (1)) -- row")).rows == [(1,)]
    for writing in ("DELETE FROM crypto_prices", "-- select\nCREATE TABLE t ()"):
        refused = platform.sql(writing)
        assert is_failure(refused)
        assert str(refused.error).startswith("rejected: sql() only reads")


def test_a_table_that_is_not_there_is_no_promise_to_make_it(platform: Platform) -> None:
    missing = platform.sql("select * from nosuch")
    assert is_failure(missing)
    assert missing.error.code == "not_found"
    assert 'relation "nosuch" does not exist' in str(missing.error)
    assert "made when" not in str(missing.error)


def test_the_addresses_of_embedded_servers_are_those_that_clients_of_any_kind_connect_to(platform: Platform) -> None:
    servers = platform.status().servers
    with closing(psycopg2.connect(servers["postgres"])) as database, database.cursor() as cursor:
        cursor.execute("select count(*) from crypto_prices")
    host, _, port = servers["broker"].partition(":")
    socket.create_connection((host, int(port)), timeout=DEADLINE).close()


def test_dead_letters_that_go_to_a_topic_are_no_table_of_the_account(platform: Platform) -> None:
    assert platform.wait_until(lambda status: "crypto_prices" in status.books.tables, timeout=DEADLINE)
    assert "dead_letters" not in platform.status().books.tables


def test_a_paused_source_is_restarted_and_still_paused(platform: Platform) -> None:
    def said(*command: str) -> str:
        return CliRunner().invoke(main, [*command, "--data-dir", str(platform.data.path)]).stdout

    assert said("pause", "coingecko") == "coingecko is paused\n"
    assert said("restart", "coingecko") == "coingecko was restarted, and is still paused\n"
    assert said("resume", "coingecko") == "coingecko reads on\n"


def test_a_source_is_asked_by_its_name(platform: Platform) -> None:
    answer = platform["coingecko"].get_current_prices(["ethereum", "bitcoin"]).get(timeout=DEADLINE)
    assert [price.coin_id for price in answer.data] == ["ethereum", "bitcoin"]
    assert {price.source for price in answer.data} == {"simulator"}


def test_a_target_is_written_to_by_its_name(platform: Platform) -> None:
    prices = platform["coingecko"].get_current_prices(["bitcoin"]).get(timeout=DEADLINE).data
    written = platform["database"].publish_prices(prices).get(timeout=DEADLINE)
    assert (written.data.published, written.data.refused) == (1, ())


def test_sources_and_targets_are_had_by_their_kind_and_names_that_are_none_are_put_right(platform: Platform) -> None:
    prices = platform.source("coingecko").get_current_prices(["bitcoin"]).value(timeout=30)
    assert platform.target("database").publish_prices(prices).value(timeout=30).published == 1
    for ask in (platform.source, platform.target, platform.service):
        with pytest.raises(KeyError, match="is called 'coingeko'"):
            ask("coingeko")
    with pytest.raises(KeyError, match="did you mean 'coingecko'"):
        platform.source("coingeko")


def test_any_agent_tells_its_status(platform: Platform) -> None:
    answer = platform["redpanda.producer"].get_status().get(timeout=DEADLINE)
    assert isinstance(answer, Success)
    assert answer.data.kind == "client"


def test_a_name_that_no_agent_has_is_an_error_with_a_suggestion(platform: Platform) -> None:
    with pytest.raises(KeyError, match="no agent is called 'coingeko'; did you mean 'coingecko'"):
        platform["coingeko"]


def test_a_data_directory_belongs_to_one_platform(platform: Platform) -> None:
    with pytest.raises(Permanent, match=f"is in use by process {os.getpid()}"):
        Platform.start(demo=True, data_dir=platform.data.path)
    assert platform.status().phase is Phase.RUNNING


def test_a_stopped_platform_has_stopped_every_agent_and_may_be_stopped_again(platform: Platform) -> None:
    platform.stop()
    platform.stop()
    status = platform.status()
    assert (status.phase, platform.reason) == (Phase.STOPPED, None)
    assert {agent.shown for agent in status.agents} == {"stopped"}
    assert platform.status().uptime == status.uptime
    assert not platform.wait_until(lambda _: False, timeout=3600)
    answer = platform["coingecko"].get_current_prices(["bitcoin"]).get(timeout=DEADLINE)
    assert is_failure(answer)
    assert children() == []


# Starts that fail


def assert_free(data_dir: Path) -> None:
    """Assert that the lock of the directory is free, and that no process of ours runs."""
    with (data_dir / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert children() == []


def test_a_topology_may_be_given_by_its_file(tmp_path: Path, data_dir: Path) -> None:
    file = main_job(tmp_path)
    with Platform.start(str(file), demo=True, data_dir=data_dir) as platform:
        assert platform.topology == load_topology(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Platform.start(tmp_path / "missing.toml", demo=True, data_dir=data_dir)


def test_an_event_loop_goes_on_while_a_platform_starts_answers_and_stops(data_dir: Path) -> None:
    async def run() -> tuple[str, int]:
        ticks = 0
        done = asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not done.is_set():
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.ensure_future(tick())
        async with Platform.start_async(demo=True, data_dir=data_dir) as platform:
            answer = await platform.source("coingecko").get_current_price("bitcoin")
        done.set()
        await ticking
        return get_data(answer).coin_id, ticks

    with no_thread_left_behind():
        coin_id, ticks = asyncio.run(run())
    assert coin_id == "bitcoin"
    assert ticks > 10
    assert not children()


def test_a_start_in_an_event_loop_that_is_cancelled_leaves_nothing_behind(data_dir: Path) -> None:
    async def run() -> None:
        async def start() -> None:
            async with Platform.start_async(demo=True, data_dir=data_dir):
                raise AssertionError("it was cancelled before")

        starting = asyncio.ensure_future(start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(run())
    assert not children()
    DataDirectory(data_dir).open().close()


def test_a_topology_that_does_not_fit_together_is_refused(data_dir: Path) -> None:
    with pytest.raises(Permanent, match="there is no source"):
        Platform.start(Topology(), data_dir=data_dir)
    assert not (data_dir / "lock").exists()


def test_a_start_that_takes_too_long_leaves_nothing_behind(
    data_dir: Path, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_TIMEOUT", 0.5)
    monkeypatch.setattr(CoinGeckoSource, "_opened", lambda self: None)  # so it never says that it is ready
    with no_thread_left_behind():
        with pytest.raises(Transient, match=r"not ready within 0\.5 s"):
            Platform.start(topology, demo=True, data_dir=data_dir)
        assert_free(data_dir)


def test_a_start_that_gives_up_says_why_and_leaves_nothing_behind(
    data_dir: Path, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Agent) -> None:
        raise RuntimeError("no prices today")

    monkeypatch.setattr(CoinGeckoSource, "_open", fail)
    impatient = Topology(
        system=SystemOptions(restarts=0),
        clients=topology.clients,
        sources=topology.sources,
        targets=topology.targets,
        routes=topology.routes,
    )
    with no_thread_left_behind():
        with pytest.raises(Transient, match="coingecko crashed: RuntimeError: no prices today"):
            Platform.start(impatient, demo=True, data_dir=data_dir)
        assert_free(data_dir)


def test_a_bug_in_the_start_itself_leaves_nothing_behind(
    data_dir: Path, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    for home, name in ((module, "assemble"), (root, "root_entry"), (root, "Supervisor")):
        with monkeypatch.context() as patch, no_thread_left_behind(), ExitStack() as stack:
            patch.setattr(home, name, fail if name != "Supervisor" else None)
            stack.enter_context(pytest.raises((RuntimeError, AttributeError, TypeError)))
            Platform.start(topology, demo=True, data_dir=data_dir)
        assert_free(data_dir)
    with DataDirectory(data_dir) as data:
        assert data.path.is_dir()
