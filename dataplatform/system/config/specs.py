"""What a platform is made of, as data: clients, sources, targets and routes, and what does not fit among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Self

from attrs import AttrsInstance, define, field, fields, frozen, validators

from dataplatform.base.database.technology import Tables
from dataplatform.base.streaming.technology import Topics
from dataplatform.base.technology import Embedded, Technology
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.registry import ability, kind_of_settings, plugins, technology
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import DEAD_LETTERS
from dataplatform.errors import Permanent
from dataplatform.services.service import Service, ServiceOptions
from dataplatform.suggestions import suggestion
from dataplatform.system.config.checking import Problem, Problems, secrets_of_option
from dataplatform.system.config.lines import Path

__all__ = [
    "ClientSpec",
    "Route",
    "ServiceSpec",
    "SourceSpec",
    "SystemOptions",
    "TargetSpec",
    "Topology",
    "secrets_of",
]

SEE_PLUGINS = "`python -m dataplatform.system plugins` lists the kinds, and says what is wrong with one"
RESERVED = ("supervisor", "postgres", "broker", "simulator", "bookkeeper", "control")
PORT = validators.optional(validators.in_(range(1, 65_536)))


@frozen(kw_only=True)
class SystemOptions:
    """Options of `[system]`. Times in seconds."""

    dead_letters: str | None = field(
        default=None,
        metadata={"help": "the target that takes dead letters; by default the first with topics, else with tables"},
    )
    restarts: int = field(
        default=5,
        validator=[validators.ge(0), validators.le(1_000_000)],
        metadata={"help": "crashes within `within` that the supervisor mends"},
    )
    within: float = field(default=30.0, validator=validators.gt(0.0), metadata={"help": "the period of `restarts`"})
    migrate: bool = field(
        default=True, metadata={"help": "bring the databases written to up to date at start; else `migrate` by hand"}
    )
    broker_port: int | None = field(
        default=None, validator=PORT, metadata={"help": "port of the embedded broker; a free one by default"}
    )
    simulator_port: int | None = field(
        default=None, validator=PORT, metadata={"help": "port of the simulator; a free one by default"}
    )
    simulator_seed: int = field(default=1, metadata={"help": "which of the possible markets the simulator shows"})

    @property
    def ports(self) -> Mapping[str, int | None]:
        """The ports that are asked for, by the embedded server."""
        return {"broker": self.broker_port}


@frozen
class ClientSpec:
    """A `[clients.NAME]` table: its kind, the name of an entry point, and the kind's settings."""

    kind: str
    settings: Any

    @classmethod
    def of(cls, settings: AttrsInstance) -> Self:
        """Return the client that has such settings.

        >>> from dataplatform.base.database import TimescaleSettings
        >>> ClientSpec.of(TimescaleSettings("embedded")).kind
        'timescale'
        """
        return cls(kind_of_settings(settings), settings)

    @property
    def technology(self) -> type[Technology]:
        """What the kind brings along; raises `Permanent` for a kind that is not installed."""
        found = technology(self.kind)
        if found is None:
            raise Permanent("unknown_kind", f"no kind of client {self.kind!r} can be used", remedy=SEE_PLUGINS)
        return found

    @property
    def embedded(self) -> Embedded | None:
        """The server that the platform is to start for this client; None where it has one of its own."""
        able = self.technology.ability(Embedded)
        return able if able is not None and able.wanted(self.settings) else None


@frozen
class SourceSpec:
    """A `[sources.NAME]` table: the source's class and its options."""

    cls: type[BaseReader]
    options: Any


@frozen
class TargetSpec:
    """A `[targets.NAME]` table: the target's class and its options."""

    cls: type[BaseWriter]
    options: Any


@frozen
class ServiceSpec:
    """A `[services.NAME]` table: the service's class and its options."""

    cls: type[Service]
    options: Any = field(factory=ServiceOptions)


@frozen
class Route:
    """A `[[routes]]` table: one source to one or more targets."""

    source: str
    targets: tuple[str, ...]


def _client_specs(clients: Mapping[str, AttrsInstance]) -> dict[str, ClientSpec]:
    return {name: spec if isinstance(spec, ClientSpec) else ClientSpec.of(spec) for name, spec in clients.items()}


@frozen(kw_only=True)
class Topology:
    """A whole platform, said as data: made from a file by `load_topology`, or here.

    The settings of a client stand for it: `clients={"database": TimescaleSettings("embedded")}`.

    >>> Topology().check()[0].message
    'there is no source, so nothing would be read; add a table [sources.NAME]'
    """

    system: SystemOptions = field(factory=SystemOptions)
    clients: Mapping[str, ClientSpec] = field(factory=dict, converter=_client_specs)
    sources: Mapping[str, SourceSpec] = field(factory=dict)
    targets: Mapping[str, TargetSpec] = field(factory=dict)
    services: Mapping[str, ServiceSpec] = field(factory=dict)
    routes: tuple[Route, ...] = ()

    def check(self, broken: Collection[tuple[str, str]] = ()) -> Problems:
        """Return what does not fit together, with the path that each problem has in a file.

        The `broken` tables, by section and name, are missing here because of problems of their own.
        """
        return _Checker(self, frozenset(broken)).problems()

    def targets_of(self, source: str) -> tuple[str, ...]:
        """Return the targets of a source over all its routes, each once."""
        return tuple(dict.fromkeys(name for route in self.routes if route.source == source for name in route.targets))

    @property
    def dead_letters(self) -> str | None:
        """The target of the dead letters: the one named, else the first with topics, with tables, or elsewhere."""
        if self.system.dead_letters is not None:
            return self.system.dead_letters
        able = [name for name, spec in self.targets.items() if _takes_letters(spec)]
        streams = [name for name in able if ability(self.targets[name].cls.client_kind, Topics)]
        tables = [name for name in able if ability(self.targets[name].cls.client_kind, Tables)]
        return next(iter([*streams, *tables, *able]), None)  # elsewhere our commands do not find them


