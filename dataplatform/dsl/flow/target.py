"""The receiving side of the flow: an agent that writes batches through its client and says when they are durable."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from functools import partial
from math import inf
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import define, frozen

from dataplatform.base.agent import Address, Agent, Answer, Context, Request, State
from dataplatform.base.position import OffsetRange, Position, ReadPositions
from dataplatform.dsl.flow.batches import (
    Abandoned,
    Batch,
    Deliver,
    Granted,
    Missing,
    Recount,
    Rejected,
    Rejection,
    Written,
)
from dataplatform.dsl.flow.chunks import Chunks
from dataplatform.dsl.records.kinds import Kind
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["FlowTarget", "LeftOut", "reader_of"]

GRACE = 5.0  # seconds after which what was to come counts as lost
REMEDY = (  # to be formatted with the range
    "If rows are missing there: write them again with `replay --topic {one.stream}`,"
    " or stop the group and have it read them again with `positions forget {one.group} --topic {one.stream} --reread`"
)


@frozen
class WriteDue:
    """It is time to try the failed write again."""


@frozen
class LeftOut:
    """So many records of a request were stored before; `ranges` are those of which nothing was new."""

    records: int = 0
    ranges: tuple[OffsetRange, ...] = ()


@define(eq=False)
class PendingBatch:
    """A batch in hand."""

    batch: Batch
    source: str
    chunks: Chunks
    already_stored: int = 0


TargetMessage: TypeAlias = Deliver | WriteDue | ReadPositions | Recount


def reader_of(reader: str, target: str) -> str:
    """Name a reader for one target that keeps its positions: others may do so in the same place."""
    return f"{reader} > {target}"


class FlowTarget(Agent):
    """Grants credit, writes one batch at a time in the order they came, and has the next one encoded by then.

    A write may take as long as its client is at work on it, step by step; 15 s after it was, it has failed.

    A write that fails for the data itself is halved until the record at fault stands alone and is rejected; any other
    failure is an outage and is tried again, for as long as it lasts.
    """

    kind: ClassVar[str] = "target"
    commits: ClassVar[bool] = False  # the positions of a source with the same client, together with its records
    keeps_positions: ClassVar[bool] = False  # in the client, by the name that `reader_of` gives

    def __init__(self, context: Context, client: str, *, credit: int = 4, timeout: float = 15.0) -> None:
        super().__init__(context)
        self.client = self.address(client)
        self._credit = credit
        self._timeout = timeout
        self._queue: deque[PendingBatch] = deque()
        self._writing = False
        self._waiting = False
        self._attempt = 0  # counts the requests, of which only the latest is heard
        self._expected = inf  # when an answer, or the next try, was to come at the latest (monotonic seconds)
        self._said: dict[tuple[str, str, int], OffsetRange] = {}

    # Hooks

    @abstractmethod
    def _request(self, kind: Kind, records: list[Record]) -> Request[Any]:
        """Return the client's request that makes the records durable."""

    def _batch_request(self, batch: Batch) -> Request[Any]:
        """Return the request for a whole batch, with its positions where the technology can store them together."""
        return self._request(batch.kind, batch.records)

    def _portions(self, kind: Kind, records: list[Record]) -> list[list[Record]]:
        """Return the records in as many lists as it takes requests to write them; in one by default."""
        del kind
        return [records]

    def _positions(self, reader: str) -> Answer[tuple[Position, ...]]:
        """Answer how far what a reader reads is stored here; nothing by default, as positions are not kept."""
        del reader
        return Success(())

    def _is_abandoned(self, answer: Any) -> bool:
        """Tell whether the client has written nothing, as what comes has to be read again; never by default."""
        del answer
        return False

    def _left_out(self, answer: Any) -> LeftOut:
        """Return what the client has left out because it is stored already; nothing by default."""
        del answer
        return LeftOut()

    def _rejections(self, answer: Any) -> list[Rejection]:
        """Return what the client's answer says of single records that can never be written; none by default.

        May raise `PlatformError` for an answer that is not what was promised.
        """
        del answer
        return []

    def _is_about_records(self, error: PlatformError) -> bool:
        """Tell whether an error is the data's fault (halving finds the record), not the target's or the set-up's."""
        return isinstance(error, Permanent) and error.code == "rejected"

    # Messages

    def receive(self, message: TargetMessage) -> Answer[Any] | None:
        match message:
            case Deliver(batch, source, incarnation):
                if incarnation == self.context.incarnation:
                    self._take(batch, source)
            case WriteDue():
                self._waiting = False
                self._write_next()
            case ReadPositions(reader):
                return self._positions(reader)
            case Recount():
                self._recount(message)
            case _:
                assert_never(message)
        return None

    def _peer_joined(self, peer: Address, *, downstream: bool) -> None:
        if not downstream:
            peer.tell(Granted(self.name, self.context.incarnation, self._credit))

    def _peer_restarted(self, name: str) -> None:
        """Drop what a source sent before it restarted, as it will send it again or read it anew."""
        writing = self._queue[0] if self._writing else None
        self._queue = deque(pending for pending in self._queue if pending.source != name or pending is writing)
        self._drained_when_idle()

    def _drain(self) -> None:
        self._drained_when_idle()

    def _drained_when_idle(self) -> None:
        if self.state is State.DRAINING and self._is_idle():
            self.drained()

    def _is_idle(self) -> bool:
        """Tell whether nothing is in hand."""
        return not self._queue

    # Writing

    def _take(self, batch: Batch, source: str) -> None:
        portions = self._portions(batch.kind, batch.records)
        whole = batch.records if len(portions) == 1 else None

        def request(records: list[Record]) -> Request[Any]:
            return self._batch_request(batch) if records is whole else self._request(batch.kind, records)

        self._queue.append(PendingBatch(batch, source, Chunks.of(portions, request)))
        self._write_next()

    def _write_next(self) -> None:
        if self._queue and not self._writing and not self._waiting:
            self._writing = True
            self._attempt += 1
            self._expected = self.clock.monotonic() + self._timeout
            pending = self._queue[0]
            then = partial(self._answered, self._attempt, pending)
            self.call(self.client, pending.chunks.next.request, then, timeout=self._timeout, while_busy=True)

    def _recount(self, message: Recount) -> None:
        """Say which batches are not here; where an answer of the client, or the next try, never came, try again."""
        if message.incarnation != self.context.incarnation:
            return
        missing = message.batch_ids - {pending.batch.id for pending in self._queue}
        if missing:
            self.address(message.source).tell(Missing(self.name, self.context.incarnation, missing))
        if self._queue and self.clock.monotonic() > max(self._expected, self.client.busy_until()) + GRACE:
            self.count("lost_attempts")
            self.log.warning("writing again", because=f"{self.client.name} was to be heard of long ago")
            self._writing = self._waiting = False
            self._write_next()

    def _answered(self, attempt: int, pending: PendingBatch, answer: Result[Any]) -> None:
        if attempt != self._attempt:
            return  # its answer was waited for in vain, and the batch is written anew
        self._writing = False
        if not isinstance(answer, Failure) and self._is_abandoned(answer.data):
            self._queue.popleft()
            self.address(pending.source).tell(Abandoned(pending.batch.id, self.name))
            self._drained_when_idle()
        elif isinstance(stored := self._settle_chunk(pending.chunks, answer), Failure):
            self.count("failed_writes")
            self._waiting = True
            self._expected = self.clock.monotonic() + self.retry(stored.error, WriteDue())
            return
        else:
            self._written(
                pending, stored.data, LeftOut() if isinstance(answer, Failure) else self._left_out(answer.data)
            )
        self.recover()
        self._write_next()

    def _settle_chunk(self, chunks: Chunks, answer: Result[Any]) -> Result[int]:
        """Take the client's answer for the chunk that was put; return how many are stored now, or the outage."""
        try:
            stored = answer if isinstance(answer, Failure) else Success(chunks.settle(self._rejections(answer.data)))
        except PlatformError as error:
            stored = Failure(error)
        if not isinstance(stored, Failure):
            return stored
        if not chunks.next.records or not self._is_about_records(stored.error):
            return stored  # positions alone have no record that could be at fault
        chunks.refuse(stored.error)
        return Success(0)

    def _written(self, pending: PendingBatch, stored: int, left_out: LeftOut) -> None:
        pending.already_stored += left_out.records
        self.count("records", stored - left_out.records)
        if left_out.records:
            self.count("already_stored", left_out.records)
        for one in left_out.ranges:
            self._say_left_out(one)
        if not pending.chunks:
            self._queue.popleft()
            self._settle(pending)

    def _settle(self, pending: PendingBatch) -> None:
        self.count("batches")
        batch, rejections = pending.batch, tuple(pending.chunks.rejections)
        answer: Written | Rejected = Written(batch.id, self.name, pending.already_stored)
        if rejections:
            self.count("rejected", len(rejections))
            answer = Rejected(batch.id, self.name, rejections, pending.already_stored)
        self.address(pending.source).tell(answer)  # a source that is away asks again when it is back
        self._drained_when_idle()

    def _say_left_out(self, one: OffsetRange) -> None:
        """Say once of each range, however many batches it comes in, that it is stored already, and what to do."""
        key = one.group, one.stream, one.partition
        said = self._said.get(key)
        if said is not None and said.first < one.first and one.next <= said.next:
            return
        self._said[key] = one
        where = f"{one.stream}/{one.partition} offsets {one.first} to {one.next - 1}"
        remedy = REMEDY.format(one=one)
        self.log.warning(
            "left out what is stored already",
            line=f"{where} are left out: by its positions, {self.name} has stored them. {remedy}",
            remedy=remedy,
            stream=one.stream,
            partition=one.partition,
            first=one.first,
            next=one.next,
        )
