"""Where records came from, and how far they are stored: what streams, flows and databases say of it to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from attrs import field, frozen

from dataplatform.base.agent import Request

__all__ = ["ForgetPositions", "Member", "OffsetRange", "Position", "PositionKey", "ReadPositions"]

PositionKey: TypeAlias = tuple[str, str, int, int]


@frozen
class Member:
    """Which member of a group read something, and in which generation of the group, by which a late one is known."""

    group: str
    generation: int
    id: str
    instance: str | None = None


@frozen
class OffsetRange:
    """Offsets [first, next) of one partition; `group` is whose reading it is about."""

    group: str
    stream: str
    partition: int
    first: int
    next: int


@frozen
class Position:
    """Records of one partition of a stream: those at `offsets`, in order, of what was read of it in [first, next).

    `reader` names who reads, as a whole and not one process of it; it is empty where nobody keeps its positions.
    Everything before `settled` is settled for good: it will not be read again. `log` counts the logs that a partition
    has had: a broker that lost its tail, or a topic made anew, begins another, which is as the one before up to the
    offset `parted`. `seal` marks the last message before `next`, by which another log is known for one. `member` is who
    read it, where a group did.
    """

    stream: str
    partition: int
    first: int
    next: int
    reader: str = ""
    offsets: Sequence[int] = field(default=(), repr=False)
    settled: int = 0
    log: int = 0
    parted: int = 0
    seal: str = field(default="", repr=False)
    member: Member | None = field(default=None, repr=False)

    @property
    def key(self) -> PositionKey:
        """The reader, the stream, the partition and its log."""
        return self.reader, self.stream, self.partition, self.log


@frozen
class ReadPositions(Request[tuple[Position, ...]]):
    """Answers up to where the records of each partition are stored, for one reader; nothing where nobody keeps that.

    What is answered are the positions' ends, `next`, in the latest log of each partition.
    """

    reader: str


@frozen
class ForgetPositions(Request[tuple[Position, ...]]):
    """Delete what is stored of one reader's positions in a stream, in one partition or all; answers what that was.

    What is answered are the latest positions' ends. What is delivered of the reader next is stored, wherever it begins.
    """

    reader: str
    stream: str
    partition: int | None = None
