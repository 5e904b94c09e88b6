"""By its trail a consumer knows again what is left of the log that it read."""

from __future__ import annotations

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from dataplatform.base.streaming.log_identity import KEPT, Trail, fingerprint

PARTITION = TopicPartition("prices", 0)


@frozen
class Message:
    """A message as far as a trail looks at it."""

    offset: int
    value: bytes | None
    key: bytes | None = b"k"
    timestamp: int = 1_700_000_000_000


def log(first: int, end: int, mark: str = "old") -> list[Message]:
    return [Message(offset, f"{mark}{offset}".encode()) for offset in range(first, end)]


def trail_of(*readings: list[Message]) -> Trail:
    trail = Trail()
    for messages in readings:
        trail.add(PARTITION, messages)
    return trail


def parting(trail: Trail, there: list[Message], first: int = 0, end: int | None = None) -> int | None:
    """Return where a trail parts from a log; the log may begin and end with what is no message."""
    prints = {message.offset: fingerprint(message) for message in there}
    end = there[-1].offset + 1 if end is None else end
    return trail.parting(
        PARTITION, first, end, lambda begin, stop: {at: prints[at] for at in range(begin, stop) if at in prints}
    )


@given(
    read=st.integers(1, 60),
    kept=st.integers(0, 60),
    new=st.integers(0, 80),
    piece=st.integers(1, 60),
    ahead=st.booleans(),
)
def test_the_parting_is_where_the_first_message_differs(
    read: int,
    kept: int,
    new: int,
    piece: int,
    ahead: bool,  # noqa: FBT001
) -> None:
    kept = min(kept, read)
    old = log(0, read)
    trail = trail_of(*[old[begin : begin + piece] for begin in range(0, read, piece)])
    there = log(0, kept) + log(kept, kept + new, "new")
    if ahead and kept + new > read:  # read on in the new log before anybody knew
        trail.add(PARTITION, there[read:])
        expected = kept if kept < read else kept + new
    else:
        expected = kept
    assert parting(trail, there, end=kept + new) == expected


def test_nothing_tells_where_nothing_was_read() -> None:
    assert parting(Trail(), log(0, 10)) is None


def test_nothing_tells_where_all_that_was_read_has_expired() -> None:
    assert parting(trail_of(log(0, 10)), log(10, 20), first=10) is None


def test_what_has_expired_is_not_missed() -> None:
    assert parting(trail_of(log(0, 10)), log(4, 20), first=4) == 10


def test_a_log_in_which_nothing_is_known_again_is_another_one_from_its_beginning() -> None:
    assert parting(trail_of(log(100, 120)), log(0, 200, "new")) == 0


def test_gaps_that_transactions_leave_are_no_loss() -> None:
    even = [message for message in log(0, 20) if message.offset % 2 == 0]
    assert parting(trail_of(even), even, end=21) == 19


def test_a_log_that_ends_in_a_gap_parts_where_it_ends() -> None:
    assert parting(trail_of(log(0, 10), log(15, 20)), log(0, 10), end=12) == 12


def test_what_is_read_again_takes_the_place_of_what_was_read_before() -> None:
    trail = trail_of(log(0, 10), log(10, 20), log(5, 8))
    assert trail.end(PARTITION) == 8
    assert trail.last_before(PARTITION, 20)[0] == 7


def test_a_seal_is_of_the_last_message_before_the_offset() -> None:
    trail = trail_of(log(10, 20))
    assert trail.last_before(PARTITION, 15) == (14, fingerprint(log(14, 15)[0]))
    assert trail.last_before(PARTITION, 10) == (None, None)


def test_a_fingerprint_tells_values_times_and_the_keys_of_messages_without_a_value() -> None:
    messages = [
        Message(0, b"a"),
        Message(0, b"b"),
        Message(0, b"a", timestamp=-1),
        Message(0, None, key=b"x"),
        Message(0, None, key=b"y"),
        Message(0, None, key=None),
    ]
    assert len({fingerprint(message) for message in messages}) == len(messages)


def test_a_trail_is_bounded() -> None:
    trail = Trail()
    for begin in range(0, 5 * KEPT, 5_000):
        trail.add(PARTITION, log(begin, begin + 5_000))
    assert len(trail._read[PARTITION].offsets) <= 2 * KEPT
    assert trail.end(PARTITION) == 5 * KEPT


def test_partitions_that_others_have_are_forgotten() -> None:
    trail = trail_of(log(0, 10))
    trail.keep([TopicPartition("prices", 1)])
    assert trail.end(PARTITION) == 0
