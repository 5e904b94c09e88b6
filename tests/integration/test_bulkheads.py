"""Which crashes end a platform: those of the flow do, those of what answers questions never."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pykka
import pytest
from pykka.messages import ProxyCall

from dataplatform.base.agent import AgentStatus, GetStatus
from dataplatform.result import Success, is_success
from dataplatform.services.gateway.client import RemotePlatform
from dataplatform.services.gateway.requests import RestartAgent
from dataplatform.system.config.topology import load_topology
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform.platform import Platform
from tests.integration.topologies import main_job
from tests.system.logs import restored

pytestmark = pytest.mark.story  # of one platform
DEADLINE = 60.0  # seconds
MCP = """
[services.mcp]
kind = "mcp"
port = 0
"""
BULKHEADS = {
    "topics.view": "topics.view.supervisor",
    "mcp": "mcp.supervisor",
    "bookkeeper": "bookkeeper.supervisor",
    "control": "control.supervisor",
}
FLOW = ("simulator", "coingecko-http", "topics.consumer", "timescale.1", "database", "coingecko")


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with restored():
        configure_logs("console", "critical", (), io.StringIO())
        yield


def start(data_dir: Path, folder: Path) -> Platform:
    file = main_job(folder, system="restarts = 1")
    file.write_text(file.read_text() + MCP)
    return Platform.start(load_topology(file), demo=True, data_dir=data_dir)


@pytest.fixture(scope="module")
def platform(shared_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with start(shared_data_dir, tmp_path_factory.mktemp("bulkheads")) as platform:
        yield platform


def status(platform: Platform, name: str) -> AgentStatus:
    found = platform.address(name).status()
    assert found is not None
    return found


def strike(platform: Platform, name: str) -> None:
    """Have an agent crash over a bug of its own, if it runs just now, and wait until it is gone."""
    entry = platform.runtime.directory.entry(name)
    assert entry is not None
    if (ref := entry.ref) is None:
        platform.wait_end(0.01)
        return
    with suppress(pykka.ActorDeadError):
        ref.tell(ProxyCall(("count",), ("crashes", "a bug"), {}))
    assert entry.gone.wait(DEADLINE)


def crash_until_pause(platform: Platform, name: str, bulkhead: str) -> None:
    before = status(platform, bulkhead).counters.get("pauses", 0)
    while status(platform, bulkhead).counters.get("pauses", 0) == before:
        strike(platform, name)


def test_crash_loops_of_all_that_answers_questions_leave_the_flow_alone(platform: Platform) -> None:
    for name, bulkhead in BULKHEADS.items():
        crash_until_pause(platform, name, bulkhead)
        shown = status(platform, bulkhead)
        assert shown.shown == "degraded"
        assert shown.degraded is not None
        assert shown.degraded.reason.startswith(f"crash_loop: {name} crashed: TypeError")
        assert shown.degraded.next_try is not None
    assert platform.reason is None
    before = {route.target: route.written for route in platform.status().routes}
    assert platform.wait_until(
        lambda now: all(route.written > before[route.target] for route in now.routes), timeout=DEADLINE
    )
    others = {agent.name: agent.restarts for agent in platform.status().agents if agent.name not in BULKHEADS}
    assert set(others.values()) == {0}


def test_they_are_started_again_after_a_pause_and_answer(platform: Platform) -> None:
    assert platform.wait_until(
        lambda now: all(agent.shown == "running" for agent in now.agents if agent.name in BULKHEADS), timeout=DEADLINE
    )
    for name, bulkhead in BULKHEADS.items():
        assert status(platform, bulkhead).shown == "running"
        assert is_success(platform.address(name).ask(GetStatus(), DEADLINE))
    assert is_success(platform["topics"].get_current_prices(["bitcoin"]).get(timeout=DEADLINE))
    assert "control" in {agent.name for agent in RemotePlatform(platform.data.path).status().agents}


@pytest.mark.parametrize("name", [name for name in BULKHEADS if name != "control"])
def test_an_agent_behind_a_bulkhead_can_be_restarted_by_its_name(platform: Platform, name: str) -> None:
    before = status(platform, name).restarts
    assert platform.operator.ask("", RestartAgent(name), DEADLINE) == Success(None)
    assert status(platform, name).restarts == before + 1


def test_a_platform_with_bulkheads_stops_in_good_order_while_they_pause(platform: Platform) -> None:
    for name, bulkhead in BULKHEADS.items():
        crash_until_pause(platform, name, bulkhead)
    platform.stop()
    assert platform.reason is None
    states = {agent.name: agent.shown for agent in platform.status().agents}
    assert {name for name, state in states.items() if state != "stopped"} <= set(BULKHEADS)


@pytest.mark.parametrize("name", FLOW)
def test_a_crash_loop_of_the_flow_ends_the_platform(name: str, data_dir: Path, tmp_path: Path) -> None:
    with start(data_dir, tmp_path) as platform:
        while not platform.wait_end(0):
            strike(platform, name)
        assert platform.reason is not None
        assert platform.reason.startswith(f"{name} crashed: TypeError")
