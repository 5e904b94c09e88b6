"""The arguments of a tool: what each means, how its schema shows them, and how models write them.

Arguments as models write them become what they stand for: another spelling, a list given as text, `7.0`. What each
argument of a tool means and what it may be: said once, for schemas, errors and checks alike. Forms: the arguments of a
tool as they are read and as its schema shows them, and what its answers look like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import attrs
import msgspec
from attrs import field, frozen
from msgspec import inspect

from dataplatform.dsl.operations.arguments import RENAMED, Argument
from dataplatform.dsl.operations.operations import result_of
from dataplatform.dsl.records import checks
from dataplatform.dsl.records.kinds import Kind, kinds
from dataplatform.dsl.records.schema import KIND, Wire, camel_case, form_schema
from dataplatform.errors import Permanent

__all__ = [
    "MEANINGS",
    "MOST_POINTS",
    "POINTS",
    "Form",
    "Meaning",
    "Option",
    "forgiven",
    "key_meaning",
    "kind_of",
    "look_form",
    "output_of",
    "output_schema",
    "pipe_form",
    "record_form",
    "record_text",
    "records_text",
    "respelt",
    "said",
    "shaping",
]

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
            return _as_struct(kind, given) if isinstance(given, dict) else value
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


def _as_struct(kind: inspect.StructType, value: dict[str, Any]) -> dict[str, Any]:
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


POINTS, MOST_POINTS = 200, 10_000
ID = {"min_length": 1, "max_length": checks.LONGEST_ID}


@frozen
class Meaning:
    """An argument: its text, in which `{…}` is filled in, its choices where it has some, the bounds of its value."""

    text: str
    choices: tuple[str, ...] = ()
    bounds: Mapping[str, Any] = field(factory=dict)
    items: Mapping[str, Any] | None = None


MEANINGS: Mapping[str, Meaning] = {
    "coin_id": Meaning("The coin's id, as bitcoin; not its symbol.", bounds=ID),
    "coin_ids": Meaning("Ids of coins, as bitcoin; not symbols.", bounds={"min_length": 1}, items=ID),
    "vs_currency": Meaning("The currency of the price.", checks.PRICED_IN),
    "vs_currencies": Meaning("The currencies of the prices.", checks.PRICED_IN, {"min_length": 1}),
    "include_change_7d": Meaning("Ask for the change in 7 days."),
    "interval": Meaning("How long a candle is. {intervals}"),
    "days": Meaning("How many days back from now.", bounds={"ge": 1, "le": checks.MOST_DAYS}),
    "date_start": Meaning("The first moment, as 2026-01-01T00:00:00Z."),
    "date_end": Meaning(f"The moment after the last; at most {checks.MOST_CANDLES} intervals later."),
    "market": Meaning("The pair, as BTC/USDT.", bounds=ID),
    "exchange": Meaning("The exchange, as binance.", bounds=ID),
    "limit": Meaning("How many ids at most.", bounds={"ge": 1, "le": checks.MOST_COINS}),
    "source": Meaning("Who is asked."),
    "target": Meaning("Where to write."),
    "every": Meaning("One price per interval, as 1h or 1d: the first of each."),
    "max_points": Meaning("More are thinned evenly.", bounds={"ge": 2, "le": MOST_POINTS}),
    "offset": Meaning("Where to go on in what was cut.", bounds={"ge": 0}),
    "all": Meaning("Every record whole, however many."),
    "all_refused": Meaning("Every refused record, however many."),
}


def key_meaning(name: str) -> Meaning:
    """Return what the keys mean by which the latest records of an added kind are asked for, as `tickers`."""
    return Meaning(f"The {name.replace('_', ' ')} of which the latest records are wanted.", (), {"min_length": 1}, ID)


def said(meaning: Meaning, form: Any, **words: Any) -> Any:
    """Return a wire form with the meaning's choices, bounds and text.

    >>> msgspec.json.schema(said(Meaning("How many.", bounds={"ge": 1}), int))
    {'description': 'How many.', 'type': 'integer', 'minimum': 1}
    """
    if meaning.choices:
        choice: Any = Literal[meaning.choices]
        form = list[choice] if get_origin(form) in {list, Annotated} else choice
    elif meaning.items is not None:
        form = list[Annotated[str, msgspec.Meta(**meaning.items)]]
    return Annotated[form, msgspec.Meta(description=meaning.text.format(**words), **meaning.bounds)]


def record_text(kind: Kind) -> str:
    """Return what a record of a kind holds, for a caller who writes one.

    >>> from dataplatform.dsl.records.kinds import OHLCV
    >>> record_text(OHLCV)
    'coinId, timestamp, open, high, low, close, interval, source; may have: symbol, exchangeId, volume, attribution'
    """
    named = [(camel_case(RENAMED.get(one.name, one.name)), one.default) for one in attrs.fields(kind.type) if one.init]
    given = ", ".join(name for name, default in named if default is attrs.NOTHING)
    more = ", ".join(name for name, default in named if default is not attrs.NOTHING)
    return f"{given}; may have: {more}"


def records_text() -> str:
    """Return what a list of records of several kinds holds."""
    return (
        f"Records, each with `{KIND}`, one of {', '.join(kind.name for kind in kinds())}, and what schema://KIND says."
    )


WORDS = {"string": "text", "array": "list", "boolean": "true or false", "date-time": "time"}
SHAPING: Mapping[str, tuple[str, Any, Any]] = {  # by meaning: name, type and default of what shapes an answer
    "every": ("interval", str, msgspec.UNSET),
    "max_points": ("max_points", int, POINTS),
    "offset": ("offset", int, msgspec.UNSET),
    "all": ("all", bool, msgspec.UNSET),
    "all_refused": ("all", bool, msgspec.UNSET),
}
OPERATION = Meaning("Which one reads.")
TARGETS = Meaning("Where to write.", bounds={"min_length": 1})
ARGUMENTS = Meaning("What the operation takes, without `source`.")


@frozen
class Option:
    """An option of a form: its name, its type on the wire, its default, and its type as shown where that differs."""

    name: str
    form: Any
    default: Any = msgspec.NODEFAULT
    shown: Any = None

    def member(self, *, shown: bool = False) -> tuple[Any, ...]:
        """Return the option as a member of a struct."""
        form = self.shown if shown and self.shown is not None else self.form
        if self.default is msgspec.NODEFAULT:
            return (self.name, form)
        if self.default is msgspec.UNSET:
            return (self.name, form | msgspec.UnsetType, msgspec.UNSET)
        if isinstance(self.default, tuple):
            return (self.name, form, msgspec.field(default_factory=partial(list, self.default)))
        return (self.name, form, self.default)


@frozen
class Form:
    """The arguments of a tool."""

    read: type[msgspec.Struct]
    schema: dict[str, Any] = field(repr=False)
    kind: msgspec.inspect.Type = field(repr=False)

    @classmethod
    def of(cls, name: str, options: Iterable[Option]) -> Form:
        """Return the form of these options, for the tool of this name."""
        given = list(options)
        read, shown = [_struct_type(name, [one.member(shown=shown) for one in given]) for shown in (False, True)]
        whole = {key: value for key, value in form_schema(shown).items() if key != "title" and value != []}
        return cls(read, whole, msgspec.inspect.type_info(read))

    def given(self, wire: Wire, arguments: Any) -> tuple[Any, list[str]]:
        """Return arguments that fit, and notes about their spelling; raises `Permanent` (`bad_argument`) for others."""
        names = frozenset(self.schema["properties"])
        spelt, notes = respelt(arguments, names)
        spelt = forgiven(self.kind, spelt)
        if isinstance(spelt, dict) and (unknown := [name for name in spelt if name not in names]):
            close = get_close_matches(unknown[0], names, n=1)
            meant = f"; did you mean {close[0]!r}" if close else ""
            raise Permanent("bad_argument", f"there is no argument {unknown[0]!r:.60}{meant}")
        return wire.convert(self.read, spelt), notes

    def takes(self) -> str:
        """Return the arguments in words, those that have to be given first."""
        properties, required = self.schema["properties"], self.schema.get("required", [])
        words = [f"{name} ({_choices(properties[name])}; required)" for name in required]
        return ", ".join([*words, *(f"{n} ({_choices(p)})" for n, p in properties.items() if n not in required)])


def look_form() -> Form:
    """Return the form of a look at the platform: where to go on in what was cut."""
    return Form.of("Look", shaping(["offset"]))


def pipe_form(operations: tuple[str, ...], sources: tuple[str, ...], targets: tuple[str, ...]) -> Form:
    """Return the form of `run_pipe`."""
    return Form.of(
        "RunPipe",
        [
            Option("operation", said(attrs.evolve(OPERATION, choices=operations), str)),
            Option("source", said(attrs.evolve(MEANINGS["source"], choices=sources), str)),
            Option("targets", said(attrs.evolve(TARGETS, choices=targets), list[str])),
            Option("arguments", said(ARGUMENTS, dict[str, Any]), msgspec.UNSET),
        ],
    )


def shaping(meanings: Sequence[str]) -> list[Option]:
    """Return the options with these meanings of those that say how much of an answer is wanted."""
    options = [(one, *SHAPING[one]) for one in meanings]
    return [Option(name, said(MEANINGS[one], form), default) for one, name, form, default in options]


def kind_of(hint: Any) -> Kind | None:
    """Return the kind of the records that a type holds, one or several."""
    return next((kind for kind in kinds() if kind.type is hint or kind.type in get_args(hint)), None)


def record_form(one: Argument, most: int) -> Any:
    """Return how records are shown: their fields in words, as the schema of each is a resource of its own."""
    kind, several = kind_of(one.type), get_origin(one.type) is not None
    text = records_text() if kind is None else record_text(kind)
    if several and kind:
        text = f"Each as {kind.publish_one} takes it."
    form: Any = list[dict[str, Any]] if several else dict[str, Any]
    return Annotated[form, msgspec.Meta(description=text, max_length=most if several else None)]


def output_schema(message: type[Any]) -> dict[str, Any]:
    """Return what an operation's answer looks like, besides its source; the schemas of records are resources."""
    result = result_of(message)
    kind = kind_of(result)
    form: dict[str, Any] = {"type": "object" if get_origin(result) is None else ["array", "object"]}
    if result is type(None):
        form = {"type": "null"}
    if kind is not None:
        form["description"] = f"schema://{kind.name}"
    return {"type": "object", "properties": {"result": form}}


def output_of(cls: type[Any]) -> dict[str, Any]:
    """Return what an answer of a view's type looks like: the names of its members, and what sort of thing each is."""
    members = {camel_case(name): {"type": _sort(hint)} for name, hint in get_type_hints(cls).items()}
    return {"type": "object", "properties": members}


def _sort(hint: Any) -> Any:
    origin = get_origin(hint)
    if origin is tuple:
        return "array"
    if origin is dict:
        return "object"
    sorts = {bool: "boolean", int: "integer", str: "string", type(None): "null"}
    return [sorts[one] for one in get_args(hint)] if origin is not None else sorts[hint]


def _struct_type(name: str, members: Sequence[tuple[Any, ...]]) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, members, rename=camel_case, forbid_unknown_fields=True, kw_only=True)


def _choices(shown: Mapping[str, Any]) -> str:
    """Return what a property may be, in words."""
    within = shown.get("items", shown)
    if choices := within.get("enum", within.get("examples")):
        return " | ".join(choices)
    if "minimum" in shown:
        return f"{shown['minimum']} to {shown['maximum']}" if "maximum" in shown else f"from {shown['minimum']}"
    form: str = shown.get("format", shown["type"])
    return WORDS.get(form, form)
