"""The tools: made from the messages of the DSL, so that no operation is written twice.

A tool is called as its operation is, takes the operation's arguments besides `source` or `target` and, where an answer
may be long, how much of it is wanted. It answers `{"source": …, "result": …}`, and `notes` where something is to be
said about the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import attrs
import msgspec
from attrs import define, field, frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.operations.arguments import Argument, arguments_of, gathered
from dataplatform.dsl.operations.operations import reading, result_of, writing
from dataplatform.dsl.records.queries import BatchPublishResult, OHLCVSeries
from dataplatform.dsl.records.schema import Wire, described
from dataplatform.dsl.records.timeframes import check_timeframe
from dataplatform.errors import Permanent
from dataplatform.services.gateway.mcp.answers import Shape, Sort
from dataplatform.services.gateway.mcp.arguments import (
    MEANINGS,
    Form,
    Meaning,
    Option,
    key_meaning,
    kind_of,
    output_schema,
    record_form,
    said,
    shaping,
)
from dataplatform.services.gateway.operations import Operation, operations
from dataplatform.services.gateway.options import GatewayOptions
from dataplatform.services.service import PlatformView

__all__ = ["Call", "Catalogue", "OperationTool", "Side"]

Side = Literal["source", "target"]
WHEN = {
    "get_current_price": "For several coins: get_current_prices.",
    "get_current_ohlcv": "For several coins: get_latest_ohlcv.",
    "get_latest_ohlcv": "For one coin's candles of a range: get_ohlcv_by_date_range.",
    "get_price_history": "As columns, thinned evenly. For candles: get_ohlcv_by_date_range.",
    "get_ohlcv_by_date_range": "As columns, thinned evenly.",
    "get_available_tickers": "To find ids.",
    "get_level1_data": "For bid, ask and spread, of the most traded market unless one is named.",
    "publish_prices": "To write what a source reads: run_pipe.",
}
ANY = "any, as 5m, 1h or 1d"
SHAPED: Mapping[Sort, tuple[str, ...]] = {
    "history": ("every", "max_points", "all"),
    "candles": ("max_points", "all"),
    "list": ("offset", "all"),
    "batch": ("all_refused",),
    "one": (),
}


@frozen
class OperationTool:
    """An operation as a tool. `places` are the sources or targets that can carry it out, the default first."""

    operation: Operation
    places: tuple[str, ...]
    form: Form
    description: str
    output_schema: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def message(self) -> Any:
        return self.operation.message

    @property
    def side(self) -> Side:
        return "source" if self.operation.whom == "source" else "target"

    @property
    def answers(self) -> Sort:
        """Which sort of answer it has, of those that may be long."""
        return _sort(self.name, self.message)


@frozen
class Call:
    """A call that fits its tool: whom to ask what, how much of the answer is wanted, and notes about its spelling."""

    place: str
    request: Request[Any]
    shape: Shape
    notes: Sequence[str] = ()


@define(eq=False)
class Catalogue:
    """The operations that a platform can carry out, as tools."""

    platform_view: PlatformView
    options: GatewayOptions
    wire: Wire = field(init=False)
    tools: Mapping[str, OperationTool] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.wire = Wire(self.options.max_items)
        rights = {"read", "write"} if self.options.allow_writes else {"read"}
        found = [self._tool(one) for one in operations().values() if one.right in rights and one.whom in get_args(Side)]
        self.tools = {tool.name: tool for tool in found if tool is not None}

    def read(self, tool: OperationTool, arguments: Any) -> Call:
        """Return what is called for; raises `Permanent` (`bad_argument`) for arguments that do not fit."""
        given, notes = tool.form.given(self.wire, arguments)
        values = {one: value for one in given.__struct_fields__ if (value := getattr(given, one)) is not msgspec.UNSET}
        message: Any = tool.message
        asked = [one.name for one in arguments_of(message) if one.name in values]
        shape = {one.name: values[one.name] for one in shaping(SHAPED[tool.answers]) if one.name in values}
        if "interval" in shape and (error := check_timeframe(shape["interval"])):
            raise error
        try:
            request = gathered(message, {name: self.wire.build(values[name]) for name in asked})
        except (ValueError, TypeError) as error:
            raise Permanent("bad_argument", str(error)) from error
        return Call(values[tool.side], request, Shape(**shape), notes)

    def missing(self, name: str) -> str:
        """Say why there is no such tool."""
        if name in reading():
            return f"no source of this platform can answer {name}; see list_sources"
        if name in writing() and not self.options.allow_writes:
            return f"{name} is switched off here: the topology does not say allow_writes = true"
        return f"there is no tool {name!r:.60}; see tools/list"

    def _tool(self, operation: Operation) -> OperationTool | None:
        name, message = operation.name, operation.message
        side: Side = "source" if operation.whom == "source" else "target"
        places = self._places(name, side)
        if not places:
            return None
        form = Form.of(message.__name__, self._options(name, message, side, places))
        description = " ".join(filter(None, [described(message), WHEN.get(name)]))
        return OperationTool(operation, places, form, description, output_schema(message))

    def _places(self, name: str, side: Side) -> tuple[str, ...]:
        if side == "source":
            return tuple(place for place, one in self.platform_view.sources.items() if name in one.cls.supported())
        kinds = set(writing()[name])
        return tuple(
            place for place, one in self.platform_view.targets.items() if kinds & set(one.cls.kinds(one.options))
        )

    def _options(self, name: str, message: Any, side: Side, places: tuple[str, ...]) -> Iterator[Option]:
        """Return the operation's arguments, the place, and what shapes the answer.

        A target is to be named where there are several.
        """
        for one in arguments_of(message):
            yield self._option(name, one, places)
        default = places[0] if side == "source" or len(places) == 1 else msgspec.NODEFAULT
        yield Option(side, said(Meaning(MEANINGS[side].text, places), str), default)
        yield from shaping(SHAPED[_sort(name, message)])

    def _option(self, name: str, one: Argument, places: Sequence[str]) -> Option:
        form = one.type if one.type is str else self.wire.form(one.type)  # a text has the bounds of its meaning
        if kind_of(one.type) is not None or one.name == "records":
            return Option(one.name, form, shown=record_form(one, self.options.max_items))
        meaning = MEANINGS.get(one.name) or key_meaning(one.name)
        if name == "get_price_history" and one.name == "vs_currency":
            meaning = attrs.evolve(meaning, choices=("usd",))
        if meaning.items is not None:
            meaning = attrs.evolve(meaning, bounds={**meaning.bounds, "max_length": self.options.max_items})
        default = {None: msgspec.UNSET, attrs.NOTHING: msgspec.NODEFAULT}.get(one.default, one.default)
        if one.name == "interval":
            return Option(one.name, form, default, shown=self._interval(places))
        return Option(one.name, said(meaning, form), default)

    def _interval(self, places: Sequence[str]) -> Any:
        """Return how an interval is shown: those that the sources have, by name where they differ."""
        intervals = {place: self._intervals_of(place) for place in places}
        found: dict[str, list[str]] = {}
        for place, known in intervals.items():
            found.setdefault(ANY if known is None else ", ".join(known), []).append(place)
        words = "; ".join(f"{', '.join(names)}: {words}" for words, names in found.items())
        choices = tuple(dict.fromkeys(one for known in intervals.values() for one in known or ()))
        if None not in intervals.values():
            return said(attrs.evolve(MEANINGS["interval"], choices=choices), str, intervals="")
        meta = msgspec.Meta(description=MEANINGS["interval"].text.format(intervals=words), examples=[*choices] or None)
        return Annotated[str, meta]

    def _intervals_of(self, source: str) -> tuple[str, ...] | None:
        place = self.platform_view.sources[source]
        return place.cls.intervals(place.connection)


def _sort(name: str, message: type[Any]) -> Sort:
    result = result_of(message)
    if result is OHLCVSeries:
        return "candles"
    if get_origin(result) is list:
        return "history" if name == "get_price_history" else "list"
    return "batch" if result is BatchPublishResult else "one"
