"""The tools: made from the messages of the DSL, so that no operation is written twice.

A tool is called as its operation is, takes the operation's arguments besides `source` or `target`, and answers
`{"source": …, "result": …}`, and `notes` where something is to be said about the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_type_hints

import attrs
import msgspec
from attrs import define, field, frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.operations import result_of
from dataplatform.dsl.reader import BaseReader
from dataplatform.dsl.registry import MESSAGES, READING, WRITING, supported
from dataplatform.dsl.wire import Wire, camel_case, described, schema
from dataplatform.dsl.writer import BaseWriter
from dataplatform.errors import Permanent
from dataplatform.services.mcp_server.options import McpServerOptions, Right
from dataplatform.services.parts import Surroundings

__all__ = ["Catalogue", "OperationTool", "Side"]

Side = Literal["source", "target"]
WHEN = {
    "get_current_price": "For one coin; get_current_prices asks for several at once.",
    "get_current_prices": "For two coins or more, in one call. A coin's id is like 'bitcoin', not a symbol like 'BTC'.",
    "get_current_ohlcv": "For one coin; get_latest_ohlcv asks for several at once.",
    "get_latest_ohlcv": "For several coins; get_ohlcv_by_date_range has one coin's candles of a stretch of time.",
    "get_price_history": "For a line of prices; get_ohlcv_by_date_range has candles.",
    "get_ohlcv_by_date_range": "For candles of a chosen stretch of time; for the last days get_price_history is less.",
    "get_available_tickers": "To find ids. Give a limit, such as 100: a source may know many thousands.",
    "get_level1_data": "For trading questions: bid, ask and spread. For a price, get_current_price is right.",
    "get_market_analytics": "For questions about the market as a whole, not about a coin.",
    "publish_price": "For one price; publish_prices takes several at once.",
    "publish_prices": "To write prices; run_pipe writes what a source reads, without sending it here and back.",
    "publish_batch": "For records of several kinds, each with its `kind`.",
    "flush": "To be sure that all that was written before is durable.",
}


@frozen
class OperationTool:
    """An operation as a tool. `places` are the sources or targets that can carry it out, the default first."""

    name: str
    side: Side
    message: type[Any]
    places: tuple[str, ...]
    arguments: type[msgspec.Struct]
    description: str
    input_schema: dict[str, Any] = field(repr=False)
    output_schema: dict[str, Any] = field(repr=False)

    @property
    def right(self) -> Right:
        return "read" if self.side == "source" else "write"


@define(eq=False)
class Catalogue:
    """The operations that a platform can carry out, as tools."""

    surroundings: Surroundings
    options: McpServerOptions
    wire: Wire = field(init=False)
    tools: Mapping[str, OperationTool] = field(init=False)
    _answers: Wire = field(factory=Wire, init=False)

    def __attrs_post_init__(self) -> None:
        self.wire = Wire(self.options.max_items)
        found = [self._tool(name) for name in MESSAGES if name in READING or self.options.allow_writes]
        self.tools = {tool.name: tool for tool in found if tool is not None}

    def read(self, tool: OperationTool, arguments: Any) -> tuple[str, Request[Any]]:
        """Return whom to ask what; raises `Permanent` (`bad_argument`) for arguments that do not fit."""
        given = self.wire.convert(tool.arguments, arguments)
        values = {one.name: self.wire.build(getattr(given, one.name)) for one in attrs.fields(tool.message)}
        try:
            return getattr(given, tool.side), tool.message(**values)
        except (ValueError, TypeError) as error:
            raise Permanent("bad_argument", str(error)) from error

    def missing(self, name: str) -> str:
        """Say why there is no such tool."""
        if name in READING:
            return f"no source of this platform can answer {name}; see list_sources"
        if name in WRITING and not self.options.allow_writes:
            return f"{name} is switched off here: the topology does not say allow_writes = true"
        return f"there is no tool {name!r:.60}; see tools/list"

    def _tool(self, name: str) -> OperationTool | None:
        side: Side = "source" if name in READING else "target"
        places = self._places(name, side)
        if not places:
            return None
        message: type[Any] = MESSAGES[name]
        base = BaseReader if side == "source" else BaseWriter
        arguments = self._arguments(name, message, side, places)
        answer = msgspec.defstruct(
            f"{message.__name__}Answer",
            [(side, str), ("result", self._answers.form(result_of(message))), ("notes", list[str], [])],
            rename=camel_case,
        )
        said = described(getattr(base, name))
        for option in attrs.fields(message):
            said = said.replace(f"`{option.name}`", f"`{camel_case(option.name)}`")
        description = " ".join(filter(None, [said, WHEN.get(name), f"The {side}s that can: {', '.join(places)}."]))
        return OperationTool(name, side, message, places, arguments, description, schema(arguments), schema(answer))

    def _places(self, name: str, side: Side) -> tuple[str, ...]:
        if side == "source":
            return tuple(place for place, one in self.surroundings.sources.items() if name in supported(one.cls))
        kinds = set(WRITING[name])
        return tuple(
            place for place, one in self.surroundings.targets.items() if kinds & set(one.cls.kinds(one.options))
        )

    def _arguments(self, name: str, message: type[Any], side: Side, places: Sequence[str]) -> type[msgspec.Struct]:
        """Return the operation's arguments and the place; a target is to be named where there are several."""
        hints = get_type_hints(message)
        choices: Any = Literal[tuple(places)]
        place = (side, choices, places[0]) if side == "source" or len(places) == 1 else (side, choices)
        options = [self.wire.option(one, hints[one.name]) for one in attrs.fields(message)]
        return msgspec.defstruct(
            f"{message.__name__}Arguments",
            [*options, place],
            rename=camel_case,
            forbid_unknown_fields=True,
            kw_only=True,
            namespace={"__doc__": f"The arguments of {name}."},
        )