def secrets_of(topology: Topology) -> set[str]:
    """Return the passwords and keys of a topology's clients."""
    found: set[str] = set()
    for spec in topology.clients.values():
        for option in fields(type(spec.settings)):
            found.update(secrets_of_option(option, getattr(spec.settings, option.name)))
        found.update(getattr(spec.settings, "secrets", ()))
    return found


def _takes_letters(spec: TargetSpec) -> bool:
    return DEAD_LETTERS in spec.cls.kinds(spec.options)


@define
class _Checker:
    """Finds names that lead nowhere or twice somewhere, and clients of the wrong kind."""

    topology: Topology
    broken: frozenset[tuple[str, str]]
    _found: Problems = field(factory=list, init=False)

    def problems(self) -> Problems:
        topology = self.topology
        for name, client in topology.clients.items():
            if technology(client.kind) is None:
                kinds = [plugin.kind for plugin in plugins("clients")]
                self._add(("clients", name, "kind"), f"unknown kind {client.kind!r}{suggestion(client.kind, kinds)}")
        if not (topology.sources or self.broken):
            self._add(("sources",), "there is no source, so nothing would be read; add a table [sources.NAME]")
        self._clients("sources", topology.sources)
        self._clients("targets", topology.targets)
        for number, route in enumerate(topology.routes):
            self._known(("routes", number, "from"), "source", route.source, topology.sources)
            for target in route.targets:
                self._known(("routes", number, "to"), "target", target, topology.targets)
                self._loop(number, route.source, target)
        self._names()
        self._dead_letters()
        self._ports()
        return self._found

    def _clients(self, section: str, parts: Mapping[str, SourceSpec] | Mapping[str, TargetSpec]) -> None:
        for name, spec in parts.items():
            path, wanted, kinds = (section, name, "client"), spec.options.client, spec.cls.client_kinds()
            client = self.topology.clients.get(wanted)
            if client is None:
                self._known(path, "client", wanted, self.topology.clients)
            elif client.kind not in kinds:
                others = [other for other, spec in self.topology.clients.items() if spec.kind in kinds]
                kind = " or ".join(map(repr, kinds))
                hint = suggestion(wanted, others) if others else f"; add a table [clients.NAME] with kind = {kind}"
                what = f"{name!r} needs a client of kind {kind}, and {wanted!r} is of kind {client.kind!r}"
                self._add(path, what + hint)

    def _known(self, path: Path, what: str, name: str, known: Collection[str]) -> None:
        every = {*known, *(broken for section, broken in self.broken if section == f"{what}s")}
        if name not in every:
            self._add(path, f"no {what} is called {name!r}{suggestion(name, every)}")

    def _loop(self, number: int, source: str, target: str) -> None:
        """Find what would be read again when it is written, without end."""
        reading, writing = self.topology.sources.get(source), self.topology.targets.get(target)
        if reading is None or writing is None or reading.options.client != writing.options.client:
            return
        written = writing.cls.places(writing.options)
        for kind, place in reading.cls.places(reading.options).items():
            if written.get(kind) == place:
                what = f"{source!r} would read from {place!r} what {target!r} writes to it, without end"
                self._add(("routes", number, "to"), f"{what}; name another topic for {kind!r} in one of them")

    def _names(self) -> None:
        seen = dict.fromkeys(RESERVED, "an agent of the platform's own")
        for section in ("clients", "sources", "targets", "services"):
            for name in getattr(self.topology, section):
                if name in seen:
                    self._add((section, name), f"{name!r} is already the name of {seen[name]}; choose another")
                seen[name] = f"a {section.removesuffix('s')}"

    def _dead_letters(self) -> None:
        name, targets = self.topology.dead_letters, self.topology.targets
        if name is None:
            if self.topology.routes and not self.broken:
                self._add(("routes",), "no target takes dead letters; add a redpanda or timescale target")
        elif name not in targets:
            self._known(("system", "dead_letters"), "target", name, targets)
        elif not _takes_letters(targets[name]):
            able = [other for other, spec in targets.items() if _takes_letters(spec)]
            self._add(("system", "dead_letters"), f"{name!r} takes no dead letters{suggestion(name, able)}")

    def _ports(self) -> None:
        system = self.topology.system
        if system.broker_port is not None and system.broker_port == system.simulator_port:
            self._add(("system", "simulator_port"), f"simulator_port: {system.broker_port} is broker_port already")

    def _add(self, path: Path, message: str) -> None:
        self._found.append(Problem(path, message))
