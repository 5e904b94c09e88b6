"""Six wrong requests end nothing: no agent of a platform dies of a message that is not of its protocol."""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykka
import pytest
from attrs import NOTHING, evolve, fields

import dataplatform
from dataplatform.base.agent import Agent, Call, GetStatus, Request, State
from dataplatform.base.agent.actor import understood_by
from dataplatform.base.agent.directory import Entry
from dataplatform.dsl.operations.operations import Flush
from dataplatform.result import Failure, Success
from dataplatform.system.cli.data.partial import log_source
from dataplatform.system.config.topology import load_topology
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform.platform import Platform
from tests.integration.topologies import main_job
from tests.system.logs import restored

DEADLINE = 60.0  # seconds
MORE = """
[clients.far]
kind = "mcp"
url = "http://127.0.0.1:9/mcp"

[sources.history]
kind = "timescale"
client = "timescale"

[sources.their-coingecko]
kind = "mcp"
client = "far"
source = "coingecko"

[targets.their-database]
kind = "mcp"
client = "far"
target = "database"

[services.mcp]
kind = "mcp"
port = 0
"""
GARBAGE = [None, "hello", b"\xff", 7, object(), {"stop": True}, [], Agent, Flush, ValueError("boom")]


def agent_classes() -> set[type[Agent]]:
    """Return every class of agent of the package that is not the base of another one."""
    for module in pkgutil.walk_packages(dataplatform.__path__, "dataplatform."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[Any]] = [Agent]
    classes = set[type[Agent]]()
    while found:
        cls = found.pop()
        own = [one for one in cls.__subclasses__() if one.__module__.startswith("dataplatform.")]
        found += own
        if not (own or inspect.isabstract(cls)):
            classes.add(cls)
    return classes


def protocols() -> set[type[Any]]:
    """Return every message class of every agent's protocol."""
    return {message for cls in agent_classes() for message in understood_by(cls.receive)}


def made(message: type[Any]) -> Any:
    """Return a message of the class without a single field: who does not understand it has no business looking."""
    return object.__new__(message)


@pytest.fixture(scope="module")
def platform(shared_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    file = main_job(tmp_path_factory.mktemp("foreign"))
    file.write_text(file.read_text() + MORE)
    topology = load_topology(file)
    topology = evolve(topology, sources={**topology.sources, **log_source("redpanda")})
    with restored():
        configure_logs("console", "critical", (), io.StringIO())
        with Platform.start(topology, demo=True, data_dir=shared_data_dir) as platform:
            yield platform


def entries(platform: Platform) -> dict[str, Entry]:
    directory = platform.runtime.directory
    return {name: entry for name in directory.names() if (entry := directory.entry(name)) is not None}


def class_of(entry: Entry) -> type[Agent]:
    assert entry.ref is not None
    cls: type[Agent] = entry.ref.actor_class
    return cls


def assert_unharmed(platform: Platform) -> None:
    for name, entry in entries(platform).items():
        assert isinstance(platform.address(name).ask(GetStatus(), DEADLINE), Success), name
        assert (entry.vitals.state in {State.RUNNING, State.PAUSED}, entry.incarnation) == (True, 1), name
    assert platform.reason is None


def test_the_platform_has_an_agent_of_every_class(platform: Platform) -> None:
    assert agent_classes() <= {class_of(entry) for entry in entries(platform).values()}


def test_no_agent_dies_of_foreign_requests(platform: Platform) -> None:
    requests = [message for message in protocols() if issubclass(message, Request)]
    assert len(requests) > 30
    for name, entry in entries(platform).items():
        foreign = [made(one) for one in requests if not issubclass(one, understood_by(class_of(entry).receive))]
        answers = [platform.address(name).future(request) for request in foreign]
        for request, answer in zip(foreign, answers, strict=True):
            refused = answer.get(timeout=DEADLINE)
            assert isinstance(refused, Failure)
            assert refused.error.code == "unsupported", (name, request)
    assert_unharmed(platform)


def test_no_agent_dies_of_foreign_notices(platform: Platform) -> None:
    notices = [message for message in protocols() if not issubclass(message, Request)]
    assert len(notices) > 15
    for name, entry in entries(platform).items():
        for notice in notices:
            if not issubclass(notice, understood_by(class_of(entry).receive)):
                platform.address(name).tell(made(notice))
    assert_unharmed(platform)


def test_no_agent_dies_of_garbage(platform: Platform) -> None:
    nobody = pykka.ActorRegistry.get_all()[0]
    before = {agent.name: agent.counters.get("not_understood", 0) for agent in platform.status().agents}
    for name, entry in entries(platform).items():
        assert entry.ref is not None
        for garbage in GARBAGE:
            entry.ref.tell(garbage)
            entry.ref.tell(Call(garbage, 1_000_000, nobody))  # type: ignore[arg-type]
            assert isinstance(entry.ref.ask(garbage, timeout=DEADLINE), Failure), (name, garbage)
    assert_unharmed(platform)
    after = {agent.name: agent.counters.get("not_understood", 0) for agent in platform.status().agents}
    assert after == {name: count + 3 * len(GARBAGE) for name, count in before.items()}


@pytest.mark.parametrize("garbage", [None, 7, -1.5, object(), [None], {"a": 1}, Flush], ids=lambda one: f"{one!s:.10}")
def test_operations_with_garbage_for_arguments_are_refused_and_harm_nobody(platform: Platform, garbage: object) -> None:
    topology = platform.topology
    for name in (*topology.sources, *topology.targets):
        proxy = platform[name]
        for operation in proxy.takes.__subclasses__():
            required = [one for one in fields(operation) if one.default is NOTHING]
            if required:
                answer = proxy.ask(operation(*[garbage] * len(required)), timeout=DEADLINE)
                assert isinstance(answer, Failure), (name, operation)
                assert answer.error.code in {"bad_argument", "unsupported"}, (name, operation)
    assert_unharmed(platform)
