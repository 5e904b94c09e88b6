"""The servers that all scenarios share, where there is an Apache Kafka to be one of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.servers import Servers
from tests.support.kafka import kafka_home


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    kafka_home()  # skips with the reason where there is none
    with Servers() as servers:
        yield servers
