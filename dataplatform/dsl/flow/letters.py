"""Making dead letters: of input that cannot be decoded, of polled rows, and of records that a target refused."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Self

from attrs import evolve, field, frozen

from dataplatform.dsl.codec import codec
from dataplatform.dsl.kinds import Kind, kind_of
from dataplatform.dsl.types import DeadLetter, Record
from dataplatform.errors import PlatformError

__all__ = ["PolledRow", "letter_for_input", "letter_for_record", "letter_for_row"]

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
