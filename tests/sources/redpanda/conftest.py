"""A Redpanda source and a target with all their agents, on a light broker, without a supervisor."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    import kafka  # noqa: F401

from dataplatform.base.agent import AgentStatus, Context, Entry
from dataplatform.base.streaming import RedpandaProducer
from dataplatform.dsl.operations.parts import Connection
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.records.types import Record
from dataplatform.result import get_data
from dataplatform.sources.redpanda import RedpandaSource, RedpandaSourceOptions
from dataplatform.targets.redpanda import RedpandaTarget, RedpandaTargetOptions
from tests.base.streaming.broker import Broker
from tests.support.solo import PATIENCE, Solo, solo
from tests.support.views import patient_views  # noqa: F401 - a fixture


@frozen
class Topics:
    """A broker, a reader of its topics, and a writer to them."""

    broker: Broker
    agents: Solo
    reader: ReaderProxy
    writer: WriterProxy

    def write(self, *records: Record) -> None:
        answer = get_data(self.writer.publish_batch(records).get(timeout=PATIENCE))
        assert answer.refused == ()

    def another(self, name: str, **options: Any) -> ReaderProxy:
        """Return another reader, with options of its own."""
        return reader(self.agents, self.broker, name, **options)

    def status(self, name: str) -> AgentStatus:
        status = self.agents.runtime.directory.status(name)
        assert status is not None
        return status


def reader(agents: Solo, broker: Broker, name: str, **options: Any) -> ReaderProxy:
    """Start all agents of a source."""
    connection = Connection("redpanda", "redpanda", broker.settings)
    part = RedpandaSource.part(name, RedpandaSourceOptions(client="redpanda", **options), connection, None)
    for spec in (*part.apart, *part.specs):
        context = Context(spec.name, agents.runtime, agents.parent)
        entry = Entry(spec.kind, 1, context.vitals)
        agents.runtime.directory.enter(spec.name, entry)
        entry.ref = spec.factory(context)
        agents._names.append(spec.name)
    return ReaderProxy(agents.runtime.directory.address(name))


def started(broker: Broker, agents: Solo) -> Topics:
    agents.start("producer", RedpandaProducer, broker.settings)
    writer = agents.start("stream", RedpandaTarget, RedpandaTargetOptions(client="redpanda", partitions=2), "producer")
    return Topics(broker, agents, reader(agents, broker, "topics"), WriterProxy(writer))


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topics]:
    """What the tests of a module share; each has coins of its own."""
    broker = Broker(tmp_path_factory.mktemp("broker"))
    with solo() as agents:
        yield started(broker, agents)
    broker.kill()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Topics]:
    """A broker that the test may stop."""
    broker = Broker(tmp_path)
    with solo() as agents:
        yield started(broker, agents)
    broker.kill()


@pytest.fixture
def ids() -> Callable[[int], Sequence[str]]:
    """Ids of coins that nobody has seen."""
    return lambda count: [f"unseen-{number}" for number in range(count)]
