"""Every tool the server has: the DSL's operations, the pipe, and looks at the platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec
from attrs import define, field, frozen
from mcp.types import Tool as ToolOnWire
from mcp.types import ToolAnnotations

from dataplatform.base.agent import Request
from dataplatform.dsl.operations import GetAvailableTickers
from dataplatform.dsl.queries import OHLCVSeries
from dataplatform.dsl.wire import Wire, camel_case, schema, to_wire
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success
from dataplatform.services.mcp_server.bridge import Bridge
from dataplatform.services.mcp_server.catalogue import Catalogue, OperationTool
from dataplatform.services.mcp_server.failures import advised
from dataplatform.services.mcp_server.options import Right
from dataplatform.services.mcp_server.overview import DeadLetters, Lag, Overview, Places, Status
from dataplatform.services.mcp_server.piping import PipeResult, Pipes, pipeable

__all__ = ["Tool", "Toolbox"]

KNOWN_IDS = 250  # of a source, the largest coins first; enough to see what a misspelt one meant
LOOKS = "To see what can be asked of whom; every other tool takes a source's name from here."


class NoArguments(msgspec.Struct, forbid_unknown_fields=True):
    """No arguments."""


@frozen
class Tool:
    """A tool: what it may be called with, by whom, and how it is run. `run` takes checked arguments, answers JSON."""

    name: str
    right: Right
    description: str
    input_schema: dict[str, Any] = field(repr=False)
    output_schema: dict[str, Any] = field(repr=False)
    run: Callable[[Any], Awaitable[Result[dict[str, Any]]]]

    def on_wire(self) -> ToolOnWire:
        """Return the tool as it is listed."""
        reads = self.right != "write"
        hints = ToolAnnotations(read_only_hint=reads, destructive_hint=False, open_world_hint=self.right == "read")
        return ToolOnWire(
            name=self.name,
            description=self.description,
            input_schema=self.input_schema,
            output_schema=self.output_schema,
            annotations=hints,
        )


@define(eq=False)
class Toolbox:
    """The tools by name."""

    catalogue: Catalogue
    overview: Overview
    bridge: Bridge
    pipes: Pipes
    tools: Mapping[str, Tool] = field(init=False)
    _known: dict[str, list[str]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        looks = [
            self._look("list_sources", "read", Places, self.overview.places, LOOKS),
            self._look("status", "operate", Status, self.overview.status, "To see what is degraded or down, and why."),
            self._look("lag", "operate", Lag, self.overview.lag, "To see whether data is on time."),
            self._look(
                "dead_letters", "operate", DeadLetters, self.overview.dead_letters, "To see what was not stored."
            ),
        ]
        operations = [self._operation(tool) for tool in self.catalogue.tools.values()]
        found = [*looks, *operations, *self._pipe()]
        self.tools = {tool.name: tool for tool in found}

    # Operations

    def _operation(self, tool: OperationTool) -> Tool:
        async def run(arguments: Any) -> Result[dict[str, Any]]:
            place, request = self.catalogue.read(tool, arguments)
            answer = await self.bridge.ask(place, request)
            if isinstance(answer, Failure):
                return await self._advised(answer, tool, place, request)
            if error := self._too_large(answer.data):
                return Failure(error)
            return Success({tool.side: place, "result": to_wire(answer.data), **_notes(answer)})

        return Tool(tool.name, tool.right, tool.description, tool.input_schema, tool.output_schema, run)

    async def _advised(
        self, failure: Failure, tool: OperationTool, place: str, request: Request[Any]
    ) -> Result[dict[str, Any]]:
        """Add what the caller can do: who else can answer, which ids there are."""
        able = [other for other in tool.places if other != place]
        wanted = failure.error.code == "not_found" and tool.side == "source"
        known = await self._ids_of(place) if wanted else []
        return Failure(advised(failure.error, able=able, known=known, asked=_coin_of(request)))

    async def _ids_of(self, source: str) -> list[str]:
        """Return the ids of a source's largest coins, asked for once."""
        tickers = self.catalogue.tools.get("get_available_tickers")
        if source not in self._known and tickers is not None and source in tickers.places:
            answer = await self.bridge.ask(source, GetAvailableTickers(KNOWN_IDS))
            if isinstance(answer, Failure):
                return []
            self._known[source] = answer.data
        return self._known.get(source, [])

    def _too_large(self, data: Any) -> Permanent | None:
        held, most = data.candles if isinstance(data, OHLCVSeries) else data, self.catalogue.options.max_answer
        if not isinstance(held, list) or len(held) <= most:
            return None
        text = f"the answer holds {len(held)} items, and this server sends {most} at most"
        return Permanent("too_large", text, remedy="ask for less: a limit, fewer coins, a shorter time")

    # The pipe

    def _pipe(self) -> list[Tool]:
        reads = {name: tool for name, tool in self.catalogue.tools.items() if pipeable(tool)}
        targets, sources = (
            tuple(self.catalogue.surroundings.targets),
            {one for tool in reads.values() for one in tool.places},
        )
        if not (reads and targets and self.catalogue.options.allow_writes):
            return []
        form = msgspec.defstruct(
            "RunPipeArguments",
            [
                ("operation", Literal[tuple(reads)]),
                ("source", Literal[tuple(sorted(sources))]),
                ("targets", list[Literal[targets]]),  # type: ignore[valid-type]
                ("arguments", dict[str, Any], msgspec.field(default_factory=dict)),
            ],
            rename=camel_case,
            forbid_unknown_fields=True,
        )

        async def run(arguments: Any) -> Result[dict[str, Any]]:
            given: Any = self.catalogue.wire.convert(form, arguments)
            tool = reads[given.operation]
            place, request = self.catalogue.read(tool, {**given.arguments, "source": given.source})
            wanted = list(dict.fromkeys(given.targets))
            if not wanted:
                raise Permanent("bad_argument", "targets: expected at least one")
            answer = await self.pipes.run(tool, place, request, wanted)
            return answer if isinstance(answer, Failure) else Success(to_wire(answer.data))

        said = (
            "Read with an operation from a source and write what it answers to targets, without sending the records"
            " here and back. `arguments` are those of the operation, without `source`. Succeeds when one target at"
            " least has written; a failed reading writes nothing."
        )
        return [Tool("run_pipe", "write", said, schema(form), schema(Wire().form(PipeResult)), run)]

    # Looks

    def _look(self, name: str, right: Right, cls: type[Any], look: Callable[[], Any], when: str) -> Tool:
        async def run(arguments: Any) -> Result[dict[str, Any]]:
            self.catalogue.wire.convert(NoArguments, arguments)
            return Success(to_wire(look()))

        form = Wire().form(cls)
        return Tool(name, right, f"{_first_line(cls)} {when}", schema(NoArguments), schema(form), run)


def _notes(answer: Success[Any]) -> dict[str, list[str]]:
    """Return what is to be said about an answer, as it stands besides its result; nothing where there is nothing."""
    return {"notes": list(answer.notes)} if answer.notes else {}


def _first_line(cls: type[Any]) -> str:
    return " ".join((cls.__doc__ or "").split())


def _coin_of(request: Request[Any]) -> str:
    asked = getattr(request, "coin_id", None) or getattr(request, "coin_ids", None)
    asked = asked or getattr(getattr(request, "query", None), "ticker", "")
    return asked if isinstance(asked, str) else str(asked[0]) if asked else ""
