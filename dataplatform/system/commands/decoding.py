"""Decoding dead letters again: messages of topics by the codec, rows of a poll by the source that polls such rows."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from dataplatform.dsl.codec import codec
from dataplatform.dsl.flow import PolledRow
from dataplatform.dsl.kinds import Kind
from dataplatform.dsl.registry import source_class
from dataplatform.dsl.types import DeadLetter, Record
from dataplatform.errors import Permanent, PlatformError

__all__ = ["Opened", "decoded_again"]


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
