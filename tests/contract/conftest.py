"""A stage for agents whose time a test owns, and views that wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.agents import Stage, no_thread_left_behind
from tests.support.views import patient_views  # noqa: F401 - a fixture


@pytest.fixture
def stage() -> Iterator[Stage]:
    with no_thread_left_behind():
        stage = Stage()
        yield stage
        stage.stop()
