"""Any type as JSON: its one form, values to it and back with every rule of the types kept, and its JSON Schema.

Names are camelCase, times RFC 3339, bytes base64, an error its code, message and remedy, and when to try again. Where
several types of record may stand (`publish_batch`), a field `kind` tells which it is. Where anything may stand (`Any`:
the values of a query's rows), a time, bytes and a float that JSON lacks say what they are: `{"$time": "2026-01-01"}`.
"""

from __future__ import annotations

import collections.abc as abstract
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec
from attrs import define, field

from dataplatform.base.decoding import misfit
from dataplatform.dsl.records.kinds import kinds
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["KIND", "Wire", "camel_case", "described", "form_schema", "from_json", "json_schema", "struct_of", "to_json"]

LONGEST_TEXT = 10_000
KIND, VERSION = "kind", "schema_version"
PLAIN = {str, int, float, bool, type(None)}  # what JSON has as it is
TIME, BYTES, FLOAT, MAP = "$time", "$bytes", "$float", "$map"
ANYTHING = f"Any value; a time is {{{TIME!r}: …}}, bytes {{{BYTES!r}: …}}, a float that JSON lacks {{{FLOAT!r}: …}}."
Time = Annotated[datetime, msgspec.Meta(tz=True)]
AnyTime = Annotated[datetime, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Writer = Callable[[Any], Any]


def camel_case(name: str) -> str:
    """Return a name as it stands on the wire.

    >>> camel_case("volume_24h")
    'volume24h'
    """
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


class ErrorOnWire(msgspec.Struct, rename=camel_case):
    """What went wrong, and what to do about it; an outage is `transient`, and `retry_after` in seconds where known."""

    code: str
    message: str
    remedy: str = ""
    transient: bool = False
    retry_after: float | None = None


class Untyped:
    """A value as it stands where anything may stand; no attrs class, which msgspec would read by its fields."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


# Values to JSON


def to_json(value: Any) -> Any:
    """Return a value as JSON: what `json.dumps` takes.

    >>> from dataplatform.dsl.records.queries import PublishResult
    >>> to_json([PublishResult("database", "prices")])
    [{'target': 'database', 'kind': 'prices'}]
    """
    cls: Any = type(value)
    if cls in PLAIN:
        return value
    if isinstance(value, PlatformError):
        return _error_to_json(value)
    if attrs.has(cls):
        return {wired: write(getattr(value, name)) for name, wired, write in _members(cls)}
    if isinstance(value, Mapping):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, abstract.Sequence)) and not isinstance(value, (str, bytes)):
        return [to_json(one) for one in value]
    return msgspec.to_builtins(value) if isinstance(value, (datetime, bytes, Enum)) else value


@cache
def _members(cls: type[Any]) -> tuple[tuple[str, str, Writer], ...]:
    """Return the fields of an attrs class, as they are called here and on the wire, and what writes their values."""
    hints = get_type_hints(cls)
    return tuple((one.name, camel_case(one.name), _writer(hints[one.name])) for one in attrs.fields(cls))


def _writer(hint: Any) -> Writer:
    """Return what writes the values of a field: plainly, unless it may hold anything or records of several types."""
    parts = list(_parts(hint))
    if Any in parts:
        return _untyped_to_json
    return _tagged_to_json if any(map(_is_of_several, parts)) else to_json


def _parts(hint: Any) -> abstract.Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _is_of_several(hint: Any) -> bool:
    return get_origin(hint) in {Union, UnionType} and sum(map(_is_attrs, get_args(hint))) > 1


def _is_attrs(hint: Any) -> bool:
    return isinstance(hint, type) and attrs.has(hint)


def _tagged_to_json(value: Any) -> Any:
    cls: Any = type(value)
    if attrs.has(cls):
        return {KIND: _tag(cls), **to_json(value)}
    return to_json(value) if value is None or isinstance(value, str) else [_tagged_to_json(one) for one in value]


def _untyped_to_json(value: Any) -> Any:
    """Return a value that says what it is; what is neither number, text, bytes nor time comes as text."""
    if type(value) in PLAIN:
        return value if not isinstance(value, float) or math.isfinite(value) else {FLOAT: str(value)}
    if isinstance(value, datetime):
        return {TIME: value.isoformat()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {BYTES: b64encode(value).decode()}
    if isinstance(value, Mapping):
        plain = {str(key): _untyped_to_json(one) for key, one in value.items()}
        return {MAP: plain} if _marker(plain) else plain
    if isinstance(value, (list, tuple)):
        return [_untyped_to_json(one) for one in value]
    return to_json(value) if attrs.has(type(value)) or isinstance(value, PlatformError) else str(value)


def _error_to_json(error: PlatformError) -> dict[str, Any]:
    plain: dict[str, Any] = {"code": error.code, "message": error.message, "remedy": error.remedy}
    if isinstance(error, Transient):
        plain["transient"] = True
        if error.retry_after is not None:
            plain["retryAfter"] = error.retry_after
    return plain


# JSON to values


def from_json(hint: Any, value: Any) -> Any:
    """Return what JSON, as `json.loads` gives it, stands for as a value of the type; the opposite of `to_json`.

    Members that the type lacks are ignored: who wrote it may be a newer release. Raises `Permanent` (`bad_argument`)
    for what does not fit the type or breaks one of its rules; the message names the place.

    >>> from dataplatform.dsl.records.queries import PublishResult
    >>> from_json(PublishResult, {"target": "database", "kind": "prices"})
    PublishResult(target='database', kind='prices')
    """
    return _LENIENT.read(hint, value)


@define(eq=False)
class Wire:
    """The wire forms of types; `most_items` bounds the lists in them, and their texts are bounded with them.

    What is not known of an object is refused, or with `lenient` ignored: another platform may be a newer one. A time
    without a zone does not fit, unless with `naive_times` it is left to the rules of the class.

    >>> from dataplatform.dsl.records.queries import Level1Query
    >>> wire = Wire(most_items=10)
    >>> wire.read(Level1Query, {"ticker": "bitcoin", "market": "BTC/USDT"})
    Level1Query(ticker='bitcoin', exchange=None, market='BTC/USDT')
    """

    most_items: int | None = None
    lenient: bool = False
    naive_times: bool = False
    _structs: dict[tuple[type[Any], bool], type[msgspec.Struct]] = field(factory=dict, init=False)
    _classes: dict[type[msgspec.Struct], type[Any]] = field(factory=dict, init=False)

    def form(self, hint: Any, *, tagged: bool = False) -> Any:
        """Return what a type is on the wire, as a type that msgspec knows."""
        if _is_attrs(hint):
            return self._struct(hint, tagged=tagged)
        if isinstance(hint, type) and issubclass(hint, PlatformError):
            return ErrorOnWire
        if hint is datetime:
            return AnyTime if self.naive_times else Time
        if hint is Any:
            return Untyped
        if hint is str and self.most_items is not None:
            return Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
        if get_origin(hint) in {Union, UnionType}:
            several = _is_of_several(hint)
            return Union[tuple(self.form(one, tagged=several) for one in get_args(hint))]  # noqa: UP007  at run time
        return self._container(hint)

    def _container(self, hint: Any) -> Any:
        origin, args = get_origin(hint), get_args(hint)
        if origin is tuple and args[-1] is not Ellipsis:
            return tuple[tuple(self.form(one) for one in args)]  # type: ignore[misc]
        if origin in {abstract.Sequence, list, tuple}:
            within = self.form(args[0])
            items: Any = tuple[within, ...] if origin is tuple else list[within]  # type: ignore[valid-type]
            return items if self.most_items is None else Annotated[items, msgspec.Meta(max_length=self.most_items)]
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return dict[args[0], self.form(args[1])]  # type: ignore[valid-type, misc]
        return hint

    def read(self, hint: Any, value: Any) -> Any:
        """Return what JSON stands for as a value of the type; raises `Permanent` (`bad_argument`) for a misfit."""
        return self.build(self.convert(self.form(hint), value))

    def convert(self, form: Any, value: Any) -> Any:
        """Return JSON in its wire form; raises `Permanent` (`bad_argument`) that names the place that is wrong."""
        try:
            return msgspec.convert(value, form, dec_hook=_hooked)
        except msgspec.ValidationError as error:
            raise Permanent("bad_argument", _place_first(_misfit(error, value, form))) from error
        except RecursionError as error:
            raise Permanent("bad_argument", str(error)) from error

    def build(self, value: Any) -> Any:
        """Return what a value in its wire form stands for; raises `Permanent` for what breaks a rule of a type."""
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.build, value))
        if isinstance(value, dict):
            return {key: self.build(one) for key, one in value.items()}
        if isinstance(value, Untyped):
            return _untyped_from_json(value.value)
        if isinstance(value, ErrorOnWire):
            return _error_from_json(value)
        cls = self._classes.get(type(value))
        if cls is None:
            return value
        try:
            return cls(**{name: self.build(getattr(value, name)) for name in value.__struct_fields__})
        except (ValueError, TypeError) as error:
            raise Permanent("bad_argument", str(error)) from error

    def _struct(self, cls: type[Any], *, tagged: bool) -> type[msgspec.Struct]:
        if (cls, tagged) not in self._structs:
            named: Any = cls
            made = struct_of(cls, self.form, lenient=self.lenient, tag=_tag(named) if tagged else None)
            self._structs[cls, tagged], self._classes[made] = made, cls
        return self._structs[cls, tagged]


def struct_of(
    cls: type[Any],
    form: Callable[[Any], Any] | None = None,
    *,
    lenient: bool = True,
    tag: str | None = None,
    version: int | None = None,
) -> type[msgspec.Struct]:
    """Return an attrs class as it stands on the wire: a struct with its names, rules of form, defaults and text.

    `form` makes the forms of the fields' types, by default as in topics, `tag` is the kind that its objects say,
    `version` that of the type, for what is written.
    """
    form = form or _TOPICS.form
    hints = get_type_hints(cls)
    members = [_member(one, form(hints[one.name])) for one in attrs.fields(cls) if one.init]
    return msgspec.defstruct(
        cls.__name__,
        [*sorted(members, key=len), *([] if version is None else [(VERSION, int, version)])],  # those to be given first
        rename=camel_case,
        forbid_unknown_fields=not lenient,
        frozen=True,
        gc=False,
        namespace={"__doc__": described(cls)},
        tag_field=KIND if tag is not None else None,
        tag=tag,
    )


def _member(option: attrs.Attribute[Any], form: Any) -> tuple[Any, ...]:
    """Return the field of a struct that an option of an attrs class becomes: name, form, default."""
    default = option.default
    if default is attrs.NOTHING:
        return (option.name, form)
    factory = getattr(default, "factory", None)
    return (option.name, form, msgspec.field(default_factory=factory) if factory else default)


@cache
def _tag(cls: type[Any]) -> str:
    return next((kind.name for kind in kinds() if kind.type is cls), cls.__name__)


def _hooked(cls: type[Any], value: Any) -> Any:
    if cls is Untyped:
        return Untyped(value)
    raise NotImplementedError(f"{cls.__name__} has no form as JSON")


def _marker(value: Mapping[str, Any]) -> str | None:
    """Return what an object says that it is, where it stands for something else."""
    return next(iter(value)) if len(value) == 1 and next(iter(value)) in {TIME, BYTES, FLOAT, MAP} else None


def _untyped_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_untyped_from_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    marker = _marker(value)
    try:
        match marker:
            case "$time":
                return datetime.fromisoformat(value[TIME])
            case "$bytes":
                return b64decode(value[BYTES], validate=True)
            case "$float":
                return float(value[FLOAT])
    except (ValueError, TypeError) as error:
        raise Permanent("bad_argument", f"{marker}: {error}") from error
    inner = value[MAP] if marker == MAP else value
    if not isinstance(inner, dict):
        raise Permanent("bad_argument", f"{MAP}: expected an object")
    return {key: _untyped_from_json(one) for key, one in inner.items()}


def _error_from_json(error: ErrorOnWire) -> PlatformError:
    if error.transient:
        return Transient(error.code, error.message, remedy=error.remedy, retry_after=error.retry_after)
    return Permanent(error.code, error.message, remedy=error.remedy)


def _misfit(error: msgspec.ValidationError, value: Any, form: Any) -> str:
    try:
        raw = msgspec.json.encode(value)
    except (UnicodeError, OverflowError, RecursionError):  # what JSON cannot hold
        return str(error)
    return misfit(error, raw, lambda part: msgspec.convert(msgspec.json.decode(part), form, dec_hook=_hooked))


def _place_first(text: str) -> str:
    """Return a decoder's words as a person says them.

    >>> _place_first("Expected `str`, got `int` - at `$.coinId`")
    "coinId: expected 'str', got 'int'"
    """
    what, _, place = text.replace("`", "'").rpartition(" - at '$")
    said = f"{what[:1].lower()}{what[1:]}" if what else place[:1].lower() + place[1:]
    return f"{place.removesuffix(chr(39)).removeprefix('.')}: {said}" if what else said


# Schemas


def json_schema(hint: Any) -> dict[str, Any]:
    """Return the JSON Schema of what `to_json` makes of the values of a type.

    >>> from dataplatform.dsl.records.queries import PublishResult
    >>> json_schema(PublishResult)["required"]
    ['target', 'kind']
    """
    return form_schema(_LENIENT.form(hint))


def form_schema(form: Any) -> dict[str, Any]:
    """Return the JSON Schema of a wire form, an object itself at the root as MCP wants it."""
    whole = msgspec.json.schema(form, schema_hook=lambda _: {"description": ANYTHING})
    if "$ref" not in whole:
        return whole
    definitions: dict[str, Any] = whole["$defs"]
    root: dict[str, Any] = definitions.pop(whole["$ref"].rpartition("/")[2])
    return root | ({"$defs": definitions} if definitions else {})


def described(documented: Any) -> str:
    """Return what a docstring says, in one line, without its examples."""
    return " ".join((documented.__doc__ or "").split(">>>", 1)[0].split())


_LENIENT = Wire(lenient=True)
_TOPICS = Wire(lenient=True, naive_times=True)  # there a naive time is `invalid`, not `malformed`
