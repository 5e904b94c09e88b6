"""What is wrong in JSON is told with its place, keys of maps included, in every decoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.base.decoding import misfit
from dataplatform.base.http import Response
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.dsl.records.schema import Wire
from dataplatform.errors import Permanent, PlatformError
from dataplatform.sources.coingecko.api import decode
from tests.sources.coingecko.answers import answer

Maps = dict[str, dict[str, float]]


class Row(msgspec.Struct):
    """A row with a map in it."""

    rank: int
    rates: dict[str, list[float]] = {}


def told(raw: bytes, type_: Any) -> str:
    read = msgspec.json.Decoder(type_).decode
    with pytest.raises(msgspec.ValidationError) as refused:
        read(raw)
    return misfit(refused.value, raw, read)


@pytest.mark.parametrize(
    ("raw", "type_", "expected"),
    [
        (b'{"a": {"b": 1, "c": null}}', Maps, "Expected `float`, got `null` - at `$['a']['c']`"),
        (b'{"a": {}, "b": 7}', Maps, "Expected `object`, got `int` - at `$['b']`"),
        (b'[{"rank": 1}, {"rank": 2, "rates": {"x": [1, "2"]}}]', list[Row], "$[1].rates['x'][1]"),
        (b'{"x": {"y": {"z": "deep"}}}', dict[str, dict[str, dict[str, int]]], "$['x']['y']['z']"),
        (b'{"a.b[0]": "x"}', dict[str, float], "$['a.b[0]']"),
        (b'{"rank": "1"}', Row, "Expected `int`, got `str` - at `$.rank`"),
        (b"{}", Row, "Object missing required field `rank`"),
        (b'{"a": 1e400}', dict[str, float], "Too large a number - at `$['a']`"),
        (b"1e400", float, "Too large a number"),
    ],
)
def test_the_place_is_named_to_the_last_key(raw: bytes, type_: Any, expected: str) -> None:
    assert expected in told(raw, type_)
    assert "[...]" not in told(raw, type_)


def test_a_key_that_stands_there_twice_is_left_open() -> None:
    assert told(b'{"a": "x", "a": 1}', dict[str, float]) == "Expected `float`, got `str` - at `$[...]`"


@given(st.lists(st.text(max_size=8), min_size=1, max_size=60, unique=True), st.data())
@settings(deadline=None, max_examples=100)
def test_the_key_of_any_odd_entry_is_found(keys: list[str], data: st.DataObject) -> None:
    odd = data.draw(st.sampled_from(keys))
    raw = json.dumps({key: {"usd": None if key == odd else 1.0} for key in keys}).encode()
    assert told(raw, Maps) == f"Expected `float`, got `null` - at `$[{odd!r:.60}]['usd']`"


def of_an_answer(raw: bytes) -> Any:
    return decode(answer(raw), Maps)


def of_a_response(raw: bytes) -> Any:
    return Response(200, raw, {}, "https://api.example/x", datetime(2026, 1, 1, tzinfo=UTC)).json(Maps)


def of_arguments(raw: bytes) -> Any:
    return Wire().convert(Maps, msgspec.json.decode(raw))


@pytest.mark.parametrize("read", [of_an_answer, of_a_response, of_arguments])
def test_every_decoder_of_maps_names_the_key(read: Callable[[bytes], Any]) -> None:
    with pytest.raises(PlatformError, match=r"\['bitcoin'\]\['usd'\]"):
        read(b'{"ether": {"usd": 1}, "bitcoin": {"usd": "much"}}')


@pytest.mark.parametrize("read", [of_an_answer, of_a_response])
def test_a_number_that_no_float_holds_is_json_still(read: Callable[[bytes], Any]) -> None:
    with pytest.raises(Permanent, match=r"Too large a number - at `\$\['bitcoin'\]\['usd'\]`") as refused:
        read(b'{"bitcoin": {"usd": 1e400}}')
    assert refused.value.code == "changed_shape"


def test_a_record_says_which_of_its_numbers_is_too_large() -> None:
    with pytest.raises(Permanent, match=r"malformed: Too large a number - at `\$.usdPrice`"):
        codec(PRICES).decode(b'{"coinId": "bitcoin", "symbol": "btc", "usdPrice": 1e400}')
