"""A stage for agents whose time a test owns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.agents import Stage, no_thread_left_behind


@pytest.fixture
def stage() -> Iterator[Stage]:
    with no_thread_left_behind():
        stage = Stage()
        yield stage
        stage.stop()
