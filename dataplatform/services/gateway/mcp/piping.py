"""`run_pipe`: what a source reads is written to targets, by the composition of the DSL and its laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

import anyio
import attrs
from anyio import to_thread
from attrs import define, field, frozen

from dataplatform.base.agent import Address, Request
from dataplatform.dsl.kinds import Kind, kinds
from dataplatform.dsl.laws import Piped, pipe
from dataplatform.dsl.operations import result_of
from dataplatform.dsl.proxy import ReaderProxy, WriterProxy
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.services.gateway.mcp.catalogue import OperationTool

__all__ = ["PipeResult", "Pipes", "pipeable", "writer_of"]

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
