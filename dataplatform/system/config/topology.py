"""Topologies from TOML files: read, checked, and all that is wrong said at once, with file and line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path as FilePath
from typing import Any

from attrs import define, field, frozen, validators

from dataplatform.dsl.operations.registry import Plugin, Side, plugins
from dataplatform.errors import Permanent
from dataplatform.redaction import REDACTOR, redacted
from dataplatform.suggestions import suggestion
from dataplatform.system.config.checking import Problem, Problems, structure
from dataplatform.system.config.lines import Path, line_of
from dataplatform.system.config.specs import (
    ClientSpec,
    Route,
    ServiceSpec,
    SourceSpec,
    SystemOptions,
    TargetSpec,
    Topology,
    secrets_of,
)

__all__ = [
    "DEFAULT",
    "ClientSpec",
    "ConfigurationError",
    "Route",
    "ServiceSpec",
    "SourceSpec",
    "SystemOptions",
    "TargetSpec",
    "Topology",
    "default_topology",
    "load_topology",
    "locate",
    "parse_topology",
]

DEFAULT = FilePath(__file__).with_name("default.toml")
SECTIONS = ("system", "clients", "sources", "targets", "services", "routes")
KIND = "kind"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)


class ConfigurationError(Exception):
    """All that is wrong with a topology, a line each."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = list(map(redacted, lines))
        super().__init__("\n".join(self.lines))


@frozen(kw_only=True)
class RouteOptions:
    """A `[[routes]]` table as it is written."""

    source: str = field(metadata={"key": "from", "help": "the name of a source"})
    to: tuple[str, ...] = field(validator=validators.min_len(1), metadata={"help": "the names of targets"})


def load_topology(path: str | FilePath, environ: Mapping[str, str] = os.environ) -> Topology:
    """Read and check a TOML file; raises `ConfigurationError` with all that is wrong in it."""
    return parse_topology(_text_of(path), str(path), environ)


def default_topology() -> Topology:
    """Return the platform's main job: CoinGecko to a topic to TimescaleDB, on embedded servers."""
    return load_topology(DEFAULT)


