"""A small platform and the other end of its socket; and what was logged, for tests of what people read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
import structlog.testing

from tests.system.control.conftest import platform, quiet, remote
from tests.system.logs import restored

__all__ = ["logs", "platform", "quiet", "remote"]


@pytest.fixture
def logs() -> Iterator[list[structlog.typing.EventDict]]:
    with restored():
        structlog.reset_defaults()  # the platform of this folder's tests says errors only
        with structlog.testing.capture_logs() as logs:
            yield logs
