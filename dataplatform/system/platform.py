"""The running platform: for scripts, for the REPL, and under the command line."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import platformdirs
from attrs import define, field, frozen

from dataplatform.base.agent import (
    Address,
    AgentStatus,
    Context,
    Drain,
    Drained,
    Entry,
    Incident,
    Intensity,
    Ready,
    Runtime,
    Supervisor,
    Terminated,
)
from dataplatform.base.embedded import DataDirectory
from dataplatform.dsl.flow import RouteAccount
from dataplatform.dsl.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.errors import Permanent, Transient
from dataplatform.system.assembly import Assembly, assemble
from dataplatform.system.bookkeeper import Books
from dataplatform.system.report import Outcome, make_report
from dataplatform.system.topology import Topology, default_topology

__all__ = ["Platform", "PlatformStatus", "default_data_dir"]

ROOT = "supervisor"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 9.0  # a stop is promised within 10 s


@frozen
class PlatformStatus:
    """One look at the whole platform."""

    ready: bool
    uptime: float
    agents: Sequence[AgentStatus]
    routes: Sequence[RouteAccount]
    books: Books
    incidents: Sequence[Incident]


@define(eq=False)
class Parent:
    """Stands above the root supervisor and keeps what it says."""

    said: queue.SimpleQueue[Any] = field(factory=queue.SimpleQueue)

    def tell(self, message: Any, /) -> None:
        self.said.put(message)


def default_data_dir(*, demo: bool) -> Path:
    """Return where embedded servers keep their data; simulated data has a directory of its own."""
    return platformdirs.user_data_path("dataplatform") / ("demo" if demo else "live")


@define(eq=False)
class Platform:
    """A topology at work.

    >>> from dataplatform.system.topology import default_topology
    >>> with Platform.start(default_topology(), demo=True) as platform:  # doctest: +SKIP
    ...     platform["coingecko"].get_current_prices(["bitcoin"]).get(timeout=10)
    """

    topology: Topology
    data: DataDirectory
    runtime: Runtime
    _assembly: Assembly
    _parent: Parent
    _begun: float
    _ready: bool = False
    _ended: Terminated | None = None
    _drained: bool = False
    _stopped_after: float | None = None

    @classmethod
    def start(
        cls,
        topology: Topology | None = None,
        *,
        demo: bool = False,
        data_dir: Path | None = None,
        wait: bool = True,
    ) -> Self:
        """Start every agent of the topology, the default one if none is given.

        With `wait` it returns when all are ready and raises `Transient` if they are not within 60 s. Raises
        `Permanent` for a data directory that is in use or cannot be written, and for extras that are not installed.
        """
        topology = topology or default_topology()
        if problems := topology.check():
            raise Permanent("topology", "; ".join(problem.message for problem in problems))
        data = DataDirectory(data_dir or default_data_dir(demo=demo)).open()
        try:
            assembly = assemble(topology, data.path, demo=demo)
        except BaseException:
            data.close()
            raise
        platform = cls(topology, data, Runtime.start(), assembly, Parent(), time.monotonic())
        platform._start_root()
        if wait and not platform.wait_ready(START_TIMEOUT):
            reason = platform.reason or f"not ready within {START_TIMEOUT:g} s"
            platform.stop()
            raise Transient("not_ready", reason)
        return platform

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __getitem__(self, name: str) -> Any:
        """Return the proxy of an agent: a `ReaderProxy` for a source, a `WriterProxy` for a target."""
        if name not in self.runtime.directory.names():
            raise KeyError(f"no agent is called {name!r}; there are {', '.join(self.runtime.directory.names())}")
        address = self.address(name)
        if name in self.topology.sources:
            return ReaderProxy(address)
        if name in self.topology.targets:
            return WriterProxy(address)
        return AgentProxy(address)

    def address(self, name: str) -> Address:
        """Return the address of an agent."""
        return self.runtime.directory.address(name)

    def status(self) -> PlatformStatus:
        """Look at everything, without asking any agent."""
        self._listen(0)
        directory = self.runtime.directory
        agents = [status for name in directory.names() if (status := directory.status(name))]
        routes = [account for outbox in self._assembly.outboxes.values() for account in outbox.routes()]
        uptime = self._stopped_after or time.monotonic() - self._begun
        incidents = self.runtime.journal.incidents()
        return PlatformStatus(self._ready, uptime, agents, routes, self._assembly.books, incidents)

    def report(self, outcome: Outcome, reason: str | None = None) -> dict[str, Any]:
        """Return the account of the run so far, as the report file has it."""
        status, books = self.status(), self._assembly.books
        return make_report(
            outcome, reason, status.uptime, status.agents, status.routes, books.tables, books.topics, status.incidents
        )

    def wait_ready(self, timeout: float) -> bool:
        """Wait until every agent is ready; False when that takes longer, or the platform ended."""
        deadline = time.monotonic() + timeout
        while not self._ready and self._ended is None and self._listen(deadline - time.monotonic()):
            pass
        return self._ready

    def wait_end(self, timeout: float) -> bool:
        """Wait until the root supervisor has ended by itself; False when it still runs."""
        deadline = time.monotonic() + timeout
        while self._ended is None and self._listen(deadline - time.monotonic()):
            pass
        return self._ended is not None

    @property
    def reason(self) -> str | None:
        """Why the root supervisor gave up, None while it did not."""
        return str(self._ended.failure) if self._ended and self._ended.failure else None

    def stop(self) -> None:
        """Drain and stop everything, sources first, within 10 s; safe to call twice."""
        if self._stopped_after is not None:
            return
        deadline = time.monotonic() + STOP_TIMEOUT
        if self._ended is None:
            self.address(ROOT).tell(Drain())
            while not (self._drained or self._ended) and self._listen(deadline - time.monotonic()):
                pass
        entry = self.runtime.directory.entry(ROOT)
        if self._ended is None and entry is not None and entry.ref is not None:
            entry.ref.stop(block=False)
            self.wait_end(max(1.0, deadline - time.monotonic()))
        self._stopped_after = time.monotonic() - self._begun
        self.runtime.stop()
        self.data.close()

    def _start_root(self) -> None:
        system = self.topology.system
        context = Context(ROOT, self.runtime, self._parent)
        entry = Entry("supervisor", 1, context.vitals)
        self.runtime.directory.enter(ROOT, entry)
        intensity = Intensity(system.restarts, system.within)
        entry.ref = Supervisor.start(context, self._assembly.specs, self._assembly.links, intensity=intensity)

    def _listen(self, timeout: float) -> bool:
        """Take in what the root supervisor said; False when it said nothing in time."""
        try:
            said = self._parent.said.get(timeout=max(0.0, timeout)) if timeout > 0 else self._parent.said.get_nowait()
        except queue.Empty:
            return False
        match said:
            case Ready():
                self._ready = True
            case Drained():
                self._drained = True
            case Terminated():
                self._ended = said
        return True
