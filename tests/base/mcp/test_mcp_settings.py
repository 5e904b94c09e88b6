"""The options of an MCP client: what is refused, and that no secret is shown."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from dataplatform.base.mcp import McpSettings
from dataplatform.base.net.shown import shown_server, shown_text

URL = "https://mcp.example/mcp"
KEY = "CG-abcdef123456"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({}, "url is for the transports http and sse, which need it; this is http"),
        ({"transport": "sse"}, "which need it; this is sse"),
        ({"transport": "stdio"}, "command is for the transport stdio, which needs it; this is stdio"),
        ({"transport": "stdio", "url": URL, "command": "npx"}, "url is for the transports http and sse"),
        ({"url": URL, "command": "npx"}, "command is for the transport stdio"),
        ({"transport": "pigeon", "url": URL}, "'transport' must be in"),
        ({"url": "mcp.example/mcp"}, "url: it does not begin with http:// or https://; write https://HOST"),
        ({"url": "ftp://mcp.example/mcp"}, "url: it does not begin with http:// or https://"),
        ({"url": "https:///mcp"}, "url: it has no host"),
        ({"url": "https://mcp.example/mcp#top"}, "url: it has a fragment"),
        ({"url": f"https://me:{KEY}@mcp.example/mcp"}, "give credentials as a header"),
        ({"url": URL, "headers": {"a b": "c"}}, "'a b' is not the name of a header"),
        ({"url": URL, "headers": {"a": "é"}}, "the value of a is empty or cannot be sent"),
        ({"url": URL, "headers": {"a": ""}}, "the value of a is empty or cannot be sent"),
        ({"transport": "stdio", "command": " "}, "no program's name"),
        ({"transport": "stdio", "command": "npx", "env": {"A=B": "c"}}, "not the name of an environment variable"),
        ({"transport": "stdio", "command": "npx", "env": {"A": "\0"}}, "holds a null character"),
        ({"url": URL, "call_timeout": 0}, "'call_timeout' must be > 0"),
        ({"url": URL, "connect_timeout": 601}, "'connect_timeout' must be <= 600"),
        ({"url": URL, "max_text": 0}, "'max_text' must be >= 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the reason is looked at here
        McpSettings(**wrong)
    assert reason in str(refusal.value)
    assert KEY not in str(refusal.value)


def test_arguments_that_are_no_texts_are_refused() -> None:
    with pytest.raises(TypeError):
        McpSettings(transport="stdio", command="npx", args=(1,))  # type: ignore[arg-type]


def test_every_option_has_a_help_text() -> None:
    assert all(option.metadata.get("help") for option in attrs.fields(McpSettings))


def test_nothing_secret_is_in_the_repr() -> None:
    http = McpSettings(url=f"{URL}?key={KEY}", headers={"x-key": KEY})
    stdio = McpSettings(transport="stdio", command="npx", args=("--key", KEY), env={"API_KEY": KEY})
    assert KEY not in repr((http, stdio))
    assert "url='https://mcp.example/mcp', headers=<x-key>" in repr(http)
    assert "command='npx', args=<2 given>, env=<API_KEY>" in repr(stdio)


def test_secrets_are_the_values_and_their_long_words() -> None:
    settings = McpSettings(url=URL, headers={"authorization": f"Bearer {KEY}", "x-version": "1"})
    assert settings.secrets == (f"Bearer {KEY}", KEY)
    assert McpSettings(url=f"{URL}?key={KEY}&page=1").secrets == (KEY, KEY)


def test_the_longest_a_request_takes_covers_connecting_and_looking_into_a_failure() -> None:
    assert McpSettings(url=URL, connect_timeout=3.0, call_timeout=4.0).longest == 20.0


@pytest.mark.parametrize("url", [f"https://a:{KEY}@h:1/p?x={KEY}#y", f"https://h:1/p?{KEY}"])
def test_a_url_is_shown_without_what_may_be_secret(url: str) -> None:
    assert shown_server(url) == "https://h:1/p"


def test_a_text_is_shown_on_one_line_without_secrets_in_any_form_and_never_long() -> None:
    assert shown_text("a \x00\n b/c%2Fd a%2Fb", ["b/c", "a/b"]) == "a ***%2Fd ***"
    assert shown_text("x" * 400) == "x" * 299 + "…"
    assert shown_text(" " * 1_000_000 + "x") == ""
