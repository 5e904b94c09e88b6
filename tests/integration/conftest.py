"""Fixtures for whole platforms: data directories in which PostgreSQL starts quickly, runs that end with the test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from dataplatform.base.agent import Runtime
from dataplatform.base.embedded import EmbeddedPostgres
from tests.base.embedded.servers import House
from tests.integration.platforms import PlatformProcess
from tests.support.folders import new_folder

Start = Callable[..., PlatformProcess]


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that servers of another account may enter, with room for reports beside the data."""
    with new_folder() as folder:
        folder.chmod(0o711)
        yield folder


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory in which PostgreSQL ran once, to be copied."""
    with open_folder() as folder:
        house = House(Runtime.start())
        house.start(EmbeddedPostgres.child("postgres", folder / "data")).ready()
        house.close()
        yield folder / "data"


@contextmanager
def copied(template: Path) -> Iterator[Path]:
    with open_folder() as folder:
        data = folder / "data"
        data.mkdir(mode=0o700)
        subprocess.run(["cp", "-a", str(template / "postgres"), str(data)], check=True)
        yield data


@pytest.fixture
def data_dir(template: Path) -> Iterator[Path]:
    with copied(template) as data:
        yield data


@pytest.fixture(scope="module")
def shared_data_dir(template: Path) -> Iterator[Path]:
    """A data directory for the tests of one module."""
    with copied(template) as data:
        yield data


@pytest.fixture
def start(data_dir: Path) -> Iterator[Start]:
    """Run the command line with the test's data directory."""
    with ExitStack() as stack:

        def start(*arguments: str) -> PlatformProcess:
            return stack.enter_context(closing(PlatformProcess.start(data_dir, *arguments)))

        yield start
