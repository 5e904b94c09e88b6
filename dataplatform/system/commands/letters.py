"""Where dead letters lie, in a table or in a topic, and which of them were replayed.

A replayed letter is not removed: a mark with its id is put beside it, after its record is durable. So a command that
is killed at any moment has lost no letter, and the letters stay as evidence for as long as their store keeps them. A
letter that is dropped gets a mark too, with no targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa
from attrs import asdict, field, frozen

from dataplatform.base.agent import Address
from dataplatform.base.database import TableSpec, WriteRows, as_query, table_spec
from dataplatform.base.database.technology import Tables
from dataplatform.base.streaming import Produce, TopicSpec
from dataplatform.base.streaming.log import FindStretches
from dataplatform.base.streaming.technology import Topics
from dataplatform.dsl.codec import codec
from dataplatform.dsl.kinds import DEAD_LETTERS
from dataplatform.dsl.registry import ability
from dataplatform.dsl.tables import named_table
from dataplatform.dsl.types import DeadLetter
from dataplatform.errors import Permanent
from dataplatform.result import get_data
from dataplatform.system.commands.bench import LOG, idle_sources, log_source
from dataplatform.system.commands.patience import Patience
from dataplatform.system.commands.reading import read_log
from dataplatform.system.platform import Platform
from dataplatform.system.topology import SourceSpec, Topology

__all__ = ["DeadLetterStore", "Kept", "Mark", "Wanted", "kept_letters"]

PAGE = 200  # letters; each may hold megabytes
TIMEOUT = 15.0  # seconds
MARKS_KEPT = 60 * 86400.0  # seconds: longer than a topic keeps letters


@frozen(kw_only=True)
class Mark:
    """The letter `id` is done with: its record is in the `targets`; if there are no targets, it was dropped."""

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


class DeadLetterStore(Protocol):
    """Holds dead letters. Its methods raise `PlatformError` where the store cannot be reached."""

    def letters(self, wanted: Wanted) -> Iterator[DeadLetter]:
        """Yield letters, the oldest first, perhaps the same one twice."""

    def mark(self, marks: Sequence[Mark]) -> None:
        """Note durably that letters were replayed or dropped."""


@frozen
class Kept:
    """Where the dead letters of a topology are: the sources that reading them needs at work, and how to open them."""

    sources: Mapping[str, SourceSpec]
    open: Callable[[Platform, Patience], DeadLetterStore]


def kept_letters(topology: Topology) -> Kept:
    """Return where a topology's dead letters are; raises `Permanent` where they go and do not come back from."""
    name = topology.dead_letters
    if name is None:
        raise Permanent("no_dead_letters", "the topology has no target for dead letters")
    spec = topology.targets[name]
    client, kind = spec.options.client, topology.clients[spec.options.client].kind
    topic = spec.cls.places(spec.options).get(DEAD_LETTERS.name)
    if topic is not None and ability(kind, Topics) is not None:
        return Kept(log_source(client), partial(_topic, client, topic))
    table = spec.cls.tables(spec.options).get(DEAD_LETTERS.name)
    if table is not None and ability(kind, Tables) is not None:
        return Kept(idle_sources([client]), partial(_table, client, table))
    raise Permanent("unsupported", f"{spec.cls.technology} does not give dead letters back")


def _topic(client: str, topic: str, platform: Platform, patience: Patience) -> LetterTopic:
    return LetterTopic(topic, platform.address(LOG), _agent(platform, client), patience)


def _table(client: str, table: str, platform: Platform, patience: Patience) -> LetterTable:
    return LetterTable(named_table(DEAD_LETTERS, table), _agent(platform, client), patience)


def _agent(platform: Platform, client: str) -> Address:
    return platform.address(platform.connections[client].agents[0])


@frozen
class LetterTable:
    """A table of letters, and beside it `dead_letters_replayed`."""

    spec: TableSpec
    client: Address
    patience: Patience

    def letters(self, wanted: Wanted) -> Iterator[DeadLetter]:
        """Yield letters, the oldest first, page by page."""
        after: DeadLetter | None = None
        while True:
            self.patience.go_on()
            query = as_query(_page(self.spec.table, wanted, after), most=PAGE, needs=(self.spec, MARKS))
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

    topic: str
    log: Address
    producer: Address
    patience: Patience

    def letters(self, wanted: Wanted) -> Iterator[DeadLetter]:
        """Yield letters, the oldest first; what else is in the topic is passed over."""
        done = set() if wanted.replayed else self._marked()
        for value in self._values(self.topic):
            found, _ = codec(DEAD_LETTERS).decode_all([value])
            yield from (one for one in found if isinstance(one, DeadLetter) and one.id not in done and wanted.fits(one))

    def mark(self, marks: Sequence[Mark]) -> None:
        """Publish the marks, acknowledged by all replicas."""
        keys = [mark.id.encode() for mark in marks]
        request = Produce(self._marks, keys, [msgspec.json.encode(asdict(mark)) for mark in marks])
        get_data(self.patience.ask(lambda: self.producer.ask(request, TIMEOUT)))

    @property
    def _marks(self) -> TopicSpec:
        return TopicSpec(f"{self.topic}-replayed", 1, retention=MARKS_KEPT)

    def _marked(self) -> set[str]:
        return {mark.id for value in self._values(self._marks.name) if (mark := _mark(value)) is not None}

    def _values(self, topic: str) -> Iterator[bytes]:
        stretches = get_data(self.patience.ask(lambda: self.log.ask(FindStretches(topic), TIMEOUT)))
        for message in read_log(self.log, stretches, self.patience, most=PAGE):
            if message.value is not None:
                yield message.value


def _page(table: sa.Table, wanted: Wanted, after: DeadLetter | None) -> sa.Select[Any]:
    """Select letters by time and id, those after a letter if one is given."""
    marks = MARKS.table
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
