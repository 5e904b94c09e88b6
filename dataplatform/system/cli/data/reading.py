"""Stretches of topics read once more, merged by time, at a pace, into targets: bounded, and resumable in a group.

Reading stretches of a topic through its log's agent, the partitions merged by the time of their messages. Reading a
stretch of a topic once more, at a pace, into targets: bounded, and resumable where a group notes it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from attrs import define, evolve, field, frozen

from dataplatform.base.agent import Address, Clock
from dataplatform.base.streaming.log import LogMessage, NoteRead, ReadStretch, Stretch
from dataplatform.base.streaming.starts import moment_of
from dataplatform.dsl.flow import letter_for_input, letter_for_record
from dataplatform.dsl.operations.operations import PublishBatch
from dataplatform.dsl.operations.proxy import WriterProxy
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import Kind
from dataplatform.dsl.records.rules import EARLIEST, latest_market_time
from dataplatform.dsl.records.types import DeadLetter, Record
from dataplatform.errors import Permanent
from dataplatform.result import get_data
from dataplatform.system.cli.options import Patience
from dataplatform.system.console.progress import Progress

__all__ = ["Pace", "Read", "Reread", "Rereading", "Topic", "read_log", "read_merged"]

READ_TIMEOUT = 15.0  # seconds
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
        piece = get_data(patience.ask(partial(log.ask, ReadStretch(stretch, most), READ_TIMEOUT)))
        yield from (Read(stretch.partition, message) for message in piece.messages)
        stretch = evolve(stretch, first=piece.next)


AT_ONCE = 2_000  # messages in one batch
TICK = 0.05  # seconds; what is due so soon is due
WRITE_TIMEOUT = 30.0  # seconds


@frozen
class Topic:
    """A topic, the kind of record in it, and the name of the source whose input it is."""

    name: str
    kind: Kind
    origin: str


@define
class Pace:
    """`speed` times as fast as the messages were made, by their own times; without one, as fast as can be."""

    speed: float | None
    clock: Clock
    _first: datetime | None = None
    _begun: float = 0.0

    def wait(self, timestamp: int) -> float:
        """Return in how many seconds a message is due; at once where its timestamp is not of when it was made."""
        moment = moment_of(timestamp)
        if self.speed is None or moment is None:
            return 0.0
        if not EARLIEST <= moment <= latest_market_time(self.clock.now()):
            return 0.0
        if self._first is None:
            self._first, self._begun = moment, self.clock.monotonic()
        due = self._begun + (moment - self._first).total_seconds() / self.speed
        return max(0.0, due - self.clock.monotonic())


@define
class Reread:
    """What was done: messages read, records durable by target, dead letters made."""

    read: int = 0
    written: Counter[str] = field(factory=Counter)
    letters: int = 0


@define
class Rereading:
    """Writes batches to every target, then notes how far it has come where it `notes`; so nothing is left out.

    Killed in between, a batch is written again: a table has it once by its key, a topic twice. What is no record, and
    what a target refuses, goes to the `letters`.
    """

    topic: Topic
    log: Address
    writers: Mapping[str, WriterProxy]
    letters: WriterProxy
    patience: Patience
    clock: Clock
    pace: Pace
    progress: Progress
    notes: bool = False
    done: Reread = field(factory=Reread)

    def run(self, stretches: Sequence[Stretch]) -> None:
        """Replay the stretches; raises `PlatformError` in an outage, and after a signal."""
        batch: list[Read] = []
        for read in read_merged(self.log, stretches, self.patience, most=AT_ONCE):
            if batch and (len(batch) == AT_ONCE or self.pace.wait(read.message.timestamp) > TICK):
                self._write(batch)
                batch = []
            self._wait_for(read)
            batch.append(read)
        if batch:
            self._write(batch)
        self._note({stretch.partition: stretch.end for stretch in stretches})

    def _wait_for(self, read: Read) -> None:
        if (wait := self.pace.wait(read.message.timestamp)) > TICK:
            self.patience.interrupted.wait(wait)
        self.patience.go_on()

    def _write(self, batch: Sequence[Read]) -> None:
        records, failures = codec(self.topic.kind).decode_all([read.message.value for read in batch])
        letters = [self._undecodable(batch[failure.index], failure.error) for failure in failures]
        for name in self.writers:
            letters += self._publish(name, records)
        self._send_letters(letters)
        self.done.read += len(batch)
        self.progress.advance(len(batch))
        self._note({read.partition: read.message.offset + 1 for read in batch})

    def _publish(self, name: str, records: list[Record]) -> list[DeadLetter]:
        """Write records to a target, and return the letters of those that it refuses."""
        if not records:
            return []
        answer = get_data(self.patience.ask(partial(self.writers[name].ask, PublishBatch(records), WRITE_TIMEOUT)))
        self.done.written[name] += answer.published
        now, origin = self.clock.now(), self.topic.origin
        return [
            letter_for_record(records[one.index], one.error, origin=origin, target=name, at=now)
            for one in answer.refused
        ]

    def _undecodable(self, read: Read, error: Permanent) -> DeadLetter:
        message = read.message
        place = (read.partition, message.offset)
        topic, now = self.topic, self.clock.now()
        return letter_for_input(
            message.value or b"", error, origin=topic.origin, at=now, stream=topic.name, place=place
        )

    def _send_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Put letters where the topology has them; raises `Permanent` where even that refuses one."""
        if letters:
            answer = get_data(self.patience.ask(partial(self.letters.ask, PublishBatch(letters), WRITE_TIMEOUT)))
            if answer.refused:
                raise answer.refused[0].error
            self.done.letters += len(letters)

    def _note(self, offsets: Mapping[int, int]) -> None:
        if self.notes and offsets:
            note = NoteRead(self.topic.name, tuple(offsets.items()))
            get_data(self.patience.ask(partial(self.log.ask, note, WRITE_TIMEOUT)))


def length(stretches: Iterable[Stretch]) -> int:
    """Return how many offsets the stretches have."""
    return sum(max(0, stretch.end - stretch.first) for stretch in stretches)
