"""Where dead letters lie, in a table or in a topic, and which of them were replayed.

A replayed letter is not removed: a mark with its id is put beside it, after its record is durable. So a command that
is killed at any moment has lost no letter, and the letters stay as evidence for as long as their store keeps them. A
letter that is dropped gets a mark too, with no targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa
from attrs import asdict, field, frozen

from dataplatform.base.agent import Address
from dataplatform.base.database import WriteRows, as_query, table_spec
from dataplatform.base.streaming import Produce, TopicSpec
from dataplatform.base.streaming.log import FindStretches
from dataplatform.dsl.codec import codec
from dataplatform.dsl.kinds import DEAD_LETTERS
from dataplatform.dsl.tables import TABLES
from dataplatform.dsl.types import DeadLetter
from dataplatform.result import get_data
from dataplatform.system.commands.bench import LOG
from dataplatform.system.commands.patience import Patience
from dataplatform.system.commands.reading import read_log
from dataplatform.system.platform import Platform
from dataplatform.system.topology import Topology

__all__ = ["LetterBox", "Mark", "Wanted", "letter_box"]

PAGE = 200  # letters; each may hold megabytes
TIMEOUT = 15.0  # seconds
MARKS_KEPT = 60 * 86400.0  # seconds: longer than a topic keeps letters


@frozen(kw_only=True)
class Mark:
    """The letter `id` is done with: its record is in the `targets`; it was dropped where there are none."""

    id: str
    time: datetime
    targets: str


MARKS = table_spec(Mark, "dead_letters_replayed", ("id",), "time")


@frozen
class Wanted:
    """Which letters a command is about; `replayed` says: also those that were replayed or dropped."""

    origin: str | None = None
    stream: str | None = None
    since: datetime | None = None
    id: str = field(default="", metadata={"help": "the beginning of the letter's id"})
    replayed: bool = False

    def fits(self, letter: DeadLetter) -> bool:
        """Tell whether the letter is one of them, as far as it tells by itself."""
        return (
            self.origin in {None, letter.origin}
            and self.stream in {None, letter.stream}
            and (self.since is None or letter.time >= self.since)
            and letter.id.startswith(self.id)
        )


class LetterBox(Protocol):
    """Holds dead letters. Its methods raise `PlatformError` where the store cannot be reached."""

    def letters(self, wanted: Wanted) -> Iterator[DeadLetter]:
        """Yield letters, the oldest first, perhaps the same one twice."""

    def mark(self, marks: Sequence[Mark]) -> None:
        """Note durably that letters were replayed or dropped."""


def letter_box(platform: Platform, topology: Topology, patience: Patience) -> LetterBox:
    """Return where a topology's dead letters are; its target and, for a topic, the agent `LOG` have to run."""
    name = topology.dead_letters
    assert name is not None, "checked before anything was started"
    spec = topology.targets[name]
    if spec.cls.client_kind == "timescale":
        return LetterTable(platform.address(f"{spec.options.client}.1"), patience)
    topic: TopicSpec = spec.options.topic(DEAD_LETTERS)
    return LetterTopic(topic, platform.address(LOG), platform.address(f"{spec.options.client}.producer"), patience)


@frozen
class LetterTable:
    """The table `dead_letters`, and beside it `dead_letters_replayed`."""

    client: Address
    patience: Patience

    def letters(self, wanted: Wanted) -> Iterator[DeadLetter]:
        """Yield letters, the oldest first, page by page."""
        after: DeadLetter | None = None
        while True:
            self.patience.go_on()
            query = as_query(_page(wanted, after), most=PAGE, needs=(TABLES[DEAD_LETTERS.name], MARKS))
            rows = get_data(self.patience.ask(partial(self.client.ask, query, TIMEOUT)))
            found = [_letter(dict(zip(rows.columns, row, strict=True))) for row in rows.rows]
            yield from filter(wanted.fits, found)
            if len(found) < PAGE:
                return
            after = found[-1]

    def mark(self, marks: Sequence[Mark]) -> None:
        """Insert the marks in one transaction."""
        rows = WriteRows(MARKS, MARKS.copy_text(marks), len(marks))
        get_data(self.patience.ask(lambda: self.client.ask(rows, TIMEOUT)))


@frozen
class LetterTopic:
    """A topic of letters, and beside it one of marks, whose name ends in `-replayed`."""

    topic: TopicSpec
    log: Address
    producer: Address
    patience: Patience

    def letters(self, wanted: Wanted) -> Iterator[DeadLetter]:
        """Yield letters, the oldest first; what else is in the topic is passed over."""
        done = set() if wanted.replayed else self._marked()
        for value in self._values(self.topic.name):
            found, _ = codec(DEAD_LETTERS).decode_all([value])
            yield from (one for one in found if isinstance(one, DeadLetter) and one.id not in done and wanted.fits(one))

    def mark(self, marks: Sequence[Mark]) -> None:
        """Publish the marks, acknowledged by all replicas."""
        keys = [mark.id.encode() for mark in marks]
        request = Produce(self._marks, keys, [msgspec.json.encode(asdict(mark)) for mark in marks])
        get_data(self.patience.ask(lambda: self.producer.ask(request, TIMEOUT)))

    @property
    def _marks(self) -> TopicSpec:
        return TopicSpec(f"{self.topic.name}-replayed", 1, retention=MARKS_KEPT)

    def _marked(self) -> set[str]:
        return {mark.id for value in self._values(self._marks.name) if (mark := _mark(value)) is not None}

    def _values(self, topic: str) -> Iterator[bytes]:
        stretches = get_data(self.patience.ask(lambda: self.log.ask(FindStretches(topic), TIMEOUT)))
        for message in read_log(self.log, stretches, self.patience, most=PAGE):
            if message.value is not None:
                yield message.value


def _page(wanted: Wanted, after: DeadLetter | None) -> sa.Select[Any]:
    """Select letters by time and id, those after a letter if one is given."""
    table, marks = TABLES[DEAD_LETTERS.name].table, MARKS.table
    chosen = sa.select(*table.c).order_by(table.c.time, table.c.id)
    if not wanted.replayed:
        chosen = chosen.where(~sa.exists(sa.select(sa.literal(1)).where(marks.c.id == table.c.id)))
    for column, value in ((table.c.origin, wanted.origin), (table.c.stream, wanted.stream)):
        if value is not None:
            chosen = chosen.where(column == value)
    if wanted.since is not None:
        chosen = chosen.where(table.c.time >= wanted.since)
    if after is not None:
        chosen = chosen.where(sa.tuple_(table.c.time, table.c.id) > sa.tuple_(after.time, after.id))
    return chosen


def _mark(value: bytes) -> Mark | None:
    """Return a mark; None for what somebody else has put there."""
    try:
        return msgspec.json.decode(value, type=Mark)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _letter(row: dict[str, Any]) -> DeadLetter:
    return DeadLetter(**(row | {"raw": bytes(row["raw"])}))
