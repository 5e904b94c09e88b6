"""Topologies: which clients, sources, targets and routes there are, from a TOML file or made in Python."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path as FilePath
from typing import Any, Self

from attrs import define, field, frozen, validators

from dataplatform.base.database import TimescaleSettings
from dataplatform.base.http import HttpSettings
from dataplatform.base.streaming import RedpandaSettings
from dataplatform.dsl.kinds import DEAD_LETTERS
from dataplatform.dsl.reader import BaseReader
from dataplatform.dsl.writer import BaseWriter
from dataplatform.system.places import Path, line_of
from dataplatform.system.structure import Problem, Problems, structure, suggestion

__all__ = [
    "CLIENT_KINDS",
    "ClientSpec",
    "ConfigurationError",
    "Route",
    "SourceSpec",
    "SystemOptions",
    "TargetSpec",
    "Topology",
    "default_topology",
    "load_topology",
    "parse_topology",
]

CLIENT_KINDS: dict[str, type[Any]] = {
    "http": HttpSettings,
    "redpanda": RedpandaSettings,
    "timescale": TimescaleSettings,
}
SECTIONS = ("system", "clients", "sources", "targets", "routes")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
RESERVED = frozenset({"supervisor", "postgres", "broker", "simulator", "bookkeeper"})


class ConfigurationError(Exception):
    """All that is wrong with a topology, a line each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@frozen(kw_only=True)
class SystemOptions:
    """Options of `[system]`. Times in seconds."""

    dead_letters: str | None = field(
        default=None,
        metadata={"help": "the target that takes dead letters: a topic's or a table's; the first by default"},
    )
    restarts: int = field(
        default=5, validator=validators.ge(0), metadata={"help": "crashes within `within` that the supervisor mends"}
    )
    within: float = field(default=30.0, validator=validators.gt(0.0), metadata={"help": "the period of `restarts`"})
    broker_port: int | None = field(
        default=None,
        validator=validators.optional(validators.in_(range(1, 65536))),
        metadata={"help": "port of the embedded broker; a free one by default"},
    )
    simulator_port: int | None = field(
        default=None,
        validator=validators.optional(validators.in_(range(1, 65536))),
        metadata={"help": "port of the simulator; a free one by default"},
    )
    simulator_seed: int = field(default=1, metadata={"help": "the simulated market's seed"})


@frozen
class ClientSpec:
    """A `[clients.NAME]` table."""

    kind: str
    settings: Any


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
class Route:
    """A `[[routes]]` table: one source to one or more targets."""

    source: str
    targets: tuple[str, ...]


@frozen(kw_only=True)
class RouteOptions:
    """A `[[routes]]` table as it is written; `from` is a word of Python's own."""

    source: str = field(metadata={"help": "from = the name of a source"})
    to: tuple[str, ...] = field(validator=validators.min_len(1), metadata={"help": "the names of targets"})


@frozen(kw_only=True)
class Topology:
    """A whole platform, said as data. Made from a file by `load_topology`; `check` finds what does not fit together."""

    system: SystemOptions = field(factory=SystemOptions)
    clients: Mapping[str, ClientSpec] = field(factory=dict)
    sources: Mapping[str, SourceSpec] = field(factory=dict)
    targets: Mapping[str, TargetSpec] = field(factory=dict)
    routes: tuple[Route, ...] = ()

    def check(self) -> Problems:
        """Return what does not fit together, with the path each problem has in a file."""
        return _Checker(self).problems()

    def targets_of(self, source: str) -> tuple[str, ...]:
        """Return the targets of a source over all its routes, each once."""
        return tuple(dict.fromkeys(name for route in self.routes if route.source == source for name in route.targets))

    @property
    def dead_letters(self) -> str | None:
        """The target of the dead letters: the one named, else a topic, else a table."""
        if self.system.dead_letters is not None:
            return self.system.dead_letters
        able = [name for name, spec in self.targets.items() if DEAD_LETTERS in spec.cls.kinds(spec.options)]
        streams = [name for name in able if self.targets[name].cls.client_kind == "redpanda"]
        return next(iter([*streams, *able]), None)

    @classmethod
    def load(cls, path: str | FilePath) -> Self:
        """Read a topology from a TOML file; raises `ConfigurationError` with all that is wrong in it."""
        topology = load_topology(path)
        assert isinstance(topology, cls)
        return topology


