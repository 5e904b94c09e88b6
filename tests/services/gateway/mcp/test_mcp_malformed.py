"""Requests that are none, or not as they should be, are the caller's mistakes: answered in words, never our bug."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from mcp.types import HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR

from tests.services.gateway.mcp.served import Served

SEED, MUTATIONS = 20_261_130, 400
MODERN = "2026-07-28"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "fuzz", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "fuzz", "version": "1"},
}
REQUESTS: Sequence[tuple[str, dict[str, Any]]] = [
    ("tools/call", {"name": "get_available_tickers", "arguments": {"limit": 1}}),
    ("tools/call", {"name": "get_price_history", "arguments": {"coinId": "..", "days": 1, "interval": "1h"}}),
    ("tools/call", {"name": "get_current_prices", "arguments": {"coinIds": [".."], "vsCurrencies": ["usd"]}}),
    ("tools/call", {"name": "list_sources", "arguments": {}, "inputResponses": {}}),
    ("tools/list", {"cursor": "next"}),
    ("resources/list", {}),
    ("resources/read", {"uri": "platform://topology"}),
    ("resources/subscribe", {"uri": "price://bitcoin"}),
    ("prompts/get", {"name": "compare_coins", "arguments": {"coins": "bitcoin"}}),
    ("logging/setLevel", {"level": "info"}),
    ("no/such/method", {}),
]
ODD: Sequence[Any] = [
    *(None, True, 0, -1, 7.5, 10**30, "", "x", "\x00", "ü" * 3_000, [], [[]], {}, {"": None}, {"a": {"b": [1]}}),
]
CALLERS_MISTAKES = {PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, HEADER_MISMATCH}
NOT_MESSAGES: dict[str, bytes] = {
    "nothing": b"",
    "half a message": b'{"jsonrpc": "2.0", "id": 1, "method": "ping"',
    "bytes that are no text": b"\xff\xfe",
    "half a character": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": "\\ud800"}}',
    "a number beyond all": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": 1e999}}',
    "a deep nest": b"[" * 50_000,
    "an id of 5,000 digits": b'{"jsonrpc": "2.0", "id": ' + b"9" * 5_000 + b', "method": "ping"}',
}
NOT_REQUESTS: dict[str, bytes] = {
    "a batch": b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]',
    "an empty batch": b"[]",
    "a number": b"7",
    "nothing known": b"{}",
    "another version": b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}',
    "an id that is null": b'{"jsonrpc": "2.0", "id": null, "method": "ping"}',
    "an id that is true": b'{"jsonrpc": "2.0", "id": true, "method": "ping"}',
    "an id that is a fraction": b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}',
    "an id that is an object": b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}',
    "an id of 30 digits": b'{"jsonrpc": "2.0", "id": ' + b"9" * 30 + b', "method": "ping"}',
    "a long id": b'{"jsonrpc": "2.0", "id": "' + b"x" * 10_000 + b'", "method": "ping"}',
    "a method that is no text": b'{"jsonrpc": "2.0", "id": 1, "method": 7}',
    "parameters in a list": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}',
    "parameters that are text": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": "x"}',
}
Post = Callable[[bytes, str], Any]


def mutated(generator: random.Random, value: Any) -> Any:
    """Return the value with one thing in it odd, missing, or too many."""
    if not isinstance(value, (dict, list)) or not value or generator.random() < 0.2:
        return generator.choice(ODD)
    if isinstance(value, list):
        return [mutated(generator, value[0]), *value[1:]]
    key = generator.choice(sorted(value))
    match generator.randrange(4):
        case 0:
            return {other: one for other, one in value.items() if other != key}
        case 1:
            return value | {generator.choice(["inputResponses", "_meta", "x", "cursor"]): generator.choice(ODD)}
        case _:
            return value | {key: mutated(generator, value[key])}


def mutations(seed: int) -> Iterator[tuple[str, Any]]:
    generator = random.Random(seed)
    for _ in range(MUTATIONS):
        method, params = generator.choice(REQUESTS)
        yield method, mutated(generator, params)


def code_of(answer: Any) -> int | None:
    """Return the code of an answer's error; None for a result."""
    code: int | None = answer["error"]["code"] if "error" in answer else None
    return code


def as_request(number: int, method: str, params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


# Over HTTP


@pytest.fixture(params=["modern", "handshake"])
def post(request: pytest.FixtureRequest, served: Served) -> Post:
    """Send a message in one of the protocol's two ways, and return the answer."""
    token = {"Authorization": f"Bearer {served.tokens['everything']}"}
    if request.param == "handshake":
        begun = served.post(as_request(0, "initialize", HANDSHAKE), **token)
        token["mcp-session-id"] = begun.headers["mcp-session-id"]

    def post_and_read(body: bytes, method: str) -> Any:
        headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method} if request.param == "modern" else {}
        answer = served.post(body, **token, **headers)
        return json.loads(answer.text.partition("data: ")[2] if answer.text.startswith("event:") else answer.text)

    post_and_read.era = request.param  # type: ignore[attr-defined]
    return post_and_read


