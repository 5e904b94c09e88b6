"""Arguments as models write them become what they stand for: another spelling, a list given as text, `7.0`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

from dataplatform.dsl.arguments import RENAMED
from dataplatform.dsl.schema import camel_case
from dataplatform.errors import Permanent

__all__ = ["forgiven", "respelt"]

CONTAINERS = ("query", "options")  # in which some arguments stood once
OLD = {old: camel_case(new) for old, new in RENAMED.items()}


def respelt(arguments: Any, names: frozenset[str]) -> tuple[Any, list[str]]:
    """Return arguments by their present names, and a note for each that has an old one, which still works.

    >>> respelt({"query": {"ticker": "bitcoin"}}, frozenset({"coinId", "source"}))
    ({'coinId': 'bitcoin'}, ["'query' is spread now: give what it holds beside the others", "'ticker' is 'coinId' now"])
    """
    if not isinstance(arguments, dict):
        return arguments, []
    found: dict[str, Any] = {}
    notes = []
    for name, value in arguments.items():
        held = _parsed(value)
        if name in CONTAINERS and name not in names and isinstance(held, dict):
            notes.append(f"{name!r} is spread now: give what it holds beside the others")
            found |= held
        else:
            found[name] = value
    for old, new in OLD.items():
        if old in found and old not in names and new in names:
            notes.append(f"{old!r} is {new!r} now")
            _put(found, new, found.pop(old), old)
    return found, notes


def forgiven(kind: inspect.Type, value: Any) -> Any:
    """Return a value in the spelling that its type has; what fits no type stays, and is refused by its decoder.

    Raises `Permanent` (`bad_argument`) for one name that is given in two spellings.

    >>> forgiven(inspect.type_info(list[int]), "[7.0]")
    [7]
    """
    match kind:
        case inspect.Metadata(type=inner):
            return forgiven(inner, value)
        case inspect.UnionType(types):
            return _forgiven_one_of(types, value)
        case inspect.IntType() if isinstance(value, float) and value.is_integer():
            return int(value)
        case inspect.ListType(item_type=item):
            given = _parsed(value)
            return [forgiven(item, one) for one in given] if isinstance(given, list) else value
        case inspect.DictType():
            given = _parsed(value)
            return given if isinstance(given, dict) else value
        case inspect.StructType():
            given = _parsed(value)
            return _struct(kind, given) if isinstance(given, dict) else value
        case _:
            return value


def _forgiven_one_of(types: tuple[inspect.Type, ...], value: Any) -> Any:
    bare = tuple(map(_bare, types))
    given = value if any(isinstance(one, inspect.StrType) for one in bare) else _parsed(value)
    for one in bare:
        fits = isinstance(one, inspect.StructType) and isinstance(given, dict) and _is_tagged(one, given)
        if fits or isinstance(one, (inspect.ListType, inspect.DictType, inspect.IntType)):
            given = forgiven(one, given)
    return given


def _is_tagged(kind: inspect.StructType, value: dict[str, Any]) -> bool:
    return kind.tag_field is None or value.get(kind.tag_field) == kind.tag


def _struct(kind: inspect.StructType, value: dict[str, Any]) -> dict[str, Any]:
    """Return an object with its members by the names they have on the wire; null for what may be left out is that."""
    fields = {field.encode_name: field for field in kind.fields}
    names = {field.name: field.encode_name for field in kind.fields}
    names |= {new: old for old, new in OLD.items() if old in fields and new not in fields}
    names |= {RENAMED[old]: old for old in RENAMED if old in fields and OLD[old] not in fields}
    found: dict[str, Any] = {}
    for spelling, one in value.items():
        name = spelling if spelling in fields else names.get(spelling, spelling)
        field = fields.get(name)
        if field is not None and one is None and not field.required and not _takes_null(field.type):
            continue
        _put(found, name, one if field is None else forgiven(field.type, one), spelling)
    return found


def _takes_null(kind: inspect.Type) -> bool:
    bare = _bare(kind)
    types = bare.types if isinstance(bare, inspect.UnionType) else (bare,)
    return any(isinstance(_bare(one), (inspect.NoneType, inspect.AnyType)) for one in types)


def _bare(kind: inspect.Type) -> inspect.Type:
    """Return a type without what is only said about it."""
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _put(found: dict[str, Any], name: str, value: Any, spelling: str) -> None:
    if name in found:
        raise Permanent("bad_argument", f"{name}: is given twice, once as {spelling!r}")
    found[name] = value


def _parsed(value: Any) -> Any:
    """Return what JSON of a list or object given as text stands for."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"[", "{"}:
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return value
