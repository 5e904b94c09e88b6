"""A broker for all tests that leave it alone, brokers of their own for those that do not, and clients."""

from __future__ import annotations

import gc
import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    import kafka  # noqa: F401

from tests.base.streaming.broker import ApacheKafka, Broker, Contents
from tests.base.streaming.clients import Clients
from tests.support.agents import Stage
from tests.support.kafka import kafka_home
from tests.support.views import patient_views  # noqa: F401 - a fixture

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker that all tests share; each uses topics and groups of its own."""
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """The Apache Kafka that all tests share."""
    kafka_home()  # skips with the reason where there is none
    apache = ApacheKafka(tmp_path_factory.mktemp("kafka"))
    yield apache
    apache.close()


@pytest.fixture(params=["light", "apache"])
def either(request: pytest.FixtureRequest) -> Contents:
    """The one broker and the other, both left alone."""
    found: Contents = request.getfixturevalue("broker" if request.param == "light" else "apache")
    return found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Broker]:
    """A broker that the test may kill."""
    broker = Broker(tmp_path, patience=3.0)
    yield broker
    broker.kill()


@pytest.fixture(scope="module", autouse=True)
def _no_sockets_left_to_the_next_module() -> Iterator[None]:
    """Collect what kafka-python leaves behind of each failed connect, while nobody minds the warning."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def clients() -> Iterator[Clients]:
    stage = Stage()
    clients = Clients(stage)
    yield clients
    clients.stop()
    stage.stop()


@pytest.fixture
def new_name() -> Callable[[], str]:
    """Names for topics and groups that no other test has."""
    return lambda: f"name-{next(numbers)}"


@pytest.fixture
def topic(new_name: Callable[[], str]) -> str:
    return new_name()
