"""The receiving side of the flow: an agent that writes batches through its client and says when they are durable."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from functools import partial
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import define, field, frozen

from dataplatform.base.agent import Address, Agent, Answer, Context, Request, State
from dataplatform.base.position import OffsetRange, Position, ReadPositions
from dataplatform.dsl.flow.batch import Abandoned, Batch, Deliver, Granted, Rejected, Rejection, Written
from dataplatform.dsl.kinds import Kind
from dataplatform.dsl.types import Record
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["FlowTarget", "LeftOut"]

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
class Parcel:
    """A batch in hand, written in one piece, or in several where a record of it is refused."""

    batch: Batch
    source: str
    pieces: int = 1
    rejections: list[Rejection] = field(factory=list)
    already_stored: int = 0


@define(eq=False)
class Piece:
    """Some records of a parcel, the first of them at `offset` of the batch, and the request that writes them."""

    parcel: Parcel
    records: list[Record]
    offset: int
    request: Request[Any]


TargetMessage: TypeAlias = Deliver | WriteDue | ReadPositions


class FlowTarget(Agent):
    """Grants credit, writes one batch at a time in the order they came, and has the next one encoded by then.

    A write that fails for the data itself is halved until the record at fault stands alone and is rejected; any other
    failure is an outage and is tried again, for as long as it lasts.
    """

    kind: ClassVar[str] = "target"
    commits: ClassVar[bool] = False  # the positions of a source with the same client, together with its records

    def __init__(self, context: Context, client: str, *, credit: int = 4, timeout: float = 15.0) -> None:
        super().__init__(context)
        self.client = self.address(client)
        self._credit = credit
        self._timeout = timeout
        self._queue: deque[Piece] = deque()
        self._writing = False
        self._waiting = False
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

    def _positions(self, reader: str) -> Result[tuple[Position, ...]]:
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
                    self._take(Parcel(batch, source))
            case WriteDue():
                self._waiting = False
                self._write_next()
            case ReadPositions(reader):
                return self._positions(reader)
            case _:
                assert_never(message)
        return None

    def _peer_joined(self, peer: Address, *, downstream: bool) -> None:
        if not downstream:
            peer.tell(Granted(self.name, self.context.incarnation, self._credit))

    def _peer_restarted(self, name: str) -> None:
        """Drop what a source sent before it restarted, as it will send it again or read it anew."""
        writing = self._queue[0].parcel if self._writing else None
        self._queue = deque(piece for piece in self._queue if piece.parcel.source != name or piece.parcel is writing)
        self._drained_when_empty()

    def _drain(self) -> None:
        self._drained_when_empty()

    def _drained_when_empty(self) -> None:
        if self.state is State.DRAINING and not self._queue:
            self.drained()

    # Writing

    def _take(self, parcel: Parcel) -> None:
        batch, offset = parcel.batch, 0
        portions = self._portions(batch.kind, batch.records)
        parcel.pieces = len(portions)
        for records in portions:
            request = self._batch_request(batch) if len(portions) == 1 else self._request(batch.kind, records)
            self._queue.append(Piece(parcel, records, offset, request))
            offset += len(records)
        self._write_next()

    def _write_next(self) -> None:
        if self._queue and not self._writing and not self._waiting:
            self._writing = True
            piece = self._queue[0]
            self.call(self.client, piece.request, partial(self._answered, piece), timeout=self._timeout)

    def _answered(self, piece: Piece, answer: Result[Any]) -> None:
        self._writing = False
        stored = self._stored(answer)
        if not isinstance(answer, Failure) and self._is_abandoned(answer.data):
            self._queue.popleft()
            self.address(piece.parcel.source).tell(Abandoned(piece.parcel.batch.id, self.name))
        elif not isinstance(stored, Failure):
            left_out = LeftOut() if isinstance(answer, Failure) else self._left_out(answer.data)
            self._written(piece, stored.data, left_out)
        elif self._is_about_records(stored.error):
            self._refused(piece, stored.error)
        else:
            self.count("failed_writes")
            self._waiting = True
            self.retry(stored.error, WriteDue())
            return
        self.recover()
        self._write_next()

    def _stored(self, answer: Result[Any]) -> Result[list[Rejection]]:
        """Read what the client has answered: that all was stored but for some records, or a failure."""
        if isinstance(answer, Failure):
            return answer
        try:
            return Success(self._rejections(answer.data))
        except PlatformError as error:
            return Failure(error)

    def _refused(self, piece: Piece, error: PlatformError) -> None:
        if len(piece.records) == 1:
            self._written(piece, [Rejection(0, error)], LeftOut())
            return
        self._queue.popleft()
        piece.parcel.pieces += 1
        middle = len(piece.records) // 2
        for records, offset in (
            (piece.records[middle:], piece.offset + middle),
            (piece.records[:middle], piece.offset),
        ):
            request = self._request(piece.parcel.batch.kind, records)
            self._queue.appendleft(Piece(piece.parcel, records, offset, request))

    def _written(self, piece: Piece, rejections: list[Rejection], left_out: LeftOut) -> None:
        self._queue.popleft()
        parcel = piece.parcel
        parcel.rejections += [Rejection(piece.offset + rejection.index, rejection.error) for rejection in rejections]
        parcel.already_stored += left_out.records
        parcel.pieces -= 1
        self.count("records", len(piece.records) - len(rejections) - left_out.records)
        if left_out.records:
            self.count("already_stored", left_out.records)
        for one in left_out.ranges:
            self._say_left_out(one)
        if not parcel.pieces:
            self._settle(parcel)

    def _settle(self, parcel: Parcel) -> None:
        self.count("batches")
        answer: Written | Rejected = Written(parcel.batch.id, self.name, parcel.already_stored)
        if parcel.rejections:
            self.count("rejected", len(parcel.rejections))
            answer = Rejected(parcel.batch.id, self.name, tuple(parcel.rejections), parcel.already_stored)
        self.address(parcel.source).tell(answer)  # a source that is away asks again when it is back
        self._drained_when_empty()

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
