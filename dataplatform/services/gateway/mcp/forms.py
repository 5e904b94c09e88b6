"""Forms: the arguments of a tool as they are read and as its schema shows them, and what its answers look like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import attrs
import msgspec
from attrs import field, frozen

from dataplatform.dsl.arguments import Argument
from dataplatform.dsl.kinds import Kind, kinds
from dataplatform.dsl.operations import result_of
from dataplatform.dsl.schema import Wire, camel_case, form_schema
from dataplatform.errors import Permanent
from dataplatform.services.gateway.mcp.forgiving import forgiven, respelt
from dataplatform.services.gateway.mcp.meanings import MEANINGS, POINTS, Meaning, record_text, records_text, said

__all__ = [
    "Form",
    "Option",
    "kind_of",
    "look_form",
    "output_of",
    "output_schema",
    "pipe_form",
    "record_form",
    "shaping",
]

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
        read, shown = [_struct(name, [one.member(shown=shown) for one in given]) for shown in (False, True)]
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


def _struct(name: str, members: Sequence[tuple[Any, ...]]) -> type[msgspec.Struct]:
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
