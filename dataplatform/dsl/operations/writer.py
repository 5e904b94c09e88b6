"""BaseWriter: every writing operation, implemented once; a target adds the request that makes records durable."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias

from attrs import define, field, frozen

from dataplatform.base.agent import Answer, Context, Deferred
from dataplatform.dsl.flow.batches import Rejection
from dataplatform.dsl.flow.chunks import Chunks
from dataplatform.dsl.flow.target import FlowTarget, TargetMessage
from dataplatform.dsl.operations.in_flight import InFlight
from dataplatform.dsl.operations.operations import Flush, OfKind, PublishBatch, TargetRequest, of_kind, writing
from dataplatform.dsl.operations.parts import Connection, Part, Target
from dataplatform.dsl.operations.registry import untaken
from dataplatform.dsl.records import checks
from dataplatform.dsl.records.codec import implausible
from dataplatform.dsl.records.kinds import Kind, kinds
from dataplatform.dsl.records.queries import BatchPublishResult, PublishResult, Refused
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["BaseWriter"]

WriterMessage: TypeAlias = TargetRequest[Any] | TargetMessage


@frozen(eq=False)
class PublishingPart:
    """The records of one kind in an operation; `indexes` are theirs among all."""

    indexes: Sequence[int]
    chunks: Chunks

    def refused(self) -> list[Refused]:
        """Return those that can never be written."""
        return [Refused(self.indexes[one.index], _permanent(one)) for one in self.chunks.rejections]


@define(eq=False)
class Publishing:
    """A writing operation under way."""

    parts: deque[PublishingPart]
    count: int
    refused: list[Refused] = field(factory=list)
    answer: Deferred[BatchPublishResult] = field(factory=Deferred)

    def result(self, target: str) -> BatchPublishResult:
        """Return what was published, and what could not be."""
        self.refused.sort(key=attrgetter("index"))
        return BatchPublishResult(target, self.count - len(self.refused), tuple(self.refused))


class BaseWriter(FlowTarget, Target):
    """A target of market data. An operation answers when its records are durable, or why they are not.

    It is under way while the target does other work; beyond 256 of them the next fails as `busy`. A drain waits for
    those under way.
    """

    technology: ClassVar[str] = "this target"

    def __init__(self, context: Context, options: Any, client: str) -> None:
        super().__init__(context, client, credit=options.credit)
        self.options = options
        self._operations = InFlight(self)

    @classmethod
    def supported(cls) -> tuple[str, ...]:
        """Return the operations about the kinds of record that such a target takes."""
        return tuple(name for name, about in writing().items() if not set(about).isdisjoint(cls.taken()))

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection) -> Part:
        """Return the agents of one target of this technology."""
        client = connection.agents[0]
        return Part((cls.child(name, options, client),), client)

    @classmethod
    def kinds(cls, options: Any) -> tuple[Kind, ...]:
        """Return the kinds of record a target with these options takes; all that the technology does by default."""
        del options
        return cls.taken()

    @classmethod
    def places(cls, options: Any) -> Mapping[str, str]:
        """Return where the client has the records of each kind afterwards, for a stream; else nothing."""
        del options
        return {}

    @classmethod
    def tables(cls, options: Any) -> Mapping[str, str]:
        """Return the table in which the client has the records of each kind afterwards; nothing without tables."""
        del options
        return {}

    # Operations

    def publish_batch(self, records: Sequence[Record]) -> Answer[BatchPublishResult]:
        """Write records of several kinds, kind by kind; those that can never be written harm no other.

        Answers and fails as the operations of one kind, such as `publish_prices`, do.
        """
        if error := checks.records(records):
            return Failure(error)
        of_kinds = {kind: [at for at, record in enumerate(records) if type(record) is kind.type] for kind in kinds()}
        return self._publish({kind: indexes for kind, indexes in of_kinds.items() if indexes}, records)

    def flush(self) -> Result[None]:
        """Succeed when nothing accepted is still on its way; `busy` while batches or operations are being written."""
        if self._is_idle():
            return Success(None)
        what = f"{len(self._queue)} batches and {len(self._operations)} operations"
        return Failure(Transient("busy", f"{self.name} is still writing {what}", retry_after=0.1))

    # Messages

    def receive(self, message: WriterMessage) -> Answer[Any] | None:
        match message:
            case PublishBatch(records):
                return self.publish_batch(records)
            case Flush():
                return self.flush()
            case TargetRequest():
                operation = of_kind(message)
                if operation is None:
                    return self._not_understood(message)
                return self._publish_of_kind(operation, operation.value(message))
            case _:
                return super().receive(message)

    # How it works

    def _publish_of_kind(self, operation: OfKind, value: Any) -> Answer[Any]:
        """Write what an operation of one kind was given: `publish_prices`, `publish_analytics` and so on."""
        if operation.several:
            return self._publish_all(operation.kind, value)
        return self._publish_one(operation.kind, value)

    def _publish_one(self, kind: Kind, record: Record) -> Answer[PublishResult]:
        answer = self._publish_all(kind, [record])
        return answer.map(partial(self._only, kind)) if isinstance(answer, Deferred) else self._only(kind, answer)

    def _only(self, kind: Kind, answer: Result[BatchPublishResult]) -> Result[PublishResult]:
        if isinstance(answer, Failure):
            return answer
        if answer.data.refused:
            return Failure(answer.data.refused[0].error)
        return Success(PublishResult(self.name, kind.name))

    def _publish_all(self, kind: Kind, records: Sequence[Record]) -> Answer[BatchPublishResult]:
        if error := checks.records_of(kind.type, records):
            return Failure(error)
        return self._publish({kind: range(len(records))}, records)

    def _publish(self, indexes: Mapping[Kind, Sequence[int]], records: Sequence[Record]) -> Answer[BatchPublishResult]:
        """Write records, kind by kind; `indexes` says which are of which kind."""
        for kind in indexes:
            if kind not in self.kinds(self.options):
                return Failure(untaken(kind, self.technology))
        if refusal := self._operations.refusal():
            return refusal
        plausible, refused = self._plausible(indexes, records)
        publishing = Publishing(deque(self._parts(plausible, records)), len(records), refused)
        self._operations.add(publishing.answer)
        publishing.answer.then(lambda _: self._drained_when_idle())
        self._put_next(publishing)
        return publishing.answer

    def _plausible(
        self, indexes: Mapping[Kind, Sequence[int]], records: Sequence[Record]
    ) -> tuple[dict[Kind, Sequence[int]], list[Refused]]:
        """Return the indexes of records that can be of the time that they say, and refuse the others."""
        left, refused, now = dict(indexes), list[Refused](), self.clock.now()
        for kind, ours in indexes.items():
            if errors := implausible(kind, [records[index] for index in ours], now):
                refused += [Refused(ours[at], error) for at, error in errors.items()]
                left[kind] = [index for at, index in enumerate(ours) if at not in errors]
        return left, refused

    def _parts(self, indexes: Mapping[Kind, Sequence[int]], records: Sequence[Record]) -> Iterator[PublishingPart]:
        for kind, ours in indexes.items():
            if ours:
                portions = self._portions(kind, [records[index] for index in ours])
                yield PublishingPart(ours, Chunks.of(portions, partial(self._request, kind)))

    def _put_next(self, publishing: Publishing) -> None:
        if not publishing.parts:
            publishing.answer.settle(Success(publishing.result(self.name)))
            return
        request = publishing.parts[0].chunks.next.request
        then = partial(self._put_answered, publishing)
        self.call(self.client, request, then, timeout=self._timeout, while_busy=True)

    def _put_answered(self, publishing: Publishing, answer: Result[Any]) -> None:
        part = publishing.parts[0]
        stored = self._settle_chunk(part.chunks, answer)
        if isinstance(stored, Failure):
            publishing.answer.settle(stored)
            return
        if not part.chunks:
            publishing.refused += part.refused()
            publishing.parts.popleft()
        self._put_next(publishing)

    def _is_idle(self) -> bool:
        return super()._is_idle() and not self._operations


def _permanent(rejection: Rejection) -> Permanent:
    error = rejection.error
    return error if isinstance(error, Permanent) else Permanent(error.code, error.message)
