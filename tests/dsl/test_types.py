"""What a record may hold: the rules of its fields, and those between its fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from math import inf, nan
from typing import Any

import pytest
from attrs import fields
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.dsl.records.kinds import ANALYTICS, DEAD_LETTERS, KINDS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery
from dataplatform.dsl.records.types import CryptoOHLCVData, DeadLetter, Level1Data
from tests.dsl.records import FIELDS, NOON, price, record

quick = settings(deadline=None, max_examples=60)

TIMES = {PRICES: "last_updated", OHLCV: "timestamp", ANALYTICS: "timestamp", LEVEL1: "timestamp", DEAD_LETTERS: "time"}
NUMBERS = [
    (kind, attribute.name)
    for kind in KINDS
    for attribute in fields(kind.type)
    if attribute.type in {"float", "float | None"}
]
CHANGES = {"change_24h", "change_7d", "market_cap_change_24h"}
COUNTS = [
    (ANALYTICS, "active_cryptocurrencies"),
    (ANALYTICS, "markets"),
    (DEAD_LETTERS, "partition"),
    (DEAD_LETTERS, "offset"),
]
TEXTS = [(kind, a.name) for kind in KINDS for a in fields(kind.type) if a.type in {"str", "str | None"}]
LONG_TEXTS = {"name", "attribution", "stream", "target", "error", "record_kind", "source_kind"}
MAYBE_EMPTY = {(OHLCV, "symbol"), (DEAD_LETTERS, "source")}
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
by_number = pytest.mark.parametrize(("kind", "name"), NUMBERS)
by_text = pytest.mark.parametrize(("kind", "name"), TEXTS)


class Half(float):
    """A float of another class, as NumPy's are."""


class Moment(datetime):
    """A time of another class, as pandas' are."""


class Unknown(tzinfo):
    """A time zone that does not tell its offset, so that times in it are naive."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> None:
        return None


class Fruit(StrEnum):
    APPLE = "apple"


def values(kind: Kind, name: str, value: object) -> Any:
    """Return what a record holds that is made with the value; whatever stands between candles' fields is set too."""
    if (kind, name) in {(OHLCV, "open"), (OHLCV, "high"), (OHLCV, "low"), (OHLCV, "close")}:
        return getattr(record(kind, open=value, high=value, low=value, close=value), name)
    if (kind, name) in {(LEVEL1, "best_bid"), (LEVEL1, "best_ask")}:
        return getattr(record(kind, best_bid=value, best_ask=value), name)
    return getattr(record(kind, **{name: value}), name)


# Times


@by_kind
def test_a_naive_time_is_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="time zone"):
        record(kind, **{TIMES[kind]: datetime(2026, 1, 1)})  # noqa: DTZ001  that is the point


@by_kind
def test_a_time_zone_without_an_offset_is_naive_too(kind: Kind) -> None:
    with pytest.raises(ValueError, match="time zone"):
        record(kind, **{TIMES[kind]: datetime(2026, 1, 1, tzinfo=Unknown())})


@pytest.mark.parametrize("wrong", ["2026-01-01T00:00:00Z", 1_767_225_600, None, NOON.date()])
@by_kind
def test_what_is_no_time_is_refused(kind: Kind, wrong: object) -> None:
    with pytest.raises(TypeError, match="expected a time"):
        record(kind, **{TIMES[kind]: wrong})