def parse_topology(text: str, name: str = "topology", environ: Mapping[str, str] = os.environ) -> Topology:
    """Read and check the text of a TOML file called `name`; raises `ConfigurationError`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+)", str(error))
        line = place[1] if place else str(text.count("\n") + 1)
        message = str(error).split(" (at ", 1)[0]
        raise ConfigurationError([f"{name}:{line}: is not valid TOML: {message[:1].lower()}{message[1:]}"]) from error
    parser = _Parser(environ)
    try:
        topology = parser.topology(document)
    except Permanent as error:  # what is installed does not fit the sources
        raise ConfigurationError([str(error)]) from error
    REDACTOR.learn(secrets_of(topology))
    problems = [*parser.problems, *topology.check(parser.broken)]
    if problems:
        raise ConfigurationError(_located(text, name, problems))
    return topology


def locate(path: str | FilePath, problems: Problems) -> list[str]:
    """Return what is wrong with the topology in a file as `FILE:LINE: what is wrong`, in the order of the lines."""
    return _located(_text_of(path), str(path), problems)


def _located(text: str, name: str, problems: Problems) -> list[str]:
    found = sorted({(line_of(text, problem.path), problem.message) for problem in problems})
    return [f"{name}:{line}: {message}" for line, message in found]


def _text_of(path: str | FilePath) -> str:
    try:
        return FilePath(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError([f"{path}:1: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise ConfigurationError([f"{path}:{line}: is not UTF-8 text: it holds the byte 0x{byte:02x}"]) from error


@define
class _Parser:
    """Turns a document into a topology, gathering problems on the way, and which tables are `broken` by them."""

    environ: Mapping[str, str]
    problems: Problems = field(factory=list)
    broken: set[tuple[str, str]] = field(factory=set)

    def topology(self, document: dict[str, Any]) -> Topology:
        for key, table in document.items():
            if key not in SECTIONS:
                self._add((key,), f"unknown table [{key}]{suggestion(key, SECTIONS)}")
                self.broken |= {(section, name) for section in SECTIONS for name in _names(table)}
        system = self._structure(SystemOptions, document.get("system", {}), ("system",))
        return Topology(
            system=system or SystemOptions(),
            clients=self._plugins(document, "clients", ClientSpec),
            sources=self._parts(document, "sources", SourceSpec),
            targets=self._parts(document, "targets", TargetSpec),
            services=self._services(document),
            routes=self._routes(document.get("routes", [])),
        )

    def _parts(self, document: dict[str, Any], section: Side, make: Callable[[Any, Any], Any]) -> dict[str, Any]:
        """Read the tables of sources or targets, made with the classes of their kinds."""
        found = _installed(section)
        return self._plugins(document, section, lambda kind, options: make(found[kind].load(), options))

    def _plugins(self, document: dict[str, Any], section: Side, make: Callable[[str, Any], Any]) -> dict[str, Any]:
        """Read the tables of a section whose kinds are those of the installed plugins."""
        return self._tables(document, section, _installed(section), lambda plugin: plugin.load().Options, make)

    def _services(self, document: dict[str, Any]) -> dict[str, Any]:
        """Read the tables of services, whose kinds are entry points."""
        found = {point.name: point for point in entry_points(group="dataplatform.services")}
        return self._tables(
            document,
            "services",
            found,
            lambda point: point.load().Options,
            lambda kind, options: ServiceSpec(found[kind].load(), options),
        )

    def _tables(
        self,
        document: dict[str, Any],
        section: str,
        kinds: Mapping[str, Plugin | EntryPoint],
        options_of: Callable[[Any], type[Any]],
        make: Callable[[str, Any], Any],
    ) -> dict[str, Any]:
        tables = document.get(section, {})
        if not isinstance(tables, dict):
            self._add((section,), f"expected tables like [{section}.NAME]")
            return {}
        made = {}
        for name, table in tables.items():
            path: Path = (section, name)
            if not NAME.fullmatch(name):
                self._add(path, f"{name!r} is no name: letters, digits, - and _, a letter first, 63 at most")
            key = _kind_key(table, kinds)
            kind = self._kind(table, key, path, kinds)
            options = self._load(kinds[kind], options_of, path) if kind is not None else None
            rest = {other: value for other, value in table.items() if other != key} if kind is not None else {}
            structured = self._structure(options, rest, path) if options is not None else None
            if kind is not None and structured is not None:
                made[name] = make(kind, structured)
            else:
                self.broken.add((section, name))
        return made

    def _kind(self, table: Any, key: str, path: Path, kinds: Collection[str]) -> str | None:
        """Return the kind of a table, which stands under `key`, unless it has none that there is."""
        known = ", ".join(sorted(kinds))
        if not isinstance(table, dict):
            self._add(path, f"expected a table [{'.'.join(map(str, path))}]")
            return None
        if key != KIND:
            self._add((*path, key), f"unknown key {key!r}; did you mean {KIND!r}?")
        if (kind := table.get(key)) is None:
            self._add(path, f"[{'.'.join(map(str, path))}] has no kind; there are {known}")
        elif not isinstance(kind, str):
            self._add((*path, key), f"kind: expected text, got {kind!r:.60}; there are {known}")
        elif kind not in kinds:
            self._add((*path, key), f"unknown kind {kind!r}{suggestion(kind, kinds)}")
        else:
            return kind
        return None

    def _load(self, kind: Plugin | EntryPoint, options_of: Callable[[Any], type[Any]], path: Path) -> type[Any] | None:
        try:
            return options_of(kind)
        except (Exception, SystemExit) as error:  # noqa: BLE001  somebody else's module, which may fail in any way
            origin = kind.origin if isinstance(kind, Plugin) else f"entry point {kind.name} = {kind.value}"
            self._add((*path, "kind"), f"cannot be loaded: {type(error).__name__}: {error} ({origin})")
            return None

    def _routes(self, tables: Any) -> tuple[Route, ...]:
        if not isinstance(tables, list):
            self._add(("routes",), "expected tables like [[routes]]")
            return ()
        made = [self._structure(RouteOptions, table, ("routes", number)) for number, table in enumerate(tables)]
        return tuple(Route(route.source, route.to) for route in made if route is not None)

    def _structure(self, cls: type[Any], table: Any, path: Path) -> Any:
        return structure(cls, table, path, self.problems, self.environ)

    def _add(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path, message))


def _kind_key(table: Any, kinds: Collection[str]) -> str:
    """Return the key that the kind stands under: `kind`, unless it is missing and another is a misspelling of it."""
    if not isinstance(table, dict) or KIND in table:
        return KIND
    alike = [key for key in table if get_close_matches(key.lower(), [KIND, "type"])]
    meant = [key for key in alike if isinstance(table[key], str) and get_close_matches(table[key], kinds)]
    return next(iter(meant), KIND)


def _installed(section: Side) -> dict[str, Plugin]:
    return {plugin.kind: plugin for plugin in plugins(section) if plugin.taken_by is None}


def _names(table: Any) -> Iterable[str]:
    return table if isinstance(table, dict) else ()
