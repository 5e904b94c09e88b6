"""Records on the wire: what is written can be read, and what cannot be read is refused by name, never by surprise."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.dsl.records.codec import Builder, Codec, Undecodable, codec
from dataplatform.dsl.records.kinds import ANALYTICS, DEAD_LETTERS, KINDS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.records.types import CryptoPriceData, Record
from dataplatform.errors import Permanent
from tests.dsl.records import ANY, FIELDS, price, record

quick = settings(deadline=None, max_examples=25)
thorough = settings(deadline=None, max_examples=80)
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def wire(kind: Kind = PRICES, **changes: Any) -> bytes:
    """Return a valid message with some of its JSON fields replaced; None takes a field away."""
    whole = json.loads(codec(kind).encode([record(kind)])[0]) | changes
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def refusal(raw: bytes, kind: Kind = PRICES) -> Permanent:
    with pytest.raises(Permanent) as refused:
        codec(kind).decode(raw)
    return refused.value


# Round trips


@by_kind
@given(data=st.data())
@quick
def test_what_is_encoded_decodes_to_itself(kind: Kind, data: st.DataObject) -> None:
    one = data.draw(ANY[kind])
    assert codec(kind).decode(codec(kind).encode([one])[0]) == one


@by_kind
@given(data=st.data())
@quick
def test_a_batch_decodes_to_itself_in_order(kind: Kind, data: st.DataObject) -> None:
    batch = data.draw(st.lists(ANY[kind], max_size=5))
    assert codec(kind).decode_all(codec(kind).encode(batch)) == (batch, [])


@by_kind
def test_a_whole_number_decodes_to_the_float_that_the_record_holds(kind: Kind) -> None:
    one = record(kind)
    raw = codec(kind).encode([one])[0].replace(b".0,", b",")
    assert codec(kind).decode_all([raw]) == ([one], [])


# The form


def test_names_are_camel_case_with_their_numbers_attached() -> None:
    assert set(json.loads(codec(PRICES).encode([price()])[0])) == {
        "coinId",
        "symbol",
        "name",
        "exchangeId",
        "usdPrice",
        "btcPrice",
        "ethPrice",
        "marketCap",
        "volume24h",
        "change24h",
        "change7d",
        "lastUpdated",
        "source",
        "attribution",
        "schemaVersion",
    }
    analytics = json.loads(codec(ANALYTICS).encode([record(ANALYTICS)])[0])
    assert {"marketCapChange24h", "activeCryptocurrencies", "totalMarketCap"} < set(analytics)


def test_times_are_rfc_3339_in_utc_and_bytes_are_base64() -> None:
    assert json.loads(codec(PRICES).encode([price()])[0])["lastUpdated"] == "2026-01-01T12:00:00Z"
    raw = json.loads(codec(DEAD_LETTERS).encode([record(DEAD_LETTERS, raw=b"\xff\x00")])[0])["raw"]
    assert base64.b64decode(raw) == b"\xff\x00"


def test_a_time_of_another_zone_is_read_as_utc() -> None:
    read = codec(PRICES).decode(wire(lastUpdated="2026-01-01T14:00:00+02:00"))
    assert read == price()


def test_zero_and_unknown_stay_what_they_are() -> None:
    zero = price(volume_24h=0.0, market_cap=None)
    raw = json.loads(codec(PRICES).encode([zero])[0])
    assert (raw["volume24h"], raw["marketCap"]) == (0.0, None)
    read = codec(PRICES).decode(json.dumps(raw).encode())
    assert isinstance(read, CryptoPriceData)
    assert (read.volume_24h, read.market_cap) == (0.0, None)


@by_kind
def test_unknown_fields_are_ignored(kind: Kind) -> None:
    assert codec(kind).decode(wire(kind, somethingNew={"deep": [1, {}]}, usd_price="snake")) == record(kind)


@by_kind
def test_missing_optional_fields_take_their_default(kind: Kind) -> None:
    message = json.loads(codec(kind).encode([record(kind)])[0])
    names = {attribute.name: first_lower(attribute.name) for attribute in fields(kind.type)}
    least = {names[name]: message[names[name]] for name in FIELDS[kind]}
    assert codec(kind).decode(json.dumps(least).encode()) == record(kind)


def first_lower(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


@by_kind
def test_each_required_field_is_missed_by_name(kind: Kind) -> None:
    for name in FIELDS[kind]:
        message = json.loads(codec(kind).encode([record(kind)])[0])
        del message[first_lower(name)]
        error = refusal(json.dumps(message).encode(), kind)
        assert (error.code, first_lower(name) in error.message) == ("malformed", True)


# What cannot be read


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed"),
        (b"null", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (b"not json", "malformed"),
        (b"\x00", "malformed"),
        (b"\xff\xfe\xfd", "malformed"),
        ("{}".encode("utf-16"), "malformed"),
        (b"\xef\xbb\xbf" + wire(), "malformed"),
        (wire() + b"{}", "malformed"),
        (wire()[:-1], "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"a":' * 100_000, "malformed"),
        (wire()[:-1] + b', "new": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed"),
        (wire(usdPrice="77000"), "malformed"),
        (wire(usdPrice=[77000.0]), "malformed"),
        (wire(usdPrice=True), "malformed"),
        (wire(coinId=7), "malformed"),
        (wire(lastUpdated=1_767_225_600), "malformed"),
        (wire(lastUpdated="yesterday"), "malformed"),
        (wire(lastUpdated="2026-02-30T00:00:00Z"), "malformed"),
        (wire(usdPrice=1.0).replace(b'"usdPrice": 1.0', b'"usdPrice": 1e999'), "malformed"),
        (wire(usdPrice=1.0).replace(b'"usdPrice": 1.0', b'"usdPrice": ' + b"9" * 400), "malformed"),
        (wire(usdPrice=1.0).replace(b'"usdPrice": 1.0', b'"usdPrice": ' + b"9" * 10_000), "malformed"),
        (wire(usdPrice=1.0).replace(b'"usdPrice": 1.0', b'"usdPrice": NaN'), "malformed"),
        (wire(usdPrice=1.0).replace(b'"usdPrice": 1.0', b'"usdPrice": -Infinity'), "malformed"),
        (wire(coinId="x").replace(b'"x"', b'"\\ud800"'), "malformed"),
        (wire(coinId="x").replace(b'"x"', b'"\xff"'), "malformed"),
        (wire(coinId="x").replace(b'"x"', b'"\xed\xa0\x80"'), "malformed"),
        (wire(coinId="a\0b"), "invalid"),
        (wire(coinId=""), "invalid"),
        (wire(coinId="x" * 129), "invalid"),
        (wire(name="two\nlines"), "invalid"),
        (wire(usdPrice=-1), "invalid"),
        (wire(volume24h=-0.5), "invalid"),
        (wire(lastUpdated="2026-01-01T00:00:00"), "invalid"),
        (wire(lastUpdated="9999-12-31T23:59:59-05:00"), "invalid"),
        (wire(lastUpdated="0001-01-01T00:00:00+05:00"), "invalid"),
    ],
)
def test_a_message_that_is_no_record_is_refused_as_what_it_is(raw: bytes, code: str) -> None:
    assert refusal(raw).code == code
    assert codec(PRICES).decode_all([raw]) == ([], [Undecodable(0, refusal(raw))])


@pytest.mark.parametrize(
    ("kind", "changes", "code"),
    [
        (OHLCV, {"low": 3.5}, "invalid"),
        (OHLCV, {"open": 9}, "invalid"),
        (LEVEL1, {"bestBid": 101.5}, "invalid"),
        (LEVEL1, {"estimated": 1}, "malformed"),
        (ANALYTICS, {"markets": -1}, "invalid"),
        (ANALYTICS, {"markets": 2**63}, "invalid"),
        (ANALYTICS, {"markets": 10**4_000}, "invalid"),
        (ANALYTICS, {"markets": 1.5}, "malformed"),
        (DEAD_LETTERS, {"raw": "no base64!"}, "malformed"),
        (DEAD_LETTERS, {"offset": -1}, "invalid"),
        (DEAD_LETTERS, {"error": "x" * 5_001}, "invalid"),
        (DEAD_LETTERS, {"error": "a\0b"}, "invalid"),
    ],
)
def test_the_rules_between_fields_hold_for_messages_too(kind: Kind, changes: dict[str, Any], code: str) -> None:
    raw = wire(kind, **changes)
    assert refusal(raw, kind).code == code
    records, failures = codec(kind).decode_all([wire(kind), raw, wire(kind)])
    assert records == [record(kind)] * 2
    assert [(failure.index, failure.error.code) for failure in failures] == [(1, code)]


def decode_or_refuse(kind: Kind, raw: bytes) -> Record | str:
    """Decode; any exception but a `Permanent` of these codes fails the test."""
    try:
        return codec(kind).decode(raw)
    except Permanent as error:
        refused = error
    assert refused.code in {"malformed", "invalid"}
    assert refused.message
    return refused.code


@by_kind
@given(raw=st.binary(max_size=200))
@quick
def test_random_bytes_are_refused(kind: Kind, raw: bytes) -> None:
    assert decode_or_refuse(kind, raw) == "malformed"


@by_kind
@given(data=st.data())
@quick
def test_a_message_that_was_cut_short_is_refused(kind: Kind, data: st.DataObject) -> None:
    raw = codec(kind).encode([data.draw(ANY[kind])])[0]
    assert decode_or_refuse(kind, raw[: data.draw(st.integers(0, len(raw) - 1))]) == "malformed"


@by_kind
@given(data=st.data())
@thorough
def test_any_json_in_any_field_is_a_record_or_refused(kind: Kind, data: st.DataObject) -> None:
    message = json.loads(codec(kind).encode([record(kind)])[0])
    for name in data.draw(st.sets(st.sampled_from(sorted(message)), min_size=1, max_size=3)):
        message[name] = data.draw(JSON)
    raw = json.dumps(message).encode("utf-8", "surrogatepass")
    decoded = decode_or_refuse(kind, raw)
    if not isinstance(decoded, str):
        assert codec(kind).decode(codec(kind).encode([decoded])[0]) == decoded


@by_kind
@given(data=st.data())
@quick
def test_a_byte_that_was_changed_is_a_record_or_refused(kind: Kind, data: st.DataObject) -> None:
    raw = bytearray(codec(kind).encode([data.draw(ANY[kind])])[0])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    decode_or_refuse(kind, bytes(raw))


# Batches


@by_kind
@given(data=st.data())
@quick
def test_a_batch_is_decoded_as_its_messages_are_one_by_one(kind: Kind, data: st.DataObject) -> None:
    bad = st.sampled_from([None, b"", b"{", wire(kind)[:-2], wire(kind, source="a\0b"), wire(kind, source="")])
    good = ANY[kind].map(lambda one: codec(kind).encode([one])[0])
    raws = data.draw(st.lists(good | bad, max_size=8))
    records, failures = codec(kind).decode_all(raws)
    singly = [decode_or_refuse(kind, raw or b"") for raw in raws]
    assert records == [one for one in singly if not isinstance(one, str)]
    assert [(failure.index, failure.error.code) for failure in failures] == [
        (index, one) for index, one in enumerate(singly) if isinstance(one, str)
    ]


def test_an_empty_batch_decodes_to_nothing() -> None:
    assert codec(PRICES).decode_all([]) == ([], [])


def test_a_message_without_a_value_is_malformed() -> None:
    records, failures = codec(PRICES).decode_all([None, wire()])
    assert records == [price()]
    assert [(failure.index, failure.error.code) for failure in failures] == [(0, "malformed")]


@pytest.mark.parametrize("raw", [None, b""])
def test_a_message_with_nothing_in_it_is_called_what_it_is(raw: bytes | None) -> None:
    _, (failure,) = codec(PRICES).decode_all([raw])
    assert str(failure.error) == "malformed: an empty message (a tombstone?)"


def test_a_decoded_record_is_as_good_as_a_made_one() -> None:
    (decoded,), _ = codec(PRICES).decode_all([wire(volume24h=0)])
    assert decoded == price(volume_24h=0)
    assert hash(decoded) == hash(price(volume_24h=0))
    assert repr(decoded) == repr(price(volume_24h=0))
    assert evolve(decoded, coin_id="ethereum") == price("ethereum", volume_24h=0)


def test_building_by_column_runs_the_rules_of_the_type() -> None:
    wires: list[Any] = [price("a"), price("b")]
    assert Builder(CryptoPriceData).build(wires) == wires
    with pytest.raises(ValueError, match="time zone"):
        Builder(CryptoPriceData).build([_Changed(price(), last_updated=price().last_updated.replace(tzinfo=None))])
    for name, wrong in (("coin_id", ""), ("usd_price", -1.0), ("change_7d", float("-inf")), ("name", "a\0b")):
        with pytest.raises(ValueError, match=name):
            Builder(CryptoPriceData).build([*wires, _Changed(price(), **{name: wrong}), *wires])


class _Changed:
    """A record's fields with some of them changed, no rule being asked."""

    def __init__(self, one: CryptoPriceData, **changes: Any) -> None:
        for attribute in fields(CryptoPriceData):
            setattr(self, attribute.name, changes.get(attribute.name, getattr(one, attribute.name)))


def test_there_is_one_codec_for_each_kind() -> None:
    assert [isinstance(codec(kind), Codec) for kind in KINDS] == [True] * 5
    assert len({id(codec(kind)) for kind in KINDS}) == 5
