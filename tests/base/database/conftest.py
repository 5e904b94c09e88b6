"""A PostgreSQL for all tests that leave it alone, one of their own for those that do not, and clients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dataplatform.base.database import TableSpec
from tests.base.database.clients import Client, Clients, readings
from tests.base.database.cluster import Cluster
from tests.support.agents import Stage
from tests.support.folders import new_folder
from tests.support.waiting import SHORT

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def pristine() -> Iterator[Cluster]:
    """A cluster that is never started, to be copied."""
    with new_folder() as folder:
        cluster = Cluster(folder)
        cluster.make()
        yield cluster


@pytest.fixture(scope="session")
def server(pristine: Cluster) -> Iterator[Cluster]:
    """The PostgreSQL that all tests share; each uses tables, roles and databases of its own."""
    with running(pristine) as cluster:
        yield cluster


@pytest.fixture
def own(pristine: Cluster) -> Iterator[Cluster]:
    """A PostgreSQL that the test may kill."""
    with running(pristine) as cluster:
        yield cluster


@pytest.fixture
def clients() -> Iterator[Clients]:
    stage = Stage()
    clients = Clients(stage)
    yield clients
    clients.stop()
    stage.stop()


@pytest.fixture
def client(clients: Clients, server: Cluster) -> Client:
    return clients.start(server.dsn)


@pytest.fixture
def impatient(clients: Clients, server: Cluster) -> Client:
    """A client for tests that wait for a lock in vain."""
    return clients.start(server.dsn, lock_timeout=SHORT)


@pytest.fixture
def name() -> str:
    """A name for a table, a role or a database that no other test has."""
    return f"name_{next(numbers)}"


@pytest.fixture
def spec(name: str) -> TableSpec:
    return readings(name)


@contextmanager
def running(pristine: Cluster) -> Iterator[Cluster]:
    with new_folder() as folder:
        cluster = pristine.copy_to(folder)
        cluster.start()
        yield cluster
        cluster.stop()
