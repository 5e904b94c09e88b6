"""Readers: agents that answer for a source, several of them, so that a slow question holds up no quick one.

They are of the source's own class, without its routes. A source that has a client of its own (a consumer of topics)
answers by itself: what it knows, another agent of its class does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import cycle

from attrs import define, evolve, field

from dataplatform.base.agent import ChildSpec, Request
from dataplatform.dsl.language import reading
from dataplatform.dsl.registry import technology
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Result
from dataplatform.services.service import SourceInPlace

__all__ = ["Ask", "Pool", "reader_specs", "readers_of"]

MOST_WAITING = 1_000
DRAIN, STOP = 0.1, 0.3  # seconds; a reader has nothing in hand that could be lost


@define(eq=False)
class Ask:
    """Somebody's question to a source or target; `answer` may be called in any thread, and is called once.

    `abandoned` is set by whoever asked and waits no more: then nobody need be asked any longer.
    """

    place: str
    request: Request[object]
    timeout: float
    answer: Callable[[Result[object]], None]
    abandoned: bool = False


def _queue(names: Iterable[str]) -> deque[str]:
    return deque(names)


@define(eq=False)
class Pool:
    """The readers of one source, each with one question in hand at most, and the questions that wait for one.

    >>> pool = Pool(["mcp.coingecko.1"])
    >>> pool.next(running=lambda name: True) is None
    True
    """

    free: deque[str] = field(converter=_queue)
    waiting: deque[Ask] = field(factory=deque, init=False)

    def put(self, ask: Ask) -> PlatformError | None:
        """Take a question in, unless too many wait."""
        if len(self.waiting) >= MOST_WAITING:
            return Transient("busy", f"{len(self.waiting)} calls wait for {ask.place} already", retry_after=2.0)
        self.waiting.append(ask)
        return None

    def next(self, running: Callable[[str], bool]) -> tuple[str, Ask] | None:
        """Return which reader to ask what; one that runs where there is one, as others refuse at once."""
        while self.waiting and self.waiting[0].abandoned:
            self.waiting.popleft()
        if not (self.waiting and self.free):
            return None
        reader = next(filter(running, self.free), self.free[0])
        self.free.remove(reader)
        return reader, self.waiting.popleft()


def readers_of(service: str, name: str, source: SourceInPlace, count: int) -> list[str]:
    """Return the names of the agents that answer for a source; none where it answers nothing."""
    if not set(reading()).intersection(source.cls.supported()):
        return []
    if source.client not in source.connection.agents:
        return [name]
    return [f"{service}.{name}.{number}" for number in range(1, count + 1)]


def reader_specs(service: str, name: str, source: SourceInPlace, count: int) -> list[ChildSpec]:
    """Return the agents to start for a source, and the clients they bring along.

    The client's connections are shared out among them, unless its technology has another agent for each. A reader and
    its client stop together: the client then breaks off the request that the reader waits for.
    """
    connection = source.connection
    specs: list[ChildSpec] = []
    clients = cycle(connection.agents)
    kind = technology(connection.kind)
    for reader in readers_of(service, name, source, count):
        if reader == name:
            continue
        own = kind.another(f"{reader}.{connection.kind}", connection.settings) if kind else None
        client = own.name if own else next(clients)
        specs += [own] if own else []
        part = source.cls.part(reader, source.options, evolve(connection, agents=(client,)), None)
        specs += part.specs
    return [evolve(spec, drain_timeout=DRAIN, shutdown_timeout=STOP) for spec in specs]
