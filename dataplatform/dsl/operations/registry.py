"""What is installed: clients, sources and targets by their kinds in topologies, and what each of them supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeAlias, TypeVar

from attrs import field, frozen, has

from dataplatform.base.technology import Technology
from dataplatform.dsl.operations.operations import reading
from dataplatform.dsl.operations.parts import Source, SourceOptions, Target, TargetOptions
from dataplatform.dsl.records.kinds import Kind
from dataplatform.errors import Permanent

__all__ = [
    "SIDES",
    "Plugin",
    "PluginClass",
    "Side",
    "ability",
    "kind_of_settings",
    "of_kinds",
    "plugins",
    "source_class",
    "supporters",
    "technology",
    "unsupported",
    "untaken",
]

A = TypeVar("A")
Side: TypeAlias = Literal["sources", "targets", "clients"]
PluginClass: TypeAlias = type[Source] | type[Target] | type[Technology]

OWN = "dataplatform"
AGAIN = "remove the folder dataplatform.egg-info beside its sources, and install it again: pip install -e ."
SIDES: tuple[Side, ...] = ("sources", "targets", "clients")


@frozen
class Contract:
    """What a class has to be: its base, what its `Options` extend, the texts that it says, the methods it writes."""

    base: type[Any]
    options: type[Any]
    texts: tuple[str, ...] = ("client_kind",)
    methods: tuple[str, ...] = ()

    def breach(self, found: Any) -> str | None:
        """Return what is wrong with a class, None where nothing is."""
        if not (isinstance(found, type) and issubclass(found, self.base)):
            return f"is no {getattr(self.base, 'extended_as', self.base.__name__)}"
        options = getattr(found, "Options", None)
        if not (isinstance(options, type) and has(options) and issubclass(options, self.options)):
            extending = "" if self.options is object else f" that extend {self.options.__name__}"
            return f"has no Options{extending or ' that are an attrs class'}"
        unsaid = [name for name in self.texts if not isinstance(getattr(found, name, None), str)]
        if unsaid:
            return f"does not say its {' and '.join(unsaid)}"
        unwritten = [one for one in self.methods if getattr(found, one).__func__ is getattr(self.base, one).__func__]
        return f"does not write {' and '.join(unwritten)}" if unwritten else None


CONTRACTS: Mapping[Side, Contract] = {
    "sources": Contract(Source, SourceOptions),
    "targets": Contract(Target, TargetOptions),
    "clients": Contract(Technology, object, ("title", "place", "remedy"), ("agents", "sign_of_life")),
}


@frozen
class Plugin:
    """A client, source or target that a package offers as a `kind`; whether it is any good shows in `load`.

    `taken_by` is the package whose kind it is already, which makes this one useless.
    """

    side: Side
    kind: str
    package: str
    version: str
    _point: EntryPoint = field(repr=False)
    taken_by: str | None = None

    @property
    def origin(self) -> str:
        """Where it comes from, for an error."""
        package = f"the package {self.package}" if self.package else "an unknown package"
        return f"entry point {self._point.name} = {self._point.value} of {package}"

    def load(self) -> PluginClass:
        """Return the class.

        Raises what its module raises when it is imported, and `TypeError` for what is of no use on its side, says too
        little about itself, or has a kind that is another package's already.
        """
        if self.taken_by is not None:
            raise TypeError(f"the kind {self.kind!r} is that of {self.taken_by} already")
        cls: PluginClass = self._point.load()
        if breach := CONTRACTS[self.side].breach(cls):
            raise TypeError(f"{self._point.value} {breach}")
        return cls


def plugins(side: Side) -> list[Plugin]:
    """Return what is installed, none of it loaded, by kind; nobody can take a kind of the platform's own.

    Raises `Permanent` where what is installed of the platform itself is older than its sources.
    """
    found: list[Plugin] = []
    takers: dict[str, str] = {}
    for point in sorted(entry_points(group=f"dataplatform.{side}"), key=_precedence):
        package, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
        found.append(Plugin(side, point.name, package, version, point, takers.get(point.name)))
        takers.setdefault(point.name, package or "another package")
    if OWN not in takers.values():
        raise Permanent("not_installed", f"the installed metadata of {OWN} name none of its {side}", remedy=AGAIN)
    return sorted(found, key=lambda plugin: plugin.kind)


@cache
def supporters(operation: str) -> tuple[str, ...]:
    """Return the kinds of source or target that support an operation, as far as they can be loaded."""
    side: Side = "sources" if operation in reading() else "targets"
    return tuple(kind for kind, cls in _loaded(side).items() if operation in _supported(cls))


def _supported(cls: PluginClass) -> tuple[str, ...]:
    return cls.supported() if issubclass(cls, (Source, Target)) else ()


def unsupported(operation: str, technology: str) -> Permanent:
    """Return the error of an operation that a technology cannot answer: it names the kinds of source that can."""
    return _refusal(f"{technology} cannot answer {operation}", supporters(operation))


def untaken(kind: Kind, technology: str) -> Permanent:
    """Return the error of records that a technology does not take: it names the kinds of target that do."""
    takers = [name for name, cls in _loaded("targets").items() if issubclass(cls, Target) and kind in cls.taken()]
    return _refusal(f"{technology} cannot take {kind.name}", takers)


def _refusal(text: str, able: Sequence[str]) -> Permanent:
    if not able:
        return Permanent("unsupported", text, remedy="nothing that is installed can")
    *most, last = able
    names = f"{', '.join(most)} and {last}" if most else last
    return Permanent("unsupported", f"{text}; {names} can", remedy="use one of those" if most else "use that one")


def source_class(kind: str) -> type[Source] | None:
    """Return the class of a kind of source; None where none of that name is installed and can be loaded."""
    cls = _loaded("sources").get(kind)
    return cls if cls is not None and issubclass(cls, Source) else None


@cache
def technology(kind: str) -> type[Technology] | None:
    """Return the class of a kind of client; None where none of that name is installed and can be loaded."""
    for plugin in plugins("clients"):
        if plugin.kind == kind and plugin.taken_by is None:
            try:
                cls = plugin.load()
            except (Exception, SystemExit):  # noqa: BLE001  somebody else's module; `plugins` shows what is wrong
                return None
            return cls if issubclass(cls, Technology) else None
    return None


def ability(kind: str, of: type[A]) -> A | None:
    """Return what clients of a kind are able to do; None where they are not, or the kind cannot be used."""
    found = technology(kind)
    return None if found is None else found.ability(of)


def of_kinds(able: type[Any]) -> str:
    """Say, for an error, which kinds of client have an ability."""
    kinds = [kind for kind in _loaded("clients") if ability(kind, able)]
    return f"; it needs a client of kind {' or '.join(map(repr, kinds))}" if kinds else ""


def kind_of_settings(settings: Any) -> str:
    """Return the kind of client that has such settings; raises `TypeError` where there is none."""
    for kind, cls in _loaded("clients").items():
        if issubclass(cls, Technology) and isinstance(settings, cls.Options):
            return kind
    raise TypeError(f"{type(settings).__name__} are the settings of no kind of client that is installed")


@cache
def _loaded(side: Side) -> dict[str, PluginClass]:
    """Return the classes that can be loaded; what is installed does not change while a process runs."""
    classes = {}
    for plugin in plugins(side):
        try:
            classes[plugin.kind] = plugin.load()
        except (Exception, SystemExit):  # noqa: BLE001, S112  somebody else's module; `plugins` shows what is wrong
            continue
    return classes


def _precedence(point: EntryPoint) -> tuple[bool, str, str]:
    package = point.dist.name if point.dist else ""
    return package != OWN, package, point.name
