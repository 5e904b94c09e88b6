"""Dead letters, of input that cannot be decoded and of records that cannot be written; what was lost.

Making dead letters: of input that cannot be decoded, of polled rows, and of records that a target refused. Telling what
was lost: the incidents of records that nobody will deliver any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Self

from attrs import evolve, field, frozen

from dataplatform.base.agent import Incident
from dataplatform.dsl.flow.batches import Batch
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import DEAD_LETTERS, Kind, kind_of
from dataplatform.dsl.records.types import DeadLetter, Record
from dataplatform.errors import PlatformError

__all__ = [
    "PolledRow",
    "as_text",
    "letter_for_input",
    "letter_for_record",
    "letter_for_row",
    "letter_lost",
    "undelivered",
]

LONGEST_RAW = 4 * 1024 * 1024
LONGEST_ERROR = 2_000


@frozen(kw_only=True)
class PolledRow:
    """A row of an answer: its bytes, the kind of source that polled which endpoint, who answered, and when."""

    raw: bytes = field(repr=False)
    source_kind: str
    endpoint: str
    source: str
    received_at: datetime

    @classmethod
    def of(cls, letter: DeadLetter) -> Self:
        """Return the row that `letter_for_row` has kept."""
        return cls(
            raw=letter.raw,
            source_kind=letter.source_kind,
            endpoint=letter.stream,
            source=letter.source,
            received_at=letter.time,
        )


def letter_for_row(row: PolledRow, error: PlatformError, *, origin: str, kind: Kind) -> DeadLetter:
    """Return the dead letter of a polled row that is no record of the kind, with what it takes to decode it again."""
    letter = letter_for_input(row.raw, error, origin=origin, at=row.received_at, stream=row.endpoint)
    return evolve(letter, record_kind=kind.name, source_kind=row.source_kind, source=row.source)


def letter_for_input(
    raw: bytes,
    error: PlatformError,
    *,
    origin: str,
    at: datetime,
    stream: str = "",
    place: tuple[int, int] | None = None,
) -> DeadLetter:
    """Return the dead letter of input that is no record; `place` is its partition and offset in a topic."""
    return _letter(raw, error, origin=origin, target="", at=at, stream=stream, place=place)


def letter_for_record(record: Record, error: PlatformError, *, origin: str, target: str, at: datetime) -> DeadLetter:
    """Return the dead letter of a record that `target` can never write, with the record as it stands on the wire."""
    kind = kind_of(record)
    raw = codec(kind).encode([record])[0]
    return _letter(raw, error, origin=origin, target=target, at=at, stream=kind.name, place=None)


def _letter(
    raw: bytes,
    error: PlatformError,
    *,
    origin: str,
    target: str,
    at: datetime,
    stream: str,
    place: tuple[int, int] | None,
) -> DeadLetter:
    what = "\0".join([origin, target, stream, repr(place)]).encode()
    cut = f" (cut from {len(raw)} bytes)" if len(raw) > LONGEST_RAW else ""
    return DeadLetter(
        id=blake2b(what + b"\0" + raw, digest_size=16).hexdigest(),
        time=at,
        origin=origin,
        stream=stream,
        partition=place[0] if place else None,
        offset=place[1] if place else None,
        target=target,
        error=_clean(str(error))[:LONGEST_ERROR] + cut,
        raw=raw[:LONGEST_RAW],
    )


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text)


LONGEST_LOGGED = 100_000


def undelivered(source: str, batches: Sequence[tuple[str, Batch]], at: datetime) -> Incident:
    """Return the incident of a source that stops for good while targets have not settled some of its batches.

    `batches` are the targets and the batches that each of them has not settled. A record that several targets wait
    for is counted once in the incident, and for each of them in its message.
    """
    records = {batch.id: len(batch.records) for _, batch in batches}
    by_target: Counter[str] = Counter()
    for target, batch in batches:
        by_target[target] += len(batch.records)
    targets = ", ".join(f"{count} for {target}" for target, count in by_target.items())
    message = f"{source} stopped with records that were read and not delivered: {targets}; it cannot read them again"
    return Incident(at, source, "undelivered", source, 0, 0, sum(records.values()), message)


def letter_lost(letter: DeadLetter, error: PlatformError, *, source: str, target: str, at: datetime) -> Incident:
    """Return the incident of a dead letter that its own target refused; its place is that of the input, if known."""
    message = f"{target} refused a dead letter ({error}); it is in the log alone"
    first = letter.offset or 0
    return Incident(
        at, source, "dead_letter_lost", letter.stream or source, letter.partition or 0, first, first + 1, message
    )


def as_text(letter: DeadLetter) -> str:
    """Return a dead letter as JSON for the log, cut at 100,000 characters."""
    return codec(DEAD_LETTERS).encode([letter])[0].decode()[:LONGEST_LOGGED]
