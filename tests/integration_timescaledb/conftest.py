"""Fixtures: TimescaleDB itself, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.support.timescaledb import timescaledb, timescaledb_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The real extension comes from npm, and starts slowly."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.long)


__all__ = ["database", "timescaledb", "timescaledb_server"]


@pytest.fixture
def database(timescaledb: str) -> Iterator[connection]:
    """A connection to an empty database with the extension, in autocommit mode."""
    database = psycopg2.connect(timescaledb)
    database.autocommit = True
    yield database
    database.close()
