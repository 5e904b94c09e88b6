"""Fixtures for embedded servers: a house to start them in, the log as a queue, and a data directory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from dataplatform.base.agent import BackoffPolicy, Runtime
from dataplatform.base.embedded import EmbeddedPostgres
from tests.base.embedded.servers import House, Inbox
from tests.support.folders import new_folder


@pytest.fixture
def house(events: Inbox) -> Iterator[House]:
    house = House(Runtime.start(backoff=BackoffPolicy(base=0.02, cap=0.1)))
    yield house
    house.close()


@pytest.fixture
def events() -> Iterator[Inbox]:
    """The log, line by line."""
    before, inbox = structlog.get_config(), Inbox()

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        inbox.tell(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    yield inbox
    structlog.configure(**before)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A new folder with mode 0700 and a path short enough for a socket."""
    with new_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory in which PostgreSQL ran once, to be copied."""
    with new_folder() as folder:
        house = House(Runtime.start())
        house.start(EmbeddedPostgres.child("postgres", folder)).ready()
        house.close()
        yield folder


@pytest.fixture
def database(template: Path, data_dir: Path) -> Path:
    """A data directory in which PostgreSQL starts quickly."""
    subprocess.run(["cp", "-a", str(template / "postgres"), str(data_dir)], check=True)
    return data_dir
