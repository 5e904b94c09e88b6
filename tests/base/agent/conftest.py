"""A runtime per test, whose time stands still until the test moves it, and which leaves no thread behind."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.support.agents import Parent, Stage, Trace, no_thread_left_behind


@pytest.fixture
def stage() -> Iterator[Stage]:
    with no_thread_left_behind():
        stage = Stage()
        yield stage
        stage.stop()


@pytest.fixture
def parent(stage: Stage) -> Parent:
    return stage.parent


@pytest.fixture
def trace(stage: Stage) -> Trace:
    return stage.trace


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as logs:
        yield logs
