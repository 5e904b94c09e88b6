"""Where reading begins in a log that nobody has read yet; and Kafka's timestamps as times.

Kafka's timestamps, which producers set as they like, as times; and times as what a broker is asked for. Starts: where
reading begins in a log that nobody has read yet, as people write it and as an offset.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, assert_never

from attrs import frozen

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

__all__ = ["EARLIEST", "LATEST", "NO_TIMESTAMP", "Start", "as_start", "moment_of", "starting_offset", "timestamp_of"]

NO_TIMESTAMP = -1
LAST = 253_402_300_799_999  # milliseconds; the last of the year 9999, after which there is no datetime


def moment_of(timestamp: int | None) -> datetime | None:
    """Return the time that a timestamp stands for, None if it is not a valid time.

    Kafka counts milliseconds, and writes -1 where a message has no timestamp; one in microseconds lies beyond the year
    9999, and is not valid. Messages of Kafka's oldest format have None.

    >>> moment_of(1_767_225_600_123)
    datetime.datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=datetime.timezone.utc)
    >>> moment_of(1_767_225_600_123_456) is moment_of(-1) is None
    True
    """
    if timestamp is None or not 0 <= timestamp <= LAST:
        return None
    seconds, milliseconds = divmod(timestamp, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=1000 * milliseconds)


def timestamp_of(moment: datetime) -> int:
    """Return the timestamp of a time; a broker is asked for none before 1970.

    >>> timestamp_of(datetime(1969, 7, 20, tzinfo=UTC))
    0
    """
    return max(0, round(moment.timestamp() * 1000))


Place: TypeAlias = Literal["earliest", "latest"] | datetime | timedelta | int | Mapping[tuple[str, int], int]

AGE = re.compile(r"-(\d{1,9})([smhd])", re.ASCII)
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DIGITS = re.compile(r"\d{1,18}", re.ASCII)
PARTITION = re.compile(r"([A-Za-z0-9._-]{1,249})/(\d{1,9})", re.ASCII)
FORMS = "a start: 'earliest', 'latest', a time like '2026-01-01T00:00:00Z', an age like '-6h', or an offset"


@frozen
class Start:
    """Where reading a log begins, in each partition of it.

    `at` is an end of the log, the time of the first message, how long ago that was, an offset, or an offset for each
    of some topics and partitions, the others beginning at their earliest message.
    """

    at: Place


EARLIEST = Start("earliest")
LATEST = Start("latest")
NAMED = {"earliest": EARLIEST, "latest": LATEST}


def as_start(value: Any) -> Start:
    """Return the start that a value stands for; raises `ValueError` for anything else.

    >>> as_start("earliest").at, as_start("-6h").at, as_start(1_500).at
    ('earliest', datetime.timedelta(seconds=21600), 1500)
    >>> as_start("2026-01-01T01:00:00+01:00").at.isoformat()
    '2026-01-01T01:00:00+01:00'
    >>> as_start({"crypto-prices/2": 1_500}).at
    {('crypto-prices', 2): 1500}
    """
    match value:
        case Start():
            return value
        case str():
            return _written(value)
        case int() if not isinstance(value, bool):
            return Start(_offset(value))
        case Mapping():
            return Start({_partition(name): _offset(offset) for name, offset in value.items()})
        case _:
            raise ValueError(f"expected {FORMS}, got {value!r:.60}")


def starting_offset(
    consumer: KafkaConsumer, partition: TopicPartition, first: int, end: int, start: Start, timeout_ms: int
) -> int:
    """Return the offset in the log [first, end) at which to begin; one that lies outside of it is its nearer end.

    Messages have the time at which they were written. Raises `KafkaError` where the broker has to be asked in vain.
    """
    match start.at:
        case "earliest":
            return first
        case "latest":
            return end
        case int(offset):
            pass
        case datetime() | timedelta() as moment:
            offset = _offset_at(consumer, partition, end, moment, timeout_ms)
        case Mapping() as offsets:
            offset = offsets.get((partition.topic, partition.partition), first)
        case _:
            assert_never(start.at)
    return min(max(offset, first), end)


def _offset_at(
    consumer: KafkaConsumer, partition: TopicPartition, end: int, moment: datetime | timedelta, timeout_ms: int
) -> int:
    """Return the offset of the first message from that moment on; ages count from the machine's time, as logs do."""
    if isinstance(moment, datetime):
        asked = {partition: timestamp_of(moment)}
    else:
        asked = {partition: max(0, round((time.time() - moment.total_seconds()) * 1000))}
    found = consumer.offsets_for_times(asked, timeout_ms=timeout_ms)[partition]
    return end if found is None else int(found.offset)


def _written(text: str) -> Start:
    if text in NAMED:
        return NAMED[text]
    if match := AGE.fullmatch(text):
        return Start(timedelta(seconds=int(match[1]) * UNITS[match[2]]))
    if DIGITS.fullmatch(text):
        return Start(int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected {FORMS}, got {text!r:.60}") from None
    if moment.tzinfo is None:
        raise ValueError(f"expected a start with a time zone, such as {text + 'Z'!r:.60}, got {text!r:.60}")
    return Start(moment)


def _offset(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expected an offset to start at, a whole number from 0 on, got {value!r:.60}")
    return value


def _partition(name: Any) -> tuple[str, int]:
    match = PARTITION.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise ValueError(f"expected a topic and partition to start in, like 'crypto-prices/0', got {name!r:.60}")
    return match[1], int(match[2])
