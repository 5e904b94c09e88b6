"""Every tool the server has: the DSL's operations, the pipe, and looks at the platform.

`run_pipe`: what a source reads is written to targets, by the composition of the DSL and its laws.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, get_args

import anyio
import attrs
import msgspec
from anyio import to_thread
from attrs import define, field, frozen
from mcp.types import Tool as ToolOnWire
from mcp.types import ToolAnnotations

from dataplatform.base.agent import Address, Request
from dataplatform.dsl.operations.operations import result_of
from dataplatform.dsl.operations.pipe import Piped, pipe
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.records.kinds import Kind, kinds
from dataplatform.dsl.records.queries import OHLCVSeries
from dataplatform.dsl.records.schema import described, to_json
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.services.gateway.mcp.answers import BESIDES, in_parts, shaped
from dataplatform.services.gateway.mcp.arguments import Form, look_form, output_of, pipe_form
from dataplatform.services.gateway.mcp.bridge import Bridge
from dataplatform.services.gateway.mcp.catalogue import Catalogue, OperationTool
from dataplatform.services.gateway.mcp.failures import Advice, argument_error
from dataplatform.services.gateway.operations import Right, operations
from dataplatform.services.gateway.status import DeadLetters, Lag, Overview, Places, Status

__all__ = ["PipeResult", "Pipes", "Tool", "Toolbox", "pipeable", "writer_of"]

AT_ONCE = 8


@frozen
class Delivery:
    """What became of the records at one target."""

    target: str
    written: bool
    error: PlatformError | None = None


@frozen
class PipeResult:
    """What went through a pipe: how many records the source read, and what became of them at each target.

    `notes` say what the source could not read.
    """

    source: str
    records: int
    deliveries: tuple[Delivery, ...]
    notes: tuple[str, ...] = ()


def pipeable(tool: OperationTool) -> bool:
    """Tell whether an operation reads records that a target can write."""
    return tool.side == "source" and _kind_of(tool.message) is not None


def writer_of(tool: OperationTool) -> str:
    """Return the writing operation that takes what a reading one reads."""
    kind = _kind_of(tool.message)
    assert kind is not None
    return kind.publish_many or kind.publish_one


@define(eq=False)
class Pipes:
    """Runs pipes, each on a worker thread because it waits."""

    address: Callable[[str], Address]
    timeout: float
    _limiter: anyio.CapacityLimiter = field(factory=lambda: anyio.CapacityLimiter(AT_ONCE), init=False)

    async def run(
        self, tool: OperationTool, source: str, request: Request[Any], targets: Sequence[str]
    ) -> Result[PipeResult]:
        """Read from the source, write to the targets, and answer when all of them have."""
        reader = ReaderProxy(self.address(source))
        writes = [getattr(WriterProxy(self.address(target)), writer_of(tool)) for target in targets]
        run = pipe(getattr(reader, tool.name), *writes).within(self.timeout)
        arguments = {one.name: getattr(request, one.name) for one in attrs.fields(tool.message)}
        answer = await to_thread.run_sync(
            partial(_carried_out, run, arguments), abandon_on_cancel=True, limiter=self._limiter
        )
        return answer if isinstance(answer, Failure) else Success(_told(source, targets, answer))


def _carried_out(run: Callable[..., Result[Piped[Any]]], arguments: dict[str, Any]) -> Result[Piped[Any]]:
    try:
        return run(**arguments)
    except Exception:  # noqa: BLE001  the bug of the agent that was asked, reported by its supervisor
        return Failure(Transient("crashed", "an agent of the pipe crashed"))


def _told(source: str, targets: Sequence[str], answer: Success[Piped[Any]]) -> PipeResult:
    piped = answer.data
    failures = piped.failures
    deliveries = [Delivery(target, target not in failures, failures.get(target)) for target in targets]
    return PipeResult(source, len(piped.records), tuple(deliveries), answer.notes)


def _kind_of(message: type[Any]) -> Kind | None:
    """Return the kind of the records that an operation reads, of those that an operation writes."""
    result = result_of(message)
    record = get_args(result)[0] if get_args(result) else result
    return next((kind for kind in kinds() if kind.type is record and kind.publish_one), None)


T = TypeVar("T")
LOOKS = "To see what can be asked of whom."


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
        writes = self.right == "write"  # what is not said has the protocol's default
        hints = ToolAnnotations(read_only_hint=not writes, destructive_hint=False if writes else None)
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
    advice: Advice = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.advice = Advice(self.bridge, self.catalogue)
        looks = [
            self._look("list_sources", Places, self.overview.places, LOOKS),
            self._look("status", Status, self.overview.status, "To see what is degraded or down, and why."),
            self._look("lag", Lag, self.overview.lag),
            self._look("dead_letters", DeadLetters, self.overview.dead_letters),
        ]
        operations = [self._operation(tool) for tool in self.catalogue.tools.values()]
        found = [*looks, *operations, *self._pipe()]
        self.tools = {tool.name: tool for tool in found}

    # Operations

    def _operation(self, tool: OperationTool) -> Tool:
        async def run(arguments: Any) -> Result[dict[str, Any]]:
            call = _read(tool.name, tool.form, lambda: self.catalogue.read(tool, arguments))
            answer = await self.bridge.ask(call.place, call.request)
            if isinstance(answer, Failure):
                return await self.advice.upon(answer.error, tool, call)
            if call.shape.all and (error := self._too_many(answer.data)):
                return Failure(error)
            members = shaped(tool.answers, answer.data, call.shape, self.catalogue.options.max_answer_size)
            return Success({tool.side: call.place, **members, **_notes([*call.notes, *answer.notes])})

        return Tool(tool.name, tool.operation.right, tool.description, tool.form.schema, tool.output_schema, run)

    def _too_many(self, data: Any) -> Permanent | None:
        held, most = data.candles if isinstance(data, OHLCVSeries) else data, self.catalogue.options.max_answer
        if not isinstance(held, list) or len(held) <= most:
            return None
        text = f"the answer holds {len(held)} items, and this server sends {most} at most"
        return Permanent("too_large", text, remedy="ask for less: a limit, fewer coins, a shorter time")

    # The pipe

    def _pipe(self) -> list[Tool]:
        reads = {name: tool for name, tool in self.catalogue.tools.items() if pipeable(tool)}
        targets = tuple(self.catalogue.platform_view.targets)
        if not (reads and targets and self.catalogue.options.allow_writes):
            return []
        sources = sorted({one for tool in reads.values() for one in tool.places})
        form = pipe_form(tuple(reads), tuple(sources), targets)

        async def run(arguments: Any) -> Result[dict[str, Any]]:
            given, notes = _read("run_pipe", form, lambda: form.given(self.catalogue.wire, arguments))
            tool, of_tool = reads[given.operation], {**given.arguments, "source": given.source}
            call = _read(tool.name, tool.form, lambda: self.catalogue.read(tool, of_tool))
            answer = await self.pipes.run(tool, call.place, call.request, list(dict.fromkeys(given.targets)))
            if isinstance(answer, Failure):
                return await self.advice.upon(answer.error, tool, call)
            told = to_json(answer.data)
            return Success(told | _notes([*notes, *call.notes, *told["notes"]]))

        said = (
            "Write what an operation reads from a source to targets, without sending it here and back."
            " Succeeds when one target at least has written."
        )
        return [Tool("run_pipe", "write", said, form.schema, output_of(PipeResult), run)]

    # Looks

    def _look(self, name: str, cls: type[Any], look: Callable[[], Any], when: str = "") -> Tool:
        form = look_form()

        async def run(arguments: Any) -> Result[dict[str, Any]]:
            given, _ = _read(name, form, lambda: form.given(self.catalogue.wire, arguments))
            room = self.catalogue.options.max_answer_size - BESIDES
            offset = 0 if given.offset is msgspec.UNSET else given.offset
            return Success(in_parts(to_json(look()), offset, room))

        return Tool(
            name, operations()[name].right, f"{described(cls)} {when}".rstrip(), form.schema, output_of(cls), run
        )


def _read(name: str, form: Form, read: Callable[[], T]) -> T:
    """Read arguments; an error says what the tool takes."""
    try:
        return read()
    except PlatformError as error:
        raise argument_error(name, form, error) from error


def _notes(notes: Sequence[str]) -> dict[str, list[str]]:
    """Return what is to be said about an answer, as it stands besides its result; nothing where there is nothing."""
    return {"notes": list(notes)} if notes else {}
