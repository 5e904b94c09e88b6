"""What is installed: sources and targets by the kind that topologies know them by, and what each of them supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeAlias, get_args

from attrs import field, frozen, has

from dataplatform.base.agent import Request
from dataplatform.dsl.kinds import ANALYTICS, KINDS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.operations import ReadingOperation, WritingOperation
from dataplatform.dsl.parts import SourceOptions, TargetOptions
from dataplatform.dsl.reader import BaseReader
from dataplatform.dsl.writer import BaseWriter
from dataplatform.errors import Permanent

__all__ = [
    "MESSAGES",
    "READING",
    "SIDES",
    "WRITING",
    "Plugin",
    "PluginClass",
    "Side",
    "plugins",
    "source_class",
    "supported",
    "supporters",
    "unsupported",
    "untaken",
]

Side: TypeAlias = Literal["sources", "targets"]
PluginClass: TypeAlias = type[BaseReader] | type[BaseWriter]

OWN = "dataplatform"
SIDES: tuple[Side, ...] = ("sources", "targets")
BASES: Mapping[Side, tuple[type[Any], type[Any]]] = {
    "sources": (BaseReader, SourceOptions),
    "targets": (BaseWriter, TargetOptions),
}

# A reader supports an operation when it overrides the operation's hook,
READING: Mapping[str, str] = {
    "get_current_price": "_current_prices",
    "get_current_prices": "_current_prices",
    "get_current_ohlcv": "_latest_ohlcv",
    "get_latest_ohlcv": "_latest_ohlcv",
    "get_price_history": "_price_history",
    "get_ohlcv_by_date_range": "_ohlcv_by_date_range",
    "get_available_tickers": "_available_tickers",
    "get_level1_data": "_level1",
    "get_market_analytics": "_market_analytics",
}
# a writer when it takes one of the kinds of record that the operation is about.
WRITING: Mapping[str, tuple[Kind, ...]] = {
    "publish_price": (PRICES,),
    "publish_prices": (PRICES,),
    "publish_ohlcv": (OHLCV,),
    "publish_ohlcv_batch": (OHLCV,),
    "publish_level1": (LEVEL1,),
    "publish_level1_batch": (LEVEL1,),
    "publish_analytics": (ANALYTICS,),
    "publish_batch": KINDS,
    "flush": KINDS,
}
MESSAGES: Mapping[str, type[Request[Any]]] = {
    name: message
    for name in (*READING, *WRITING)
    for message in (*get_args(ReadingOperation), *get_args(WritingOperation))
    if message.__name__.lower() == name.replace("_", "")
}
"""The message of each operation."""


@frozen
class Plugin:
    """A source or target that an installed package offers as a `kind`; whether it is any good shows in `load`.

    `taken_by` is the package whose kind it is already, which makes this one useless.
    """

    side: Side
    kind: str
    package: str
    version: str
    _point: EntryPoint = field(repr=False)
    taken_by: str | None = None

    def load(self) -> PluginClass:
        """Return the class.

        Raises what its module raises when it is imported, and `TypeError` for what is no source or target, says too
        little about itself, or has a kind that is another package's already.
        """
        if self.taken_by is not None:
            raise TypeError(f"the kind {self.kind!r} is that of {self.taken_by} already")
        cls, (base, options) = self._point.load(), BASES[self.side]
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise TypeError(f"{self._point.value} is no {base.__name__}")
        made = getattr(cls, "Options", None)
        if not (isinstance(made, type) and has(made) and issubclass(made, options)):
            raise TypeError(f"{self._point.value} has no Options that extend {options.__name__}")
        if not isinstance(getattr(cls, "client_kind", None), str):
            raise TypeError(f"{self._point.value} does not say its client_kind")
        return cls


def plugins(side: Side) -> list[Plugin]:
    """Return what is installed, none of it loaded, by kind; nobody can take a kind of the platform's own."""
    found: list[Plugin] = []
    takers: dict[str, str] = {}
    for point in sorted(entry_points(group=f"dataplatform.{side}"), key=_precedence):
        package, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
        found.append(Plugin(side, point.name, package, version, point, takers.get(point.name)))
        takers.setdefault(point.name, package or "another package")
    return sorted(found, key=lambda plugin: plugin.kind)


def supported(cls: PluginClass) -> tuple[str, ...]:
    """Return the operations that a source or target supports."""
    if issubclass(cls, BaseReader):
        return tuple(name for name, hook in READING.items() if getattr(cls, hook) is not getattr(BaseReader, hook))
    return tuple(name for name, kinds in WRITING.items() if not set(kinds).isdisjoint(cls.takes))


@cache
def supporters(operation: str) -> tuple[str, ...]:
    """Return the kinds of source or target that support an operation, as far as they can be loaded."""
    side: Side = "sources" if operation in READING else "targets"
    return tuple(kind for kind, cls in _loaded(side).items() if operation in supported(cls))


def unsupported(operation: str, technology: str) -> Permanent:
    """Return the error of an operation that a technology cannot answer: it names the kinds of source that can."""
    return _refusal(f"{technology} cannot answer {operation}", supporters(operation))


def untaken(kind: Kind, technology: str) -> Permanent:
    """Return the error of records that a technology does not take: it names the kinds of target that do."""
    takers = [name for name, cls in _loaded("targets").items() if issubclass(cls, BaseWriter) and kind in cls.takes]
    return _refusal(f"{technology} cannot take {kind.name}", takers)


def _refusal(text: str, able: Sequence[str]) -> Permanent:
    if not able:
        return Permanent("unsupported", text, remedy="nothing that is installed can")
    *most, last = able
    names = f"{', '.join(most)} and {last}" if most else last
    return Permanent("unsupported", f"{text}; {names} can", remedy="use one of those" if most else "use that one")


def source_class(kind: str) -> type[BaseReader] | None:
    """Return the class of a kind of source; None where none of that name is installed and can be loaded."""
    cls = _loaded("sources").get(kind)
    return cls if cls is not None and issubclass(cls, BaseReader) else None


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
