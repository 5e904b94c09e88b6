"""The running platform: for scripts, for the REPL, and under the command line."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from attrs import define, field

from dataplatform.base.agent import Address, Runtime, State
from dataplatform.base.database import Rows
from dataplatform.base.embedded import DataDirectory
from dataplatform.dsl.operations.parts import Connection
from dataplatform.dsl.operations.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.errors import Permanent
from dataplatform.result import Result
from dataplatform.services.gateway.control import Operator
from dataplatform.services.gateway.requests import RunQuery
from dataplatform.services.gateway.service import OwnerDoor
from dataplatform.services.service import Phase, PlatformStatus, PlatformView, TargetBinding
from dataplatform.suggestions import suggestion
from dataplatform.system.config.topology import Topology, default_topology, load_topology
from dataplatform.system.platform.assembly import Assembly, add_services, assemble
from dataplatform.system.platform.home import default_data_dir
from dataplatform.system.platform.report import Outcome, make_report
from dataplatform.system.platform.root import Root

__all__ = ["Phase", "Platform", "PlatformStatus"]

START_TIMEOUT = 60.0
LOOK = 0.05  # seconds between looks at what is waited for


@define(eq=False)
class Platform:
    """A topology at work.

    >>> from dataplatform.system.config.topology import default_topology
    >>> with Platform.start(default_topology(), demo=True) as platform:  # doctest: +SKIP
    ...     platform["coingecko"].get_current_prices(["bitcoin"]).get(timeout=10)
    """

    topology: Topology
    data: DataDirectory
    _assembly: Assembly
    demo: bool = False
    _root: Root = field(factory=Root)
    _begun: float = field(factory=time.monotonic)
    _stopping: threading.Lock = field(factory=threading.Lock)
    _stopped_after: float | None = None

    @classmethod
    def start(
        cls,
        topology: Topology | str | Path | None = None,
        *,
        demo: bool = False,
        data_dir: str | Path | None = None,
        wait: bool = True,
        writing: bool = True,
    ) -> Self:
        """Start every agent of the topology, or of that in a TOML file; the default one if none is given.

        With `wait` it returns when all are ready and raises `Transient` if they are not within 60 s. One that is not
        for `writing` leaves open whether a new data directory is for simulated data or for real ones. Raises
        `Permanent` for a topology that does not fit together, a data directory that is in use or cannot be written,
        a port that is in use, and extras that are not installed; `ConfigurationError` for what is wrong in the file.
        When it raises, nothing is left behind.
        """
        if topology is None:
            topology = default_topology()
        elif not isinstance(topology, Topology):
            topology = load_topology(topology)
        if problems := topology.check():
            raise Permanent("topology", "; ".join(problem.message for problem in problems))
        data = DataDirectory(Path(data_dir or default_data_dir(demo=demo))).open()
        try:
            (data.keep_apart if writing else data.require_kind)(simulated=demo)
            assembly = assemble(topology, data.path, demo=demo)
            platform = cls(topology, data, assembly, demo)
            platform_view = platform.platform_view
            add_services(topology, platform_view, assembly)
            assembly.add_apart([OwnerDoor.child("control", platform_view)])
        except BaseException:
            data.close()
            raise
        try:
            platform._start_root()
            if wait:
                platform.require_ready(START_TIMEOUT)
        except BaseException:
            platform.stop()
            raise
        return platform

    @classmethod
    @asynccontextmanager
    async def start_async(
        cls,
        topology: Topology | str | Path | None = None,
        *,
        demo: bool = False,
        data_dir: str | Path | None = None,
    ) -> AsyncIterator[Self]:
        """Start like `start`, and stop at the end, without holding up the event loop; cancelled, nothing stays behind.

        `async with Platform.start_async(demo=True) as platform: await platform.source("coingecko").get_status()`
        """
        starting = asyncio.ensure_future(
            asyncio.to_thread(cls.start, topology, demo=demo, data_dir=data_dir, wait=False)
        )
        try:
            platform = await asyncio.shield(starting)
            await asyncio.to_thread(platform.require_ready, START_TIMEOUT)
            yield platform
        finally:
            await asyncio.shield(_stopped(starting))

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

    def source(self, name: str) -> ReaderProxy:
        """Return the proxy of a source; raises `KeyError` for a name that no source has."""
        return ReaderProxy(self.address(_known(name, "source", self.topology.sources)))

    def target(self, name: str) -> WriterProxy:
        """Return the proxy of a target; raises `KeyError` for a name that no target has."""
        return WriterProxy(self.address(_known(name, "target", self.topology.targets)))

    def service(self, name: str) -> AgentProxy:
        """Return the proxy of a service; raises `KeyError` for a name that no service has."""
        return AgentProxy(self.address(_known(name, "service", self.topology.services)))

    @property
    def runtime(self) -> Runtime:
        """What the agents share: clock, scheduler, directory, journal."""
        return self._root.runtime

    @property
    def connections(self) -> Mapping[str, Connection]:
        """The clients as they are connected, with the addresses of embedded servers."""
        return self._assembly.connections

    @property
    def platform_view(self) -> PlatformView:
        """The platform as its services see it."""
        topology = self.topology
        return PlatformView(
            sources=self._assembly.sources,
            targets={name: TargetBinding(spec.cls, spec.options) for name, spec in topology.targets.items()},
            routes={name: topology.targets_of(name) for name in topology.sources},
            dead_letters=topology.dead_letters,
            connections=self.connections,
            data_dir=self.data.path,
            demo=self.demo,
            status=self.status,
            stop=self.stop,
        )

    @property
    def operator(self) -> Operator:
        """Who carries out an operator's requests, and passes on those to agents."""
        return Operator(self.platform_view, self.runtime.directory)

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
        servers = self._assembly.servers.addresses
        return PlatformStatus(self.phase, uptime, agents, routes, self._assembly.books, incidents, servers)

    @property
    def phase(self) -> Phase:
        """Where the platform is in its life."""
        if self._stopped_after is not None or self._root.ended:
            return Phase.STOPPED
        root = self._root.entry
        if self._stopping.locked() or (root is not None and root.vitals.state is State.DRAINING):
            return Phase.DRAINING
        return Phase.RUNNING if self._root.ready else Phase.STARTING

    def sql(self, select: str, client: str | None = None, timeout: float = 20.0) -> Result[Rows]:
        """Run one SELECT, read-only, on the topology's database, or that of the client that is named."""
        return self.operator.ask("", RunQuery(select, client), timeout)

    def report(self, outcome: Outcome, reason: str | None = None) -> dict[str, Any]:
        """Return the account of the run so far, as the report file has it."""
        return make_report(self.status(), outcome, reason)

    def require_ready(self, timeout: float) -> None:
        """Wait until every agent is ready; raise `Transient` when that takes longer, or the platform gave up."""
        self._root.require_ready(timeout)

    def wait_ready(self, timeout: float) -> bool:
        """Wait until every agent is ready; False when that takes longer, or the platform ended."""
        return self._root.wait_ready(timeout)

    def wait_until(self, reached: Callable[[PlatformStatus], bool], timeout: float) -> bool:
        """Wait until a look at everything shows what is wanted; False when that takes longer, or the platform ended.

        `platform.wait_until(lambda status: all(route.written >= 100 for route in status.routes), timeout=60)`.
        """
        deadline = time.monotonic() + timeout
        while not reached(self.status()):
            left = deadline - time.monotonic()
            if left <= 0 or self.wait_end(min(LOOK, left)):
                return False
        return True

    def wait_end(self, timeout: float) -> bool:
        """Wait until the root supervisor has ended; False when it still runs."""
        return self._root.wait_end(timeout)

    @property
    def reason(self) -> str | None:
        """Why the root supervisor gave up, None while it did not."""
        return self._root.reason

    def stop(self) -> None:
        """Drain and stop everything, sources first, within 10 s; safe to call twice, and from any thread."""
        with self._stopping:
            if self._stopped_after is None:
                self._root.stop()
                self._stopped_after = time.monotonic() - self._begun
                self.data.close()

    def _start_root(self) -> None:
        self._root.start(self._assembly.specs, self._assembly.links, self._assembly.restart_limit)


def _known(name: str, what: str, names: Collection[str]) -> str:
    if name not in names:
        raise KeyError(f"no {what} is called {name!r}{suggestion(name, names)}")
    return name


async def _stopped(starting: asyncio.Future[Any]) -> None:
    """Stop the platform that is starting, unless its start has failed, which leaves nothing behind."""
    with suppress(Exception):
        platform = await starting
        await asyncio.to_thread(platform.stop)