def load_topology(path: str | FilePath, environ: Mapping[str, str] = os.environ) -> Topology:
    """Read and check a TOML file."""
    try:
        text = FilePath(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError([f"{path}:1: cannot be read: {reason}"]) from error
    return parse_topology(text, str(path), environ)


def default_topology() -> Topology:
    """Return the platform's main job: CoinGecko to a topic to TimescaleDB, on embedded servers."""
    return load_topology(FilePath(__file__).with_name("default.toml"))


def parse_topology(text: str, name: str = "topology", environ: Mapping[str, str] = os.environ) -> Topology:
    """Read and check the text of a TOML file called `name`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+)", str(error))
        line = place[1] if place else str(text.count("\n") + 1)
        message = str(error).split(" (at ", 1)[0]
        raise ConfigurationError([f"{name}:{line}: is no valid TOML: {message[:1].lower()}{message[1:]}"]) from error
    parser = _Parser(environ)
    topology = parser.topology(document)
    problems = parser.problems or topology.check()
    if problems:
        found = sorted({(line_of(text, problem.path), problem.message) for problem in problems})
        raise ConfigurationError([f"{name}:{line}: {message}" for line, message in found])
    return topology


def plugins(group: str) -> dict[str, type[Any]]:
    """Return the installed sources (`dataplatform.sources`) or targets (`dataplatform.targets`) by their kind."""
    return {point.name: point.load() for point in entry_points(group=group)}


@define
class _Parser:
    """Turns a document into a topology, gathering problems on the way."""

    environ: Mapping[str, str]
    problems: Problems = field(factory=list)

    def topology(self, document: dict[str, Any]) -> Topology:
        for key in document:
            if key not in SECTIONS:
                self._add((key,), f"unknown table [{key}]{suggestion(key, SECTIONS)}")
        system = self._structure(SystemOptions, document.get("system", {}), ("system",))
        sources, targets = plugins("dataplatform.sources"), plugins("dataplatform.targets")
        clients = self._tables(document, "clients", CLIENT_KINDS, ClientSpec, lambda cls: cls)
        return Topology(
            system=system or SystemOptions(),
            clients=clients,
            sources=self._tables(document, "sources", sources, lambda k, o: SourceSpec(sources[k], o), _options_of),
            targets=self._tables(document, "targets", targets, lambda k, o: TargetSpec(targets[k], o), _options_of),
            routes=self._routes(document.get("routes", [])),
        )

    def _tables(
        self,
        document: dict[str, Any],
        section: str,
        kinds: Mapping[str, type[Any]],
        make: Callable[[str, Any], Any],
        options: Callable[[type[Any]], type[Any]],
    ) -> dict[str, Any]:
        made = {}
        tables = document.get(section, {})
        if not isinstance(tables, dict):
            self._add((section,), f"expected tables like [{section}.NAME]")
            return {}
        for name, table in tables.items():
            path: Path = (section, name)
            rest = dict(table) if isinstance(table, dict) else {}
            kind = rest.pop("kind", None)
            if not NAME.fullmatch(name):
                self._add(path, f"{name!r} is no name: letters, digits, - and _, a letter first")
            if not isinstance(kind, str):
                self._add(path, f"[{section}.{name}] has no kind; there are {', '.join(sorted(kinds))}")
            elif kind not in kinds:
                self._add((*path, "kind"), f"unknown kind {kind!r}{suggestion(kind, kinds)}")
            elif (structured := self._structure(options(kinds[kind]), rest, path)) is not None:
                made[name] = make(kind, structured)
        return made

    def _routes(self, tables: Any) -> tuple[Route, ...]:
        if not isinstance(tables, list):
            self._add(("routes",), "expected tables like [[routes]]")
            return ()
        routes = []
        for number, table in enumerate(tables):
            renamed = {("source" if key == "from" else key): value for key, value in table.items()}
            route = self._structure(RouteOptions, renamed, ("routes", number))
            if route is not None:
                routes.append(Route(route.source, route.to))
        return tuple(routes)

    def _structure(self, cls: type[Any], table: Any, path: Path) -> Any:
        return structure(cls, table, path, self.problems, self.environ)

    def _add(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path, message))


def _options_of(plugin: type[Any]) -> type[Any]:
    options: type[Any] = plugin.Options
    return options


@define
class _Checker:
    """Finds names that lead nowhere and clients of the wrong kind."""

    topology: Topology
    _found: Problems = field(factory=list, init=False)

    def problems(self) -> Problems:
        topology = self.topology
        for section, parts in (("sources", topology.sources), ("targets", topology.targets)):
            for name, spec in parts.items():
                self._client((section, name), name, spec)
        for number, route in enumerate(topology.routes):
            self._route(("routes", number), route)
        self._names()
        self._dead_letters()
        return self._found

    def _client(self, path: Path, name: str, spec: SourceSpec | TargetSpec) -> None:
        client = self.topology.clients.get(spec.options.client)
        needed = spec.cls.client_kind
        if client is None:
            wrong = spec.options.client
            self._add((*path, "client"), f"no client is called {wrong!r}{suggestion(wrong, self.topology.clients)}")
        elif client.kind != needed:
            self._add(
                (*path, "client"),
                f"{name!r} needs a client of kind {needed!r}, {spec.options.client!r} is of kind {client.kind!r}",
            )

    def _route(self, path: Path, route: Route) -> None:
        if route.source not in self.topology.sources:
            hint = suggestion(route.source, self.topology.sources)
            self._add((*path, "from"), f"no source is called {route.source!r}{hint}")
        for target in route.targets:
            if target not in self.topology.targets:
                hint = suggestion(target, self.topology.targets)
                self._add((*path, "to"), f"no target is called {target!r}{hint}")

    def _names(self) -> None:
        seen: dict[str, str] = dict.fromkeys(RESERVED, "the platform itself")
        for section in ("clients", "sources", "targets"):
            for name in getattr(self.topology, section):
                if name in seen:
                    self._add((section, name), f"{name!r} is already the name of one of {seen[name]}; names are unique")
                seen[name] = section

    def _dead_letters(self) -> None:
        name = self.topology.dead_letters
        if name is None and self.topology.routes:
            self._add(("routes",), "no target takes dead letters; add a redpanda or timescale target")
        elif name is not None and name not in self.topology.targets:
            hint = suggestion(name, self.topology.targets)
            self._add(("system", "dead_letters"), f"no target is called {name!r}{hint}")

    def _add(self, path: Path, message: str) -> None:
        self._found.append(Problem(path, message))
