"""A small platform and the other end of its socket; and what was logged, for tests of what people read."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog
import structlog.testing

from dataplatform.system.console.logs import configure_logs
from tests.system.control.conftest import platform, remote
from tests.system.logs import restored

__all__ = ["logs", "platform", "quiet", "remote"]


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    with restored():
        configure_logs("console", "error", (), io.StringIO())
        yield


@pytest.fixture
def logs() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as logs:
        yield logs
