"""How the simulator reads code without running it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.simulator.mcp.javascript import CodeError, SdkCall, parse


def call(arguments: str) -> SdkCall:
    return parse(f"async function run(client) {{ return await client.a.b({arguments}); }}")


@pytest.mark.parametrize(
    "code",
    [
        "async function run(client) { return await client.coins.ohlc.get('bitcoin', { days: '1' }); }",
        "async function run(client){return client.coins.ohlc.get('bitcoin',{days:'1',},)}",
        'async function run(c: Coingecko) {\n  // x\n  return await c.coins.ohlc.get("bitcoin", {"days": `1`});\n}\n',
    ],
)
def test_the_canonical_program_is_read_however_it_is_laid_out(code: str) -> None:
    assert parse(code) == SdkCall("coins.ohlc.get", "bitcoin", {"days": "1"})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", SdkCall("a.b", None, {})),
        ("'x'", SdkCall("a.b", "x", {})),
        ("'x', null", SdkCall("a.b", "x", {})),
        ("undefined", SdkCall("a.b", None, {})),
        (
            "{ a: 1, b: -2.5e3, c: true, d: null, e: ['x', 2], f: { g: {} } }",
            SdkCall("a.b", None, {"a": 1, "b": -2500.0, "c": True, "d": None, "e": ["x", 2], "f": {"g": {}}}),
        ),
        (r"{ a: '\ud83d\ude00\ud83d' }", SdkCall("a.b", None, {"a": "😀\ufffd"})),
        (
            r"""{ a: 'it\'s', b: "\"\n\t", c: '\u00e9\x41', d: '\\' }""",
            SdkCall("a.b", None, {"a": "it's", "b": '"\n\t', "c": "éA", "d": "\\"}),
        ),
    ],
)
def test_arguments_are_read_as_literals(arguments: str, expected: SdkCall) -> None:
    assert call(arguments) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        "x",
        "1",
        "'a', 'b'",
        "{a}",
        "{a: b()}",
        "{...c}",
        "{a: 1 b: 2}",
        "[1]",
        "{a: 'x}",
        "{1: 2}",
        "'a', {}, {}",
        "{a:" * 50,
    ],
)
def test_what_is_no_literal_is_refused(arguments: str) -> None:
    with pytest.raises(CodeError):
        call(arguments)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_whatever_can_be_written_as_json_is_read_as_what_it_is(parameters: dict[str, Any]) -> None:
    assert call(json.dumps(parameters)) == SdkCall("a.b", None, parameters)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="async function run(client) { return client.a.b('x', { y: 1 }); }\\`$\n", max_size=120))
def test_no_text_is_anything_but_read_or_refused(text: str) -> None:
    with suppress(CodeError):
        assert isinstance(parse(f"run {text}"), SdkCall)
