"""Clients on a clock that stands still, a simulator to talk to, and servers that misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataplatform.base.agent import Context, ManualClock, Request, Runtime
from dataplatform.base.mcp import McpClient, McpSettings
from dataplatform.result import Result
from dataplatform.simulator import Simulator, SimulatorSettings
from tests.base.mcp.driven_client import Client, Parent
from tests.base.mcp.http_server import ScriptedMcp
from tests.support.waiting import DEADLINE


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(clock: ManualClock) -> Iterator[Callable[..., Client]]:
    """Start a client with the given settings; all of them are stopped at the end."""
    runtime, clients = Runtime.start(clock), []

    def start_client(**settings: Any) -> Client:
        parent = Parent()
        context = Context("mcp", runtime, parent)
        ref = McpClient.start(context, McpSettings(**settings))

        def send(request: Request[Any]) -> Result[Any]:
            result: Result[Any] = ref.ask(request, block=True, timeout=DEADLINE)
            return result

        clients.append(Client(context, send, lambda: ref.stop(timeout=DEADLINE), parent))
        return clients[-1]

    yield start_client
    for client in clients:
        client.stop()
    runtime.stop()


@pytest.fixture
def server() -> Iterator[ScriptedMcp]:
    server = ScriptedMcp()
    yield server
    server.close()


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7)) as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Iterator[Simulator]:
    running_simulator.requests.clear()
    yield running_simulator
    running_simulator.clear_faults()
