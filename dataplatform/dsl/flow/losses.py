"""Telling what was lost: the incidents of records that nobody will deliver any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from dataplatform.base.agent import Incident
from dataplatform.dsl.codec import codec
from dataplatform.dsl.flow.batch import Batch
from dataplatform.dsl.kinds import DEAD_LETTERS
from dataplatform.dsl.types import DeadLetter
from dataplatform.errors import PlatformError

__all__ = ["as_text", "letter_lost", "undelivered"]

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
