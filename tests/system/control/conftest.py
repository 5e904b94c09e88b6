"""A small platform for all tests of a module, its log left out, and another end of its control socket."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplatform.services.gateway.client import RemotePlatform
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform.platform import Platform
from tests.support.agents import no_thread_left_behind
from tests.system.control.small import small_platform
from tests.system.logs import restored


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with restored():
        configure_logs("console", "error", (), io.StringIO())
        yield


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, quiet: None) -> Iterator[Platform]:
    with no_thread_left_behind(), small_platform(tmp_path_factory.mktemp("control") / "data") as platform:
        yield platform


@pytest.fixture
def remote(platform: Platform) -> RemotePlatform:
    return RemotePlatform(Path(platform.data.path))
