"""A stage for agents whose time a test owns, and flows on it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.dsl.flows import Flow
from tests.support.agents import Stage, no_thread_left_behind


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


@pytest.fixture
def stage() -> Iterator[Stage]:
    with no_thread_left_behind():
        stage = Stage()
        yield stage
        stage.stop()


@pytest.fixture
def flow(stage: Stage) -> Iterator[Flow]:
    flow = Flow(stage)
    yield flow
    flow.end()
