"""The DSL's types as JSON: their schemas, values to JSON and back, with every rule of the types and the limits kept.

Names are camelCase, as everywhere on the wire, times RFC 3339, bytes base64. Where several types of record may stand
(`publish_batch`), a field `kind` tells which it is.
"""

from __future__ import annotations

import collections.abc as abstract
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec
from attrs import define, field

from dataplatform.base.misfit import misfit
from dataplatform.dsl.kinds import KINDS
from dataplatform.errors import Permanent, PlatformError

__all__ = ["KIND", "Wire", "camel_case", "described", "schema", "to_wire"]

LONGEST_TEXT = 10_000
KIND = "kind"
PLAIN = {str, int, float, bool, type(None)}  # what JSON has as it is
KIND_NAMES = {kind.type: kind.name for kind in KINDS}
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class ErrorOnWire(msgspec.Struct, rename="camel"):
    """What went wrong, and what to do about it."""

    code: str
    message: str
    remedy: str


@define(eq=False)
class Wire:
    """The wire forms of types; `most_items` bounds the lists in them, and their texts are bounded with them.

    What is not known of an object is refused, or with `lenient` ignored: another platform may be a newer one.

    >>> from dataplatform.dsl.queries import Level1Query
    >>> wire = Wire(most_items=10)
    >>> wire.read(Level1Query, {"ticker": "bitcoin", "market": "BTC/USDT"})
    Level1Query(ticker='bitcoin', exchange=None, market='BTC/USDT')
    """

    most_items: int | None = None
    lenient: bool = False
    _structs: dict[tuple[type[Any], bool], type[msgspec.Struct]] = field(factory=dict, init=False)
    _classes: dict[type[msgspec.Struct], type[Any]] = field(factory=dict, init=False)

    def form(self, hint: Any, *, tagged: bool = False) -> Any:
        """Return what a type is on the wire, as a type that msgspec knows."""
        if isinstance(hint, type) and attrs.has(hint):
            return self._struct(hint, tagged=tagged)
        if isinstance(hint, type) and issubclass(hint, PlatformError):
            return ErrorOnWire
        if hint is datetime:
            return Time
        if hint is str and self.most_items is not None:
            return Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
        origin, args = get_origin(hint), get_args(hint)
        if origin in {Union, UnionType}:
            several = sum(isinstance(one, type) and attrs.has(one) for one in args) > 1
            return Union[tuple(self.form(one, tagged=several) for one in args)]  # noqa: UP007  made at run time
        if origin in {abstract.Sequence, list, tuple}:
            items: Any = list[self.form(args[0])]  # type: ignore[misc]
            return items if self.most_items is None else Annotated[items, msgspec.Meta(max_length=self.most_items)]
        if origin in {abstract.Mapping, dict}:
            return dict[args[0], self.form(args[1])]  # type: ignore[valid-type, misc]
        return hint

    def read(self, hint: Any, value: Any) -> Any:
        """Return what JSON stands for as a value of the type; raises `Permanent` (`bad_argument`) for what is none."""
        return self.build(self.convert(self.form(hint), value))

    def convert(self, form: Any, value: Any) -> Any:
        """Return JSON in its wire form; raises `Permanent` (`bad_argument`) that names the place that is wrong."""
        try:
            return msgspec.convert(value, form)
        except msgspec.ValidationError as error:
            raise Permanent("bad_argument", _place_first(_misfit(error, value, form))) from error
        except RecursionError as error:
            raise Permanent("bad_argument", str(error)) from error

    def build(self, value: Any) -> Any:
        """Return what a value in its wire form stands for; raises `Permanent` for what breaks a rule of a type."""
        if isinstance(value, list):
            return [self.build(one) for one in value]
        if isinstance(value, ErrorOnWire):
            return Permanent(value.code, value.message, remedy=value.remedy)
        cls = self._classes.get(type(value))
        if cls is None:
            return value
        try:
            return cls(**{name: self.build(getattr(value, name)) for name in value.__struct_fields__})
        except (ValueError, TypeError) as error:
            raise Permanent("bad_argument", str(error)) from error

    def _struct(self, cls: type[Any], *, tagged: bool) -> type[msgspec.Struct]:
        if (cls, tagged) not in self._structs:
            hints = get_type_hints(cls)
            options = [self.option(one, hints[one.name]) for one in attrs.fields(cls) if one.init]
            made = msgspec.defstruct(
                cls.__name__,
                sorted(options, key=len),  # those without a default first
                rename=camel_case,
                forbid_unknown_fields=not self.lenient,
                kw_only=True,
                namespace={"__doc__": described(cls)},
                tag_field=KIND if tagged else None,
                tag=KIND_NAMES.get(cls, cls.__name__) if tagged else None,
            )
            self._structs[cls, tagged], self._classes[made] = made, cls
        return self._structs[cls, tagged]

    def option(self, option: attrs.Attribute[Any], hint: Any) -> tuple[Any, ...]:
        """Return the field of a struct that an option of an attrs class becomes: name, form, default."""
        form, default = self.form(hint), option.default
        if default is attrs.NOTHING:
            return (option.name, form)
        factory = partial(list, default) if isinstance(default, tuple) else getattr(default, "factory", None)
        return (option.name, form, msgspec.field(default_factory=factory) if factory else default)


