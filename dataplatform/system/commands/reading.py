"""Reading stretches of a topic through its log's agent, the partitions merged by the time of their messages."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from functools import partial

from attrs import evolve, frozen

from dataplatform.base.agent import Address
from dataplatform.base.streaming.log import LogMessage, ReadStretch, Stretch
from dataplatform.result import get_data
from dataplatform.system.commands.patience import Patience

__all__ = ["Read", "read_log", "read_merged"]

TIMEOUT = 15.0  # seconds
MOST = 2_000  # messages in one request


@frozen
class Read:
    """A message and its partition."""

    partition: int
    message: LogMessage


def read_log(
    log: Address, stretches: Sequence[Stretch], patience: Patience, *, most: int = MOST
) -> Iterator[LogMessage]:
    """Yield the messages of the stretches, one by one as they have to be read, by time where there are several."""
    return (read.message for read in read_merged(log, stretches, patience, most=most))


def read_merged(log: Address, stretches: Sequence[Stretch], patience: Patience, *, most: int = MOST) -> Iterator[Read]:
    """Yield the messages of the stretches, those of a partition in their order, partitions by timestamp.

    Raises `PlatformError` where the log cannot be read. Each partition has one piece of `most` messages in memory.
    """
    parts = [_read_one(log, stretch, patience, most) for stretch in stretches]
    return heapq.merge(*parts, key=lambda read: read.message.timestamp)


def _read_one(log: Address, stretch: Stretch, patience: Patience, most: int) -> Iterator[Read]:
    while stretch.first < stretch.end:
        patience.go_on()
        piece = get_data(patience.ask(partial(log.ask, ReadStretch(stretch, most), TIMEOUT)))
        yield from (Read(stretch.partition, message) for message in piece.messages)
        stretch = evolve(stretch, first=piece.next)
