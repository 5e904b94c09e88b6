"""Where dead letters lie, in a table or in a topic, and which of them were replayed.

A replayed letter is not removed: a mark with its id is put beside it, after its record is durable. So a command that
is killed at any moment has lost no letter, and the letters stay as evidence for as long as their store keeps them. A
letter that is dropped gets a mark too, with no targets.

What a dead letter holds, and for whom it was: its kind of record, and the targets that lack it. Dropping dead letters:
marked as done with, so that nobody is shown or replays them again. Decoding dead letters again: messages of topics by
the codec, rows of a poll by the source that polls such rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa
from attrs import asdict, define, field, frozen

from dataplatform.base.agent import Address, Clock
from dataplatform.base.database import TableSpec, WriteRows, as_query, table_spec
from dataplatform.base.database.technology import Tables
from dataplatform.base.streaming import Produce, TopicSpec
from dataplatform.base.streaming.log import FindStretches
from dataplatform.base.streaming.technology import Topics
from dataplatform.dsl.flow import PolledRow
from dataplatform.dsl.operations.registry import ability, source_class
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import DEAD_LETTERS, Kind, kind_named, kinds
from dataplatform.dsl.records.types import DeadLetter, Record
from dataplatform.dsl.storage.tables import named_table
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.system.cli.data.partial import LOG, idle_sources, log_source
from dataplatform.system.cli.data.reading import read_log
from dataplatform.system.cli.options import Patience
from dataplatform.system.config.topology import SourceSpec, Topology
from dataplatform.system.platform.platform import Platform

__all__ = [
    "Addressee",
    "DeadLetterStore",
    "Dropping",
    "Kept",
    "Mark",
    "Opened",
    "Wanted",
    "addressee",
    "decoded_again",
    "kept_letters",
    "kinds_of_topics",
]

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
        rows = WriteRows(MARKS, MARKS.copy_lines(marks))
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


@frozen
class Addressee:
    """The kind of record in a letter, and the names of the targets it is to be written to."""

    kind: Kind
    targets: tuple[str, ...]


def addressee(letter: DeadLetter, topology: Topology, to: str | None = None) -> Result[Addressee]:
    """Answer where a letter belongs: to `to` if that is given, else to the target that refused it.

    Input that could not be decoded was never offered to a target: it belongs to all targets of its source.
    """
    kind = kind_named(letter.record_kind or letter.stream) or kinds_of_topics(topology).get(letter.stream)
    if kind is None:
        what = f"no topic called {letter.stream!r} is known" if letter.stream else "it was polled by an older version"
        return Failure(Permanent("unknown_kind", f"{what}, so what kind of record it should be is not either"))
    targets = (to,) if to else (letter.target,) if letter.target else topology.targets_of(letter.origin)
    strangers = [name for name in targets if name not in topology.targets]
    if strangers or not targets:
        what = f"no target is called {strangers[0]!r}" if strangers else f"no route begins at {letter.origin!r}"
        return Failure(Permanent("unknown_target", what, remedy="name a target with --to"))
    return Success(Addressee(kind, targets))


def kinds_of_topics(topology: Topology) -> Mapping[str, Kind]:
    """Return the kind of record in each topic that the topology reads or writes, or that is a kind's own."""
    found = {kind.topic: kind for kind in kinds()}
    places = [target.cls.places(target.options) for target in topology.targets.values()]
    places += [source.cls.places(source.options) for source in topology.sources.values()]
    for topics in places:
        found |= {topic: kind for name, topic in topics.items() if (kind := kind_named(name)) is not None}
    return found


AT_ONCE = 500  # marks in one request


@define
class Dropping:
    """Chooses letters, then marks them; with `ids` those of them only that begin like one of these."""

    box: DeadLetterStore
    clock: Clock
    ids: tuple[str, ...] = ()
    _chosen: set[str] = field(factory=set)

    def choose(self, letters: Iterable[DeadLetter]) -> None:
        """Choose among letters; of each only the id is kept, as it may hold megabytes."""
        beginnings = self.ids or ("",)
        self._chosen = {letter.id for letter in letters if letter.id.startswith(beginnings)}

    def unclear(self) -> Iterator[tuple[str, int]]:
        """Yield the beginnings of ids that are not those of exactly one letter, and of how many they are."""
        for beginning in self.ids:
            count = sum(one.startswith(beginning) for one in self._chosen)
            if count != 1:
                yield beginning, count

    def drop(self) -> int:
        """Mark the chosen letters durably, and return how many they are; raises `PlatformError` in an outage."""
        now, chosen = self.clock.now(), iter(sorted(self._chosen))
        while ids := list(islice(chosen, AT_ONCE)):
            self.box.mark([Mark(id=one, time=now, targets="") for one in ids])
        return len(self._chosen)


@frozen
class Opened:
    """A letter and the record that it turned out to hold."""

    letter: DeadLetter
    record: Record


def decoded_again(kind: Kind, letters: Sequence[DeadLetter]) -> tuple[list[Opened], list[PlatformError]]:
    """Return the records of the kind that letters hold, and why the others hold none."""
    messages = [letter for letter in letters if not letter.source_kind]
    records, failures = codec(kind).decode_all([letter.raw for letter in messages])
    broken = {failure.index for failure in failures}
    whole = [letter for index, letter in enumerate(messages) if index not in broken]
    opened = [Opened(letter, record) for letter, record in zip(whole, records, strict=True)]
    errors: list[PlatformError] = [failure.error for failure in failures]
    for letter in letters:
        if letter.source_kind:
            try:
                opened.append(Opened(letter, _row_of(kind, letter)))
            except PlatformError as error:
                errors.append(error)
    return opened, errors


def _row_of(kind: Kind, letter: DeadLetter) -> Record:
    source = source_class(letter.source_kind)
    if source is None:
        what = f"no source of the kind {letter.source_kind!r} can be used, which polled it"
        raise Permanent("unknown_source", what, remedy="see the command `plugins`")
    record = source.decode_row(PolledRow.of(letter))
    if type(record) is not kind.type:
        what = f"a row of {letter.stream} is a {type(record).__name__}, not of the kind {kind.name!r}"
        raise Permanent("invalid", what)
    return record
