"""Dead letters: what they keep of input that is no record, and of records that a target refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.dsl.flow import PolledRow, letter_for_input, letter_for_record, letter_for_row
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import DEAD_LETTERS, KINDS, PRICES, Kind
from dataplatform.dsl.records.types import DeadLetter
from dataplatform.errors import Permanent
from tests.dsl.records import ANY, NOON, letter, price, record

MALFORMED = Permanent("malformed", "Input data was truncated")
REJECTED = Permanent("rejected", "PostgreSQL refuses the data (22003)")
MIB = 1024 * 1024


def test_a_letter_of_input_keeps_its_bytes_origin_place_error_and_time() -> None:
    kept = letter_for_input(b"{", MALFORMED, origin="topics", at=NOON, stream="crypto-prices", place=(3, 77))
    assert (kept.raw, kept.origin, kept.stream, kept.partition, kept.offset) == (b"{", "topics", "crypto-prices", 3, 77)
    assert (kept.error, kept.time, kept.target) == ("malformed: Input data was truncated", NOON, "")


def test_input_from_no_topic_has_no_place() -> None:
    kept = letter_for_input(b"{", MALFORMED, origin="coingecko", at=NOON)
    assert (kept.stream, kept.partition, kept.offset) == ("", None, None)


def test_a_letter_of_a_polled_row_says_what_it_takes_to_decode_it_again() -> None:
    row = PolledRow(raw=b"{", source_kind="spot", endpoint="/spot/btc", source="simulator", received_at=NOON)
    kept = letter_for_row(row, MALFORMED, origin="prices-of-spot", kind=PRICES)
    assert (kept.record_kind, kept.source_kind, kept.source) == ("prices", "spot", "simulator")
    assert (kept.stream, kept.origin, kept.target, kept.offset) == ("/spot/btc", "prices-of-spot", "", None)
    (read,), _ = codec(DEAD_LETTERS).decode_all(codec(DEAD_LETTERS).encode([kept]))
    assert isinstance(read, DeadLetter)
    assert PolledRow.of(read) == row


def test_a_letter_of_an_older_version_is_read() -> None:
    fields = json.loads(codec(DEAD_LETTERS).encode([letter()])[0])
    old = {name: value for name, value in fields.items() if name not in {"recordKind", "sourceKind", "source"}}
    assert len(old) == len(fields) - 3
    assert codec(DEAD_LETTERS).decode(json.dumps(old).encode()) == letter()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_letter_of_a_record_keeps_it_as_it_stands_on_the_wire(kind: Kind) -> None:
    refused = record(kind)
    kept = letter_for_record(refused, REJECTED, origin="topics", target="database", at=NOON)
    assert codec(kind).decode(kept.raw) == refused
    assert (kept.stream, kept.target, kept.origin) == (kind.name, "database", "topics")


def test_the_same_input_has_the_same_id_each_time_and_other_input_another() -> None:
    def letter_id(raw: bytes = b"{", origin: str = "a", place: tuple[int, int] | None = (0, 1)) -> str:
        return letter_for_input(raw, MALFORMED, origin=origin, at=NOON, stream="s", place=place).id

    assert letter_id() == letter_id()
    others = [
        letter_id(b"["),
        letter_id(origin="b"),
        letter_id(place=(0, 2)),
        letter_id(place=(1, 1)),
        letter_id(place=None),
    ]
    assert len({letter_id(), *others}) == 6


def test_a_record_refused_by_two_targets_has_two_ids() -> None:
    letters = [letter_for_record(price(), REJECTED, origin="a", target=target, at=NOON) for target in ("x", "y")]
    assert letters[0].id != letters[1].id


def test_input_longer_than_a_message_may_be_is_cut_and_the_error_says_so() -> None:
    raw = b"\xff" * (4 * MIB + 1)
    kept = letter_for_input(raw, MALFORMED, origin="a", at=NOON)
    assert kept.raw == raw[:-1]
    assert kept.error.endswith("(cut from 4194305 bytes)")
    assert kept.id != letter_for_input(raw[:-1], MALFORMED, origin="a", at=NOON).id
    assert len(codec(DEAD_LETTERS).encode([kept])[0]) < 8 * MIB


def test_an_error_becomes_printable_and_bounded() -> None:
    error = Permanent("malformed", "line\nbreak \0 \ud800" + "x" * 10_000)
    kept = letter_for_input(b"\0" * (5 * MIB), error, origin="a", at=NOON)
    assert kept.error.startswith("malformed: line�break � �xxx")
    assert len(kept.error) < 2_100


@st.composite
def broken(draw: st.DrawFn, kind: Kind) -> bytes:
    """Draw a message of which a piece was cut out and another put in its place; the pieces may be empty."""
    raw = codec(kind).encode([draw(ANY[kind])])[0]
    first, last = sorted(draw(st.tuples(*[st.integers(0, len(raw))] * 2)))
    return (
        raw[:first]
        + draw(st.binary(max_size=20) | st.sampled_from([b"null", b"NaN", b"1e999", b'"', b"}"]))
        + raw[last:]
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_all_bytes_are_a_record_or_a_letter_that_has_them(kind: Kind, data: st.DataObject) -> None:
    raw = data.draw(broken(kind) | st.binary(max_size=300))
    records, failures = codec(kind).decode_all([raw])
    letters = [letter_for_input(raw, one.error, origin="a", at=NOON, stream="s", place=(0, 1)) for one in failures]
    read, unread = codec(DEAD_LETTERS).decode_all(codec(DEAD_LETTERS).encode(letters))
    assert (len(records) + len(letters), read, unread) == (1, letters, [])
    assert [one.raw for one in letters] == [raw] * len(letters)
    assert codec(kind).decode_all(codec(kind).encode(records)) == (records, [])


def test_a_letter_of_a_letter_holds_it_whole() -> None:
    inner = letter(raw=b"\x00\xff")
    kept = letter_for_record(inner, REJECTED, origin="a", target="b", at=NOON)
    assert codec(DEAD_LETTERS).decode(kept.raw) == inner
    assert json.loads(codec(DEAD_LETTERS).encode([kept])[0])["stream"] == "dead_letters"
