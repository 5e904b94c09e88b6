"""Records written in chunks: in as many requests as a technology takes, those at fault found by halving."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self

from attrs import define, field, frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.flow.batches import Rejection
from dataplatform.dsl.records.types import Record
from dataplatform.errors import PlatformError

__all__ = ["Chunks", "WriteChunk"]

RequestOf = Callable[[list[Record]], Request[Any]]


@frozen(eq=False)
class WriteChunk:
    """Some of the records, the first of them at `offset` among all, and the request that writes them."""

    records: list[Record]
    offset: int
    request: Request[Any]


@define(eq=False)
class Chunks:
    """What is left to write, in order, and the records that can never be written; true while there is a chunk left.

    Requests are made when the chunks are, so that what comes next is encoded while the technology is at work.
    """

    _request: RequestOf
    _left: deque[WriteChunk] = field(factory=deque)
    rejections: list[Rejection] = field(factory=list)

    @classmethod
    def of(cls, portions: Sequence[list[Record]], request: RequestOf) -> Self:
        """Return the chunks of records that are to be written in these portions."""
        chunks, offset = cls(request), 0
        for records in portions:
            chunks._left.append(WriteChunk(records, offset, request(records)))
            offset += len(records)
        return chunks

    def __bool__(self) -> bool:
        return bool(self._left)

    @property
    def next(self) -> WriteChunk:
        """The chunk to write now."""
        return self._left[0]

    def settle(self, rejections: Sequence[Rejection]) -> int:
        """Take note that the next chunk is stored but for these records of it; return how many are."""
        chunk = self._left.popleft()
        self.rejections += [Rejection(chunk.offset + one.index, one.error) for one in rejections]
        return len(chunk.records) - len(rejections)

    def refuse(self, error: PlatformError) -> None:
        """Have the next chunk, refused as a whole, written in halves; a record alone is the one at fault."""
        if len(self.next.records) == 1:
            self.settle([Rejection(0, error)])
            return
        chunk = self._left.popleft()
        middle = len(chunk.records) // 2
        first, second = chunk.records[:middle], chunk.records[middle:]
        self._left.appendleft(WriteChunk(second, chunk.offset + middle, self._request(second)))
        self._left.appendleft(WriteChunk(first, chunk.offset, self._request(first)))