def _misfit(error: msgspec.ValidationError, value: Any, form: Any) -> str:
    try:
        raw = msgspec.json.encode(value)
    except (UnicodeError, OverflowError, RecursionError):  # what JSON cannot hold
        return str(error)
    return misfit(error, raw, lambda part: msgspec.convert(msgspec.json.decode(part), form))


def _place_first(text: str) -> str:
    """Return a decoder's words as a person says them.

    >>> _place_first("Expected `str`, got `int` - at `$.coinId`")
    "coinId: expected 'str', got 'int'"
    """
    what, _, place = text.replace("`", "'").rpartition(" - at '$")
    said = f"{what[:1].lower()}{what[1:]}" if what else place[:1].lower() + place[1:]
    return f"{place.removesuffix(chr(39)).removeprefix('.')}: {said}" if what else said


def schema(form: Any) -> dict[str, Any]:
    """Return the JSON Schema of a wire form that is an object, the object itself at the root as MCP wants it."""
    whole = msgspec.json.schema(form)
    definitions: dict[str, Any] = whole["$defs"]
    root: dict[str, Any] = definitions.pop(whole["$ref"].rpartition("/")[2])
    return root | ({"$defs": definitions} if definitions else {})


def to_wire(value: Any) -> Any:
    """Return a value as JSON.

    >>> from dataplatform.dsl.queries import PublishResult
    >>> to_wire([PublishResult("database", "prices")])
    [{'target': 'database', 'kind': 'prices'}]
    """
    cls: Any = type(value)
    if cls in PLAIN:
        return value
    if isinstance(value, PlatformError):
        return {"code": value.code, "message": value.message, "remedy": value.remedy}
    if attrs.has(cls):
        return {wired: to_wire(getattr(value, name)) for name, wired in _names(cls)}
    if isinstance(value, Mapping):
        return {key: to_wire(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_wire(one) for one in value]
    return msgspec.to_builtins(value) if isinstance(value, (datetime, bytes, Enum)) else value


@cache
def _names(cls: type[Any]) -> tuple[tuple[str, str], ...]:
    """Return the fields of an attrs class, as they are called here and on the wire."""
    return tuple((one.name, camel_case(one.name)) for one in attrs.fields(cls))


def camel_case(name: str) -> str:
    """Return a name as it stands on the wire.

    >>> camel_case("volume_24h")
    'volume24h'
    """
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def described(documented: Any) -> str:
    """Return what a docstring says, in one line, without its examples."""
    return " ".join((documented.__doc__ or "").split(">>>", 1)[0].split())
