"""The catalogue of what is installed: sources, targets and clients, what each can do, its options, what is broken."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec
from attrs import field, frozen

from dataplatform.base.technology import Technology
from dataplatform.dsl.operations.operations import reading, writing
from dataplatform.dsl.operations.registry import SIDES, Plugin, PluginClass, plugins
from dataplatform.system.config.checking import key_of

__all__ = ["Entry", "Option", "catalogue", "markdown"]

WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
YES, NO = "yes", "no"


@frozen
class Option:
    """An option as it is written in a topology: its default as JSON, None where it has to be given."""

    key: str
    type: str
    default: str | None
    help: str
    options: tuple[Option, ...] = ()


@frozen
class Entry:
    """One source, target or client. With an `error` it cannot be used, and nothing else is known of it.

    `clients` are the kinds of client that a source or target can have, `abilities` what a client can do for them.
    """

    side: str
    kind: str
    package: str
    version: str
    technology: str = ""
    clients: tuple[str, ...] = ()
    summary: str = ""
    operations: tuple[str, ...] = ()
    abilities: tuple[str, ...] = ()
    options: tuple[Option, ...] = field(default=(), repr=False)
    error: str | None = None


def catalogue() -> list[Entry]:
    """Describe all that is installed, sources first, clients last; what is broken has an error and harms no other."""
    return [_entry(plugin) for side in SIDES for plugin in plugins(side)]


def markdown(entries: list[Entry]) -> str:
    """Return the tables of the README: which source answers, and which target takes, what."""
    sources = _table([entry for entry in entries if entry.side == "sources"], "reading", reading())
    targets = _table([entry for entry in entries if entry.side == "targets"], "writing", writing())
    return f"{sources}\n\n{targets}"


def _table(entries: list[Entry], title: str, operations: Mapping[str, Any]) -> str:
    able = [entry for entry in entries if entry.error is None]
    rows = [[title, *(entry.kind for entry in able)], ["---"] * (len(able) + 1)]
    for operation in operations:
        marks = [YES if operation in entry.operations else NO for entry in able]
        rows.append([f"`{operation}`", *marks])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _entry(plugin: Plugin) -> Entry:
    origin = (plugin.side, plugin.kind, plugin.package, plugin.version)
    try:
        return _described(plugin.load(), origin)
    except (Exception, SystemExit) as error:  # noqa: BLE001  somebody else's module, which may fail in any way
        return Entry(*origin, error=f"{type(error).__name__}: {error}")


def _described(cls: PluginClass, origin: tuple[str, str, str, str]) -> Entry:
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    options = tuple(_options(cls.Options))
    if issubclass(cls, Technology):
        abilities = tuple(type(one).__name__.lower() for one in cls.abilities)
        return Entry(*origin, cls.title, summary=summary, abilities=abilities, options=options)
    return Entry(*origin, cls.technology, cls.client_kinds(), summary, cls.supported(), options=options)


def _options(cls: type[Any]) -> Iterator[Option]:
    hints = get_type_hints(cls)
    for option in attrs.fields(cls):
        if option.init:
            hint = hints[option.name]
            nested = _table_class(hint)
            inner = tuple(_options(nested)) if nested else ()
            help_ = option.metadata.get("help", "")
            yield Option(key_of(option), _type_name(hint), _default(option), help_, inner)


def _type_name(hint: Any) -> str:
    """Say in words what an option takes: `list of text` for `tuple[str, ...]`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {UnionType, Union}:
        return " or ".join(_type_name(one) for one in arguments if one is not type(None))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return "list of tables" if attrs.has(arguments[0]) else f"list of {_type_name(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {_type_name(arguments[1])}"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _table_class(hint: Any) -> type[Any] | None:
    item = get_args(hint)[0] if get_origin(hint) is tuple else None
    return item if item is not None and attrs.has(item) else None


def _default(option: attrs.Attribute[Any]) -> str | None:
    default: Any = option.default
    if default is attrs.NOTHING:
        return None
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        if default.takes_self:
            return "made from the others"
        default = default.factory()
    if not option.repr and default is not None:
        return "***"
    return msgspec.json.encode(default).decode() if default is not None else "none"
