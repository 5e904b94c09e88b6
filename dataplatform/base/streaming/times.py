"""Kafka's timestamps, which producers set as they like, as times; and times as what a broker is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["NO_TIMESTAMP", "moment_of", "timestamp_of"]

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
