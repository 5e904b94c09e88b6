"""What producers and consumers are asked, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import field, frozen

from dataplatform.base.agent import Request
from dataplatform.base.position import Position
from dataplatform.base.streaming.settings import TopicSpec
from dataplatform.errors import PlatformError

if TYPE_CHECKING:  # whoever only asks needs no kafka-python
    from dataplatform.base.streaming.fetcher import UnreadableBatch

__all__ = [
    "CommitOffsets",
    "CountRecords",
    "Fetch",
    "GetAssignment",
    "Produce",
    "Produced",
    "SkipBatch",
    "Slice",
    "TopicMessage",
]


@frozen
class Produced:
    """All replicas acknowledged all messages but the `refused` ones (index and why), which they never will.

    Of messages with positions none is published when one is refused, nor when their reader is `fenced`: its group has
    given the partitions away, and whoever has them now reads the same.
    """

    topic: str
    refused: tuple[tuple[int, PlatformError], ...] = ()
    fenced: bool = False


@frozen(eq=False)
class Produce(Request[Produced]):
    """Publish messages, given as keys and values, to a topic, in order per key.

    The object stands for one publication: when it fails, or its answer is late, it may be put again, and what was
    acknowledged the first time is not sent twice. `positions`, of a topic of the same cluster, are committed for their
    reader's group in one transaction with the messages.
    """

    topic: TopicSpec
    keys: list[bytes] = field(repr=False)
    values: list[bytes] = field(repr=lambda values: f"{len(values)} messages")
    positions: tuple[Position, ...] = ()


@frozen
class CountRecords(Request[dict[str, int]]):
    """Answers how many records each of the topics holds."""

    topics: tuple[str, ...]


@frozen
class Slice:
    """Messages of one partition, in order, as columns: those at the position's offsets.

    The position is to be committed when they are dealt with. Without messages there is an `unreadable` batch, which
    somebody has given up.
    """

    position: Position
    keys: list[bytes | None] = field(repr=False)
    values: list[bytes | None] = field(repr=lambda values: f"{len(values)} messages")
    unreadable: UnreadableBatch | None = None

    @property
    def topic(self) -> str:
        return self.position.stream

    @property
    def partition(self) -> int:
        return self.position.partition

    @property
    def offsets(self) -> Sequence[int]:
        return self.position.offsets


@frozen
class Fetch(Request[list[Slice]]):
    """Answers what has come, an empty list when nothing has.

    `reader` names one life of the asker: when it changes, reading goes back to the committed offsets.
    """

    reader: str
    most: int = 5_000


@frozen
class GetAssignment(Request[tuple[tuple[str, int], ...]]):
    """Answers which partitions the group has given to this member, each as topic and number, in order."""


@frozen
class SkipBatch(Request[str]):
    """Give up the batch that cannot be read and holds a partition up; answers what it is.

    Once it is a dead letter, reading goes on behind it. It is tried once more before that. Fails with `not_found` for a
    partition that no batch holds up.
    """

    topic: str
    partition: int


@frozen
class CommitOffsets(Request[None]):
    """Commit the offsets up to which the positions reach.

    Left out, without an error, are partitions that another member has by now, and what lies beyond what was handed out
    of the log that is there now.
    """

    positions: tuple[Position, ...]


@frozen
class TopicMessage:
    """One message as a person reads it: key and value as text, bytes that are not text replaced.

    `time` is in UTC; a timestamp that is no time is shown as the number that it is.
    """

    topic: str
    partition: int
    offset: int
    time: datetime | int
    key: str | None
    value: str | None = field(repr=lambda value: f"{len(value or '')} characters")