def fitting(post: Any, params: Any) -> Any:
    """Give parameters the envelope that the modern protocol wants, where they are an object."""
    return {"_meta": ENVELOPE} | params if post.era == "modern" and isinstance(params, dict) else params


def test_odd_parameters_are_the_caller_s_and_the_log_shows_no_bug(
    post: Post, logs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    codes = set()
    for number, (method, params) in enumerate(mutations(SEED)):
        answer = post(as_request(number, method, fitting(post, params)), method)
        codes.add(code_of(answer))
        assert code_of(answer) in {None, *CALLERS_MISTAKES}, (method, params, answer)
    assert {None, INVALID_PARAMS, METHOD_NOT_FOUND} <= codes
    assert [line for line in logs if line["log_level"] == "error"] == []
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("method", "params", "place"),
    [
        ("tools/call", {"name": "list_sources", "arguments": []}, "arguments:"),
        ("tools/call", {"name": "list_sources", "inputResponses": []}, "inputResponses:"),
        ("tools/call", {"name": "list_sources", "inputResponses": {"a": 1}}, "inputResponses.a"),
        ("tools/list", {"cursor": 7}, "cursor:"),
        ("subscriptions/listen", {"notifications": 7}, "notifications:"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_place(
    served: Served, logs: list[Any], method: str, params: Any, place: str
) -> None:
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, "Mcp-Name": "list_sources"}
    body = as_request(1, method, {"_meta": ENVELOPE} | params)
    answer = served.post(body, Authorization=f"Bearer {served.tokens['everything']}", **headers).json()
    assert answer["error"]["code"] == INVALID_PARAMS
    assert answer["error"]["message"].startswith(place)
    assert [line for line in logs if line["event"] == "bug"] == []


@pytest.mark.parametrize("what", [*NOT_MESSAGES, *NOT_REQUESTS])
def test_what_is_no_request_is_refused_as_that(post: Post, what: str, logs: list[Any]) -> None:
    body, code = (NOT_MESSAGES[what], PARSE_ERROR) if what in NOT_MESSAGES else (NOT_REQUESTS[what], INVALID_REQUEST)
    answer = post(body, "ping")
    assert code_of(answer) == code
    assert len(json.dumps(answer)) < 400
    assert [line for line in logs if line["log_level"] == "error"] == []


# Over standard input and output

TOPOLOGY = """
[clients.gecko]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"
[sources.coingecko]
kind = "coingecko"
client = "gecko"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    folder = tmp_path_factory.mktemp("stdio")
    (folder / "own.toml").write_text(TOPOLOGY, encoding="utf-8")
    command = [sys.executable, "-m", "dataplatform.system", "mcp", "--transport", "stdio", "--demo"]
    command += ["--data-dir", str(folder / "data"), str(folder / "own.toml")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as running,
    ):
        assert "result" in exchanged(running, as_request(0, "initialize", HANDSHAKE))
        yield running
        assert running.stdin is not None
        running.stdin.close()
        assert running.wait(60) == 0
    said = (folder / "log").read_text(encoding="utf-8")
    assert "Traceback" not in said
    assert ": bug (" not in said


def exchanged(program: subprocess.Popen[bytes], message: bytes) -> Any:
    """Send a message, and return the answer that follows."""
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(message.replace(b"\n", b" ") + b"\n")
    program.stdin.flush()
    return next(one for one in map(json.loads, program.stdout) if "method" not in one)  # which are notices


def test_over_stdio_odd_parameters_are_the_caller_s(program: subprocess.Popen[bytes]) -> None:
    for number, (method, params) in enumerate(mutations(SEED + 1), 1):
        answer = exchanged(program, as_request(number, method, params))
        assert code_of(answer) in {None, *CALLERS_MISTAKES}, (method, params, answer)
    assert exchanged(program, as_request(7, "ping", {})) == {"jsonrpc": "2.0", "id": 7, "result": {}}


@pytest.mark.parametrize("what", [*(what for what in NOT_MESSAGES if what != "nothing"), *NOT_REQUESTS])
def test_over_stdio_what_is_no_request_is_answered_too(program: subprocess.Popen[bytes], what: str) -> None:
    body, code = (NOT_MESSAGES[what], PARSE_ERROR) if what in NOT_MESSAGES else (NOT_REQUESTS[what], INVALID_REQUEST)
    answer = exchanged(program, body)
    assert code_of(answer) == code
    assert "id" in answer
    assert exchanged(program, as_request(8, "ping", {}))["id"] == 8
