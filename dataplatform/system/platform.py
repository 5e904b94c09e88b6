"""The running platform: for scripts, for the REPL, and under the command line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
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
    Incident,
    Intensity,
    Ready,
    Runtime,
    State,
    Supervisor,
    Terminated,
)
from dataplatform.base.agent.supervisor import root_entry
from dataplatform.base.embedded import DataDirectory
from dataplatform.dsl.flow import RouteAccount
from dataplatform.dsl.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.errors import Permanent, Transient
from dataplatform.result import is_success
from dataplatform.system.assembly import Assembly, assemble
from dataplatform.system.bookkeeper import Books
from dataplatform.system.report import Outcome, make_report
from dataplatform.system.structure import suggestion
from dataplatform.system.topology import Topology, default_topology

__all__ = ["Phase", "Platform", "PlatformStatus", "default_data_dir"]

ROOT = "supervisor"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 9.4  # a stop is promised within 10 s; the agents' own times add up to less
LAST_RESORT = 0.2


class Phase(StrEnum):
    """Where a platform is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


@frozen
class PlatformStatus:
    """One look at the whole platform; `uptime` in seconds."""

    phase: Phase
    uptime: float
    agents: Sequence[AgentStatus]
    routes: Sequence[RouteAccount]
    books: Books
    incidents: Sequence[Incident]

    @property
    def ready(self) -> bool:
        """Whether every agent has been ready."""
        return self.phase is not Phase.STARTING


@define(eq=False)
class Parent:
    """Stands above the root supervisor, keeps what it says, and lets any thread wait for it."""

    ready: bool = False
    drained: bool = False
    ended: Terminated | None = None
    _changed: threading.Condition = field(factory=threading.Condition)

    def tell(self, message: Any, /) -> None:
        with self._changed:
            match message:
                case Ready():
                    self.ready = True
                case Drained():
                    self.drained = True
                case Terminated():
                    self.ended = message
            self._changed.notify_all()

    def wait(self, until: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(until, max(0.0, timeout))


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
    _parent: Parent = field(factory=Parent)
    _begun: float = field(factory=time.monotonic)
    _stopping: threading.Lock = field(factory=threading.Lock)
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
        `Permanent` for a topology that does not fit together, a data directory that is in use or cannot be written,
        a port that is in use, and extras that are not installed. When it raises, nothing is left behind.
        """
        topology = topology or default_topology()
        if problems := topology.check():
            raise Permanent("topology", "; ".join(problem.message for problem in problems))
        data = DataDirectory(data_dir or default_data_dir(demo=demo)).open()
        try:
            assembly = assemble(topology, data.path, demo=demo)
            platform = cls(topology, data, Runtime.start(), assembly)
        except BaseException:
            data.close()
            raise
        try:
            platform._start_root()
            if wait and not platform.wait_ready(START_TIMEOUT):
                raise Transient("not_ready", platform.reason or f"not ready within {START_TIMEOUT:g} s")
        except BaseException:
            platform.stop()
            raise
        return platform

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __getitem__(self, name: str) -> Any:
        """Return the proxy of an agent: a `ReaderProxy` for a source, a `WriterProxy` for a target.

        Raises `KeyError` for a name that no agent has.
        """
        names = self.runtime.directory.names()
        if name not in names:
            raise KeyError(f"no agent is called {name!r}{suggestion(name, names)}")
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
        directory = self.runtime.directory
        agents = [status for name in directory.names() if (status := directory.status(name))]
        routes = [account for outbox in self._assembly.outboxes.values() for account in outbox.routes()]
        uptime = time.monotonic() - self._begun if self._stopped_after is None else self._stopped_after
        incidents = self.runtime.journal.incidents()
        return PlatformStatus(self.phase, uptime, agents, routes, self._assembly.books, incidents)

    @property
    def phase(self) -> Phase:
        """Where the platform is in its life."""
        if self._stopped_after is not None or self._parent.ended is not None:
            return Phase.STOPPED
        root = self.runtime.directory.entry(ROOT)
        if self._stopping.locked() or (root is not None and root.vitals.state is State.DRAINING):
            return Phase.DRAINING
        return Phase.RUNNING if self._parent.ready else Phase.STARTING

    def report(self, outcome: Outcome, reason: str | None = None) -> dict[str, Any]:
        """Return the account of the run so far, as the report file has it."""
        status, books = self.status(), self._assembly.books
        return make_report(
            outcome, reason, status.uptime, status.agents, status.routes, books.tables, books.topics, status.incidents
        )

    def wait_ready(self, timeout: float) -> bool:
        """Wait until every agent is ready; False when that takes longer, or the platform ended."""
        parent = self._parent
        parent.wait(lambda: parent.ready or parent.ended is not None, timeout)
        return parent.ready

    def wait_end(self, timeout: float) -> bool:
        """Wait until the root supervisor has ended; False when it still runs."""
        return self._parent.wait(lambda: self._parent.ended is not None, timeout)

    @property
    def reason(self) -> str | None:
        """Why the root supervisor gave up, None while it did not."""
        ended = self._parent.ended
        return str(ended.failure) if ended and ended.failure else None

    def stop(self) -> None:
        """Drain and stop everything, sources first, within 10 s; safe to call twice, and from any thread."""
        with self._stopping:
            if self._stopped_after is None:
                self._stop()

    def _stop(self) -> None:
        parent, deadline = self._parent, time.monotonic() + STOP_TIMEOUT
        if is_success(self.address(ROOT).tell(Drain())):
            parent.wait(lambda: parent.drained or parent.ended is not None, STOP_TIMEOUT)
        root = self.runtime.directory.entry(ROOT)
        if root is not None and root.ref is not None:
            root.ref.stop(block=False)
            self.wait_end(max(LAST_RESORT, deadline - time.monotonic()))
        self._stopped_after = time.monotonic() - self._begun
        self.runtime.stop()
        self.data.close()

    def _start_root(self) -> None:
        system = self.topology.system
        context = Context(ROOT, self.runtime, self._parent)
        entry = root_entry(context)
        self.runtime.directory.enter(ROOT, entry)
        intensity = Intensity(system.restarts, system.within)
        entry.ref = Supervisor.start(context, self._assembly.specs, self._assembly.links, intensity=intensity)
