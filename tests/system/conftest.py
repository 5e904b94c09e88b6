"""Every test leaves the log as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.logs import restored


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    with restored():
        yield
