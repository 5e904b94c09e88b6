"""Records whose time cannot be right: the one rule for what is read from topics, and for what is published.

The latest record wins. One that says it is of the year 9999 would hide all that come after it, and one of 1970 is of no
coin. So neither gets in: in a topic it is a dead letter, and a target refuses it. Rows that stand in tables already are
left out of what is asked for as the latest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

from dataplatform.dsl.codec import Undecodable, codec
from dataplatform.dsl.kinds import DEAD_LETTERS, Kind
from dataplatform.dsl.types import Record
from dataplatform.dsl.validators import EARLIEST, latest_market_time, market_time
from dataplatform.errors import Permanent

__all__ = ["decode_plausible", "implausible"]

REMEDY = "check the clock, and the unit of time, of whoever made the record"


def implausible(kind: Kind, records: Sequence[Record], now: datetime) -> dict[int, Permanent]:
    """Return why records cannot be of the time that they say, by their index; empty for valid records."""
    if kind is DEAD_LETTERS or not records:
        return {}
    times = list(map(attrgetter(kind.time), records))
    if min(times) >= EARLIEST and max(times) <= latest_market_time(now):
        return {}
    errors = {}
    for index, time in enumerate(times):
        try:
            market_time(kind.time, time, now)
        except ValueError as error:
            errors[index] = Permanent("invalid", str(error), remedy=REMEDY)
    return errors


def decode_plausible(kind: Kind, raws: Sequence[bytes | None], now: datetime) -> tuple[list[Record], list[Undecodable]]:
    """Decode messages as the kind's codec does; a record of an impossible time is no more a record than the others."""
    records, failures = codec(kind).decode_all(raws)
    errors = implausible(kind, records, now)
    if not errors:
        return records, failures
    broken = {failure.index for failure in failures}
    places = [index for index in range(len(raws)) if index not in broken]
    failures = [*failures, *(Undecodable(places[at], error) for at, error in errors.items())]
    failures.sort(key=attrgetter("index"))
    return [record for at, record in enumerate(records) if at not in errors], failures
