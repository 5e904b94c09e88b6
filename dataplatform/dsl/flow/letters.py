"""Making dead letters: from input that cannot be decoded, and from records that a target refused."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

from dataplatform.dsl.codec import codec
from dataplatform.dsl.kinds import kind_of
from dataplatform.dsl.types import DeadLetter, Record
from dataplatform.errors import PlatformError

__all__ = ["letter_for_input", "letter_for_record"]

LONGEST_RAW = 4 * 1024 * 1024
LONGEST_ERROR = 2_000


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
