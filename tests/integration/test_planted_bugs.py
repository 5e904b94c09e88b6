"""A bug in any agent is mended by a restart while the others go on; one that is always there ends the platform."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from click.testing import CliRunner

from dataplatform.base.agent import Agent, AgentStatus
from dataplatform.base.database import TimescaleClient
from dataplatform.base.http import HttpClient
from dataplatform.base.streaming import RedpandaConsumer, RedpandaProducer
from dataplatform.sources.coingecko import CoinGeckoSource
from dataplatform.sources.redpanda import RedpandaSource
from dataplatform.system.cli.main import main
from dataplatform.system.config.topology import load_topology
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform.accounts import Bookkeeper
from dataplatform.system.platform.platform import Phase, Platform
from dataplatform.targets.redpanda import RedpandaTarget
from dataplatform.targets.timescale import TimescaleTarget
from tests.integration.platforms import DEADLINE, restarted, unbalanced
from tests.integration.topologies import main_job
from tests.system.logs import restored

pytestmark = pytest.mark.story  # of one platform

AGENTS: dict[str, type[Agent]] = {
    "coingecko-http": HttpClient,
    "redpanda.producer": RedpandaProducer,
    "topics.consumer": RedpandaConsumer,
    "timescale.1": TimescaleClient,
    "stream": RedpandaTarget,
    "database": TimescaleTarget,
    "coingecko": CoinGeckoSource,
    "topics": RedpandaSource,
    "bookkeeper": Bookkeeper,
}
STAGES = ("source", "target", "service", "client", "server")  # in the order in which they stop


@define(eq=False)
class Bug:
    """A `RuntimeError` in one agent's `receive`: in its next message only, or in all messages for ever."""

    for_ever: bool = False
    struck: threading.Event = field(factory=threading.Event)
    mended: threading.Event = field(factory=threading.Event)  # the next incarnation has handled a message
    incarnation: int = 0

    def meet(self, agent: Agent) -> None:
        if self.for_ever or not self.struck.is_set():
            self.incarnation = agent.context.incarnation
            self.struck.set()
            raise RuntimeError("a planted bug")

    def survived_by(self, agent: Agent) -> None:
        if self.struck.is_set() and agent.context.incarnation > self.incarnation:
            self.mended.set()


class Bugs:
    """Puts bugs into agents by their names."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._planted: dict[str, Bug] = {}
        for cls in AGENTS.values():
            patch.setattr(cls, "receive", self._buggy(cls.receive))

    def plant(self, name: str, bug: Bug) -> Bug:
        self._planted[name] = bug
        return bug

    def _buggy(self, receive: Callable[[Any, Any], Any]) -> Callable[[Agent, Any], Any]:
        def buggy(agent: Agent, message: Any) -> Any:
            bug = self._planted.get(agent.name)
            if bug is None:
                return receive(agent, message)
            bug.meet(agent)
            answer = receive(agent, message)
            bug.survived_by(agent)
            return answer

        return buggy


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def bugs(patch: pytest.MonkeyPatch) -> Bugs:
    return Bugs(patch)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Keep the tracebacks of the planted bugs out of the tests' output."""
    with restored():
        configure_logs("console", "error", (), io.StringIO())
        yield


@pytest.fixture(scope="module")
def platform(bugs: Bugs, shared_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    topology = main_job(tmp_path_factory.mktemp("bugs"), system="restarts = 100")
    with Platform.start(load_topology(topology), demo=True, data_dir=shared_data_dir) as platform:
        yield platform


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_with_a_bug_is_restarted_and_its_peers_go_on(name: str, bugs: Bugs, platform: Platform) -> None:
    before = restarts(platform)
    bug = bugs.plant(name, Bug())
    assert bug.struck.wait(DEADLINE)
    assert bug.mended.wait(DEADLINE)
    assert restarts(platform) == before | {name: before[name] + 1}


def test_after_all_these_bugs_the_account_balances(platform: Platform) -> None:
    assert sum(restarts(platform).values()) == len(AGENTS)
    platform.stop()
    report = platform.report("ok")
    assert unbalanced(report) == []
    assert all(route["records_written"] > 0 for route in report["routes"])
    assert [one for one in report["incidents"] if one["kind"] != "undelivered"] == []


def test_agents_stop_in_the_order_sources_targets_services_clients_servers(platform: Platform) -> None:
    platform.stop()
    assert_stopped_in_order(list(platform.status().agents))


def test_a_bug_that_is_always_there_ends_the_platform_in_good_order(
    bugs: Bugs, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Platform] = []
    start_root = Platform._start_root

    def noted(platform: Platform) -> None:
        started.append(platform)
        start_root(platform)

    monkeypatch.setattr(Platform, "_start_root", noted)
    bugs.plant("stream", Bug(for_ever=True))
    topology, report_file = main_job(tmp_path, system='restarts = 2\nwithin = "1m"'), tmp_path / "report.json"
    arguments = [str(topology), "--demo", "--data-dir", str(data_dir), "--report", str(report_file)]

    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 1
    why = "stream crashed: RuntimeError: a planted bug (crash 3 under supervisor within 60 s)"
    assert why in result.stderr.splitlines()[-1]
    report = json.loads(report_file.read_text())
    assert (report["outcome"], report["reason"]) == ("gave_up", why)
    assert restarted(report) == {"stream": 2}
    states = {agent["name"]: agent["state"] for agent in report["agents"]}
    assert {name for name, state in states.items() if state != "stopped"} == {"stream", "supervisor"}
    assert started[0].status().phase is Phase.STOPPED
    assert_stopped_in_order([agent for agent in started[0].status().agents if agent.name != "stream"])


def restarts(platform: Platform) -> dict[str, int]:
    return {agent.name: agent.restarts for agent in platform.status().agents}


def assert_stopped_in_order(agents: list[AgentStatus]) -> None:
    """Assert that the last agent of each kind stopped before the first of the next; a source's client is a client."""
    times = {kind: [agent.since for agent in agents if agent.kind == kind] for kind in STAGES}
    for earlier, later in pairwise(STAGES):
        assert max(times[earlier]) <= min(times[later]), (earlier, later)