@given(minutes=st.integers(-23 * 60, 23 * 60), time=st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
@quick
def test_a_time_of_another_zone_is_converted_to_utc(minutes: int, time: datetime) -> None:
    local = time.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    kept = price(last_updated=local).last_updated
    assert kept == local
    assert kept.tzinfo is UTC
    assert kept.replace(tzinfo=None) == time - timedelta(minutes=minutes)


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_time_that_utc_cannot_hold_is_refused_as_a_value(hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    edge = datetime.max.replace(tzinfo=zone) if hours < 0 else datetime.min.replace(tzinfo=zone)
    with pytest.raises(ValueError, match="years 1 to 9999"):
        price(last_updated=edge)


def test_a_time_of_another_class_becomes_a_plain_one() -> None:
    moment = price(last_updated=Moment(2026, 1, 1, 12, 30, 15, 999_999, tzinfo=UTC)).last_updated
    assert type(moment) is datetime
    assert moment == datetime(2026, 1, 1, 12, 30, 15, 999_999, tzinfo=UTC)


def test_the_times_of_a_query_obey_the_same_rules() -> None:
    tokyo = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    assert DateRangeOHLCVQuery("BTC", tokyo, NOON, "4h").date_start == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="time zone"):
        DateRangeOHLCVQuery("BTC", NOON, datetime(2026, 1, 2), "4h")  # noqa: DTZ001


# Numbers


@pytest.mark.parametrize("wrong", [nan, inf, -inf])
@by_number
def test_a_number_is_finite(kind: Kind, name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        values(kind, name, wrong)


@by_number
def test_a_number_that_no_float_can_hold_is_refused(kind: Kind, name: str) -> None:
    with pytest.raises(ValueError, match="a float can hold"):
        values(kind, name, 10**400)


@pytest.mark.parametrize("wrong", ["1.0", True, b"1", [1.0], 1j])
@by_number
def test_what_is_no_number_is_refused(kind: Kind, name: str, wrong: object) -> None:
    with pytest.raises(TypeError, match=name if kind is not OHLCV and kind is not LEVEL1 else "expected a number"):
        values(kind, name, wrong)


@by_number
def test_an_amount_is_not_negative_and_a_change_may_be(kind: Kind, name: str) -> None:
    if name in CHANGES:
        assert values(kind, name, -99.5) == -99.5
    else:
        with pytest.raises(ValueError, match="at least 0"):
            values(kind, name, -1e-300)


@by_number
def test_zero_stays_zero(kind: Kind, name: str) -> None:
    kept = values(kind, name, 0)
    assert kept == 0
    assert type(kept) is float


@pytest.mark.parametrize(("kind", "name"), [(k, a.name) for k in KINDS for a in fields(k.type) if a.default is None])
def test_unknown_stays_none_and_is_the_default(kind: Kind, name: str) -> None:
    assert getattr(record(kind, **{name: None}), name) is None
    assert getattr(record(kind), name) is None


@by_number
def test_a_whole_number_and_a_float_of_another_class_become_floats(kind: Kind, name: str) -> None:
    for given_value in (7, Half(7.0)):
        kept = values(kind, name, given_value)
        assert kept == 7.0
        assert type(kept) is float


@pytest.mark.parametrize(("kind", "name"), COUNTS)
def test_a_count_is_whole_not_negative_and_fits_64_bits(kind: Kind, name: str) -> None:
    assert values(kind, name, 2**63 - 1) == 2**63 - 1
    for value in (-1, 2**63, 10**5_000):
        with pytest.raises(ValueError, match="from 0 to"):
            values(kind, name, value)
    for wrong in (1.0, True, "1"):
        with pytest.raises(TypeError, match="whole number"):
            values(kind, name, wrong)


# Texts


@by_text
def test_a_text_is_printable(kind: Kind, name: str) -> None:
    for wrong in ("a\0b", "a\nb", "a\tb", "\ud800", "\u200b", "\x1b[0m"):
        with pytest.raises(ValueError, match="printable"):
            values(kind, name, wrong)


@by_text
def test_a_text_is_of_any_script(kind: Kind, name: str) -> None:
    assert values(kind, name, "Биткоин 比特币 🐸") == "Биткоин 比特币 🐸"


@by_text
def test_a_text_is_bounded_in_length(kind: Kind, name: str) -> None:
    most = 5_000 if name == "error" else 300 if name in LONG_TEXTS or (kind, name) in MAYBE_EMPTY else 128
    assert values(kind, name, "x" * most) == "x" * most
    with pytest.raises(ValueError, match=f"{name}: expected at most {most} characters, got {most + 1}"):
        values(kind, name, "x" * (most + 1))


@by_text
def test_what_is_no_plain_text_is_refused(kind: Kind, name: str) -> None:
    for wrong in (1, b"bytes", ["text"], Fruit.APPLE):
        with pytest.raises(TypeError, match=f"{name}: expected text"):
            values(kind, name, wrong)


@by_kind
def test_what_identifies_a_row_is_not_empty_and_fits_an_index_entry(kind: Kind) -> None:
    texts = [column for column in kind.key if column != TIMES[kind]]
    for name in texts:
        with pytest.raises(ValueError, match=f"{name}: must not be empty"):
            record(kind, **{name: ""})
    longest = record(kind, **dict.fromkeys(texts, "🐸" * 128))
    assert sum(len(getattr(longest, name).encode()) + 4 for name in texts) + 8 < 2704  # PostgreSQL's B-tree limit


def test_an_attribution_may_be_empty() -> None:
    assert price(attribution="").attribution == ""


# Between fields


@given(st.permutations([1.0, 2.0, 3.0, 4.0]))
@quick
def test_a_candle_holds_its_open_and_close_between_its_low_and_high(numbers: list[float]) -> None:
    opened, high, low, close = numbers
    candle = FIELDS[OHLCV] | {"open": opened, "high": high, "low": low, "close": close}
    if low == 1.0 and high == 4.0:
        assert CryptoOHLCVData(**candle).high == 4.0
    else:
        with pytest.raises(ValueError, match="low <= open, close <= high"):
            CryptoOHLCVData(**candle)


def test_a_candle_may_be_flat() -> None:
    flat = record(OHLCV, open=5, high=5, low=5, close=5, volume=0)
    assert isinstance(flat, CryptoOHLCVData)
    assert flat.volume == 0.0


def test_a_bid_is_not_above_its_ask() -> None:
    touching = record(LEVEL1, best_bid=100, best_ask=100)
    assert isinstance(touching, Level1Data)
    assert not touching.estimated
    with pytest.raises(ValueError, match=r"best_bid <= best_ask, got 101\.0 and 100\.0"):
        record(LEVEL1, best_bid=101, best_ask=100)


@pytest.mark.parametrize("wrong", [1, "yes", None])
def test_estimated_is_true_or_false(wrong: object) -> None:
    with pytest.raises(TypeError, match="estimated: expected true or false"):
        record(LEVEL1, estimated=wrong)


def test_the_content_of_a_dead_letter_is_bytes() -> None:
    with pytest.raises(TypeError, match="raw: expected bytes"):
        record(DEAD_LETTERS, raw="text")
    empty = record(DEAD_LETTERS, raw=b"")
    assert isinstance(empty, DeadLetter)
    assert empty.raw == b""


@by_kind
def test_a_record_cannot_be_changed(kind: Kind) -> None:
    with pytest.raises(FrozenInstanceError):
        record(kind).source = "elsewhere"  # type: ignore[misc]
