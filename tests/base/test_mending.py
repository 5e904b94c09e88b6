"""JSON with characters that are no text is mended at these characters, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplatform.base.decoding import Mended, mended

JSON = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ANY_TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from("\\u\ud800\udc00"))


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (rb'["bad\ud800", 1]', ["bad\ufffd", 1]),
        (rb'["bad\uDFFF!", 1]', ["bad\ufffd!", 1]),
        (rb'[{"n\ud83d": "\ud83d\ude00"}]', [{"n\ufffd": "😀"}]),
        (rb'["\ud800\ud83d\ude00"]', ["\ufffd😀"]),
        (rb'["\\ud800 \\\ud800"]', ["\\ud800 \\\ufffd"]),
        (b'["bad\xff", "caf\xc3\xa9"]', ["bad\ufffd", "café"]),
        (b'["\xff\xef\xbf\xbd"]', ["\ufffd\ufffd"]),
    ],
)
def test_what_is_no_text_is_replaced_and_counted(raw: bytes, data: Any) -> None:
    made = mended(raw)
    assert msgspec.json.decode(made.raw) == data
    assert made.replaced == 1


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    assert mended(b"\xef\xbb\xbf[1]") == mended(b"[1]")


@given(JSON)
def test_what_is_valid_stays_as_it_is(data: Any) -> None:
    for raw in (json.dumps(data).encode(), msgspec.json.encode(data)):
        assert mended(raw) == Mended(raw)


@given(ANY_TEXT)
def test_any_text_of_python_can_be_read_with_its_lone_surrogates_replaced(text: str) -> None:
    raw = json.dumps([text]).encode()
    whole = json.loads(raw)[0]  # two halves that stand together are one character
    (read,) = msgspec.json.decode(mended(raw).raw)
    assert read == "".join("\ufffd" if "\ud800" <= one <= "\udfff" else one for one in whole)
