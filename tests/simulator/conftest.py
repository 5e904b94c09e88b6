"""One simulator for all tests here, at a time that stands still, and a client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import requests

from dataplatform.simulator import Simulator, SimulatorSettings

NOW = datetime(2026, 5, 18, 12, 49, 21, 599_000, tzinfo=UTC)


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7, now=lambda: NOW)) as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Iterator[Simulator]:
    running_simulator.requests.clear()
    yield running_simulator
    running_simulator.clear_faults()


@pytest.fixture(scope="session")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def get(simulator: Simulator, session: requests.Session) -> Callable[..., requests.Response]:
    """Return a function that asks the simulator for a path below `/api/v3`, its parameters being keywords."""

    def get(path: str, **parameters: object) -> requests.Response:
        return session.get(simulator.base_url + path, params={k: str(v) for k, v in parameters.items()}, timeout=10)

    return get
