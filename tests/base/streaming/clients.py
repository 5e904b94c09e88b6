"""Streaming clients as their tests see them: what they answer, what they show of themselves, what they report."""

from __future__ import annotations

import time
from typing import Any, TypeVar

import pykka
from attrs import define, field
from kafka import TopicPartition

from dataplatform.base.agent import Agent, AgentStatus, Entry, Incident, PeerRestarted, Request, State
from dataplatform.base.agent.messages import Vitals
from dataplatform.base.position import Position
from dataplatform.base.streaming import (
    CommitOffsets,
    Fetch,
    RedpandaConsumer,
    RedpandaProducer,
    RedpandaSettings,
    Slice,
    Subscription,
)
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success
from tests.support.agents import Stage
from tests.support.waiting import DEADLINE

T = TypeVar("T")
C = TypeVar("C", bound="Client")
PATIENCE = DEADLINE
FETCHES = 20  # enough to bring anything that is there
SERVER = "broker"


@define(eq=False)
class Client:
    """One incarnation of a client agent."""

    name: str
    ref: pykka.ActorRef[Any]
    stage: Stage

    def ask(self, request: Request[T]) -> Result[T]:
        answer: Result[T] = self.ref.ask(request, block=True, timeout=PATIENCE)
        return answer

    def get(self, request: Request[T]) -> T:
        answer = self.ask(request)
        assert isinstance(answer, Success), answer
        return answer.data

    def fail(self, request: Request[Any]) -> PlatformError:
        answer = self.ask(request)
        assert isinstance(answer, Failure), answer
        return answer.error

    def succeeds(self, request: Request[Any]) -> bool:
        return isinstance(self.ask(request), Success)

    def peer_restarted(self) -> None:
        """Tell it what the agent of an embedded server tells when the server is back."""
        self.ref.tell(PeerRestarted(SERVER))

    @property
    def status(self) -> AgentStatus:
        status = self.stage.runtime.directory.status(self.name)
        assert status is not None
        return status

    def stop(self) -> None:
        self.ref.stop(timeout=PATIENCE)


@define(eq=False)
class Consumer(Client):
    """A consumer, asked by one reader after the other."""

    reader: str = "reader-1"

    def fetch(self, most: int = 5_000) -> list[Slice]:
        return self.get(Fetch(self.reader, most))

    def fetch_failing(self) -> PlatformError:
        return self.fail(Fetch(self.reader))

    def read(self, count: int, most: int = 5_000) -> list[bytes | None]:
        """Return the values of the next messages, exactly so many."""
        return [value for part in self.slices(count, most) for value in part.values]

    def slices(self, count: int, most: int = 5_000) -> list[Slice]:
        """Fetch until so many messages have come."""
        slices: list[Slice] = []
        deadline = time.monotonic() + PATIENCE
        while (come := sum(len(part.values) for part in slices)) < count:
            assert time.monotonic() < deadline, f"{come} of {count} messages came"
            slices += self.fetch(most)
        assert come == count, f"{come} messages came instead of {count}"
        return slices

    def read_until(self, last: bytes) -> list[bytes | None]:
        """Return the values of all messages that come until this one has; it is the last of its fetch."""
        values: list[bytes | None] = []
        deadline = time.monotonic() + PATIENCE
        while values[-1:] != [last]:
            assert time.monotonic() < deadline, f"{len(values)} messages came, without {last!r}"
            values += [value for part in self.until_it_answers() for value in part.values]
        return values

    def read_nothing(self) -> None:
        """Assert that nothing comes, in fetches enough for anything that is there to come."""
        for _ in range(FETCHES):
            assert self.fetch() == []

    def until_it_fails(self) -> PlatformError:
        """Fetch, while time passes, until a fetch fails."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.stage.clock.advance(0.5)
            answer = self.ask(Fetch(self.reader))
            if isinstance(answer, Failure):
                return answer.error
        raise AssertionError("no fetch failed")

    def until_it_answers(self) -> list[Slice]:
        """Fetch until a fetch succeeds."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = self.ask(Fetch(self.reader))
            if isinstance(answer, Success):
                return answer.data
        raise AssertionError("no fetch succeeded")

    def commit(self, topic: str, offset: int, partition: int = 0) -> None:
        self.get(CommitOffsets((Position(topic, partition, 0, offset),)))


@define(eq=False)
class Clients:
    """Starts clients on a clock that stands still, and stops them."""

    stage: Stage
    _started: list[Client] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        server = Vitals(State.RUNNING, self.stage.clock.now())
        self.stage.runtime.directory.enter(SERVER, Entry("server", 1, server))

    def consumer(self, settings: RedpandaSettings, subscription: Subscription, name: str = "consumer") -> Consumer:
        return self._keep(Consumer(name, self._start(RedpandaConsumer, name, settings, subscription), self.stage))

    def producer(self, settings: RedpandaSettings, name: str = "producer") -> Client:
        return self._keep(Client(name, self._start(RedpandaProducer, name, settings), self.stage))

    def incidents(self) -> list[Incident]:
        return self.stage.runtime.journal.incidents()

    def stop(self) -> None:
        for client in self._started:
            client.stop()

    def _start(self, agent: type[Agent], name: str, *args: Any) -> pykka.ActorRef[Any]:
        return self.stage.start(agent, *args, name=name)

    def _keep(self, client: C) -> C:
        self._started.append(client)
        return client


def agent(consumer: Consumer) -> RedpandaConsumer:
    """Return the actor itself, which a test reaches into to plant what kafka-python may do wrong."""
    found = consumer.ref._actor_weakref()
    assert isinstance(found, RedpandaConsumer)
    return found


def stop_fetching_for_good(consumer: Consumer, partition: TopicPartition) -> None:
    """Have this client of kafka-python never fetch the partition again, whatever it is told."""
    client: Any = agent(consumer)._consumer
    fetcher = client._fetcher
    fetchable = fetcher._fetchable_partitions
    fetcher._fetchable_partitions = lambda: [one for one in fetchable() if one != partition]
