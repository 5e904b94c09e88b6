"""What carries questions to CoinGecko: its REST API, or an MCP server of whichever generation is there.

Over MCP an ask offers a call for each generation, and the client makes the first of them that the server has a tool
for: `get_simple_price` and the like of the static generation, or `execute`, which is sent a few words of TypeScript.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from attrs import evolve, frozen

from dataplatform.base.agent import Request
from dataplatform.base.decoding import mended
from dataplatform.base.http import Get, HttpSettings, Response
from dataplatform.base.mcp import CallAnyOf, CallTool, McpSettings, ToolAnswer
from dataplatform.base.mcp.tool_errors import of_answer, server_of
from dataplatform.errors import Permanent
from dataplatform.sources.coingecko.api import Answer, Ask, source_named
from dataplatform.sources.coingecko.plans import MEANINGS, is_paid

__all__ = ["TRANSPORTS", "Mcp", "Rest", "Transport"]

NULL = b"null"
CODE_TOOL = "execute"
SIMULATOR = "dataplatform-simulator"  # what the simulator calls itself as an MCP server


class Transport(Protocol):
    """Turns an ask into a request to the source's client, and what the client answers into an answer."""

    @property
    def timeout(self) -> float:
        """Seconds after which the client has answered a request."""

    @property
    def paid(self) -> bool:
        """Whether the client asks with the key of a paid plan."""

    @property
    def tells_credits(self) -> bool:
        """Whether the credits can be asked for that the client's key has left."""

    def put(self, ask: Ask) -> Request[Any]:
        """Return the request that puts the question."""

    def read(self, ask: Ask, answer: Any) -> Answer:
        """Return the client's answer as CoinGecko's; raises `PlatformError` for an error in its place."""


@frozen
class Rest:
    """CoinGecko's REST API v3 through an HTTP client."""

    settings: HttpSettings | None = None

    @property
    def timeout(self) -> float:
        return 10.0 if self.settings is None else 2 * self.settings.timeout  # the client may have one in hand

    @property
    def paid(self) -> bool:
        return is_paid(self.settings)

    @property
    def tells_credits(self) -> bool:
        return self.paid

    def put(self, ask: Ask) -> Get:
        return Get(ask.path, tuple((name, _text(value)) for name, value in ask.parameters.items()), MEANINGS)

    def read(self, ask: Ask, answer: Response) -> Answer:
        source, where = source_named(simulated="x-simulator" in answer.headers), answer.url_without_secrets
        return Answer(answer.body, source, where.split("?", 1)[0], answer.received_at, ask.endpoint)


@frozen
class Mcp:
    """An MCP server of CoinGecko's, hosted or local, through an MCP client."""

    settings: McpSettings

    @property
    def timeout(self) -> float:
        return self.settings.longest

    @property
    def paid(self) -> bool:
        return is_paid(self.settings)

    @property
    def tells_credits(self) -> bool:
        return False  # no release has a tool for it

    def put(self, ask: Ask) -> CallAnyOf:
        tools = [_tool_call(one) for one in (ask, *ask.instead)]
        code = CallTool(CODE_TOOL, {"code": code_of(ask)}, MEANINGS)
        return CallAnyOf((*tools, code), _untold(ask, self.settings))

    def read(self, ask: Ask, answer: ToolAnswer) -> Answer:
        text = mended(answer.text.encode(errors="replace"))
        body = text.raw
        if answer.tool == CODE_TOOL and (wrapped := _wrapped(body)):
            body = bytes(wrapped.result)
            if body == NULL and wrapped.err_lines:
                raise of_answer("\n".join(wrapped.err_lines), answer.tool, self.settings, MEANINGS)
        answered = next((one for one in ask.instead if one.endpoint.tool == answer.tool), ask)
        source = source_named(simulated=answer.server_name == SIMULATOR)
        where = f"{answer.tool} ({answered.path}) of {server_of(self.settings)}"
        return Answer(evolve(text, raw=_unquoted(body)), source, where, answer.received_at, answered.endpoint)


TRANSPORTS: Mapping[type[Any], Callable[[Any], Transport]] = {HttpSettings: Rest, McpSettings: Mcp}
"""The transports by the settings of the client that they go through, and are made from."""


def _text(value: str | int | bool) -> str:  # noqa: FBT001  one of the types of a parameter
    return str(value).lower() if isinstance(value, bool) else str(value)


def code_of(ask: Ask) -> str:
    r"""Return the TypeScript that asks; what a caller gave stands in it as literals only, in ASCII.

    >>> from dataplatform.sources.coingecko.api import GLOBAL, OHLC
    >>> code_of(Ask(GLOBAL))
    'async function run(client) { return await client.global.get(); }'
    >>> code_of(Ask(OHLC, {"days": "1"}, '"); evil("'))
    'async function run(client) { return await client.coins.ohlc.get("\\"); evil(\\"", {"days": "1"}); }'
    """
    arguments = [json.dumps(value) for value in (ask.coin_id, dict(ask.parameters)) if value]
    return f"async function run(client) {{ return await client.{ask.endpoint.method}({', '.join(arguments)}); }}"


class _Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the hosted code tool makes of an answer."""

    log_lines: list[str]
    err_lines: list[str]
    result: msgspec.Raw = msgspec.Raw(NULL)


def _wrapped(body: bytes) -> _Wrapped | None:
    """Return the wrapping of an answer, None for a bare one."""
    try:
        return msgspec.json.decode(body, type=_Wrapped)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _unquoted(body: bytes) -> bytes:
    """Return the JSON, or the text that the API has answered in its place, which comes as a JSON text."""
    try:
        return msgspec.json.decode(body, type=str).encode(errors="replace") if body.lstrip().startswith(b'"') else body
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body


def _tool_call(ask: Ask) -> CallTool:
    coin = {} if ask.coin_id is None else {"id": ask.coin_id}
    return CallTool(ask.endpoint.tool, {**coin, **ask.parameters}, MEANINGS)


def _untold(ask: Ask, settings: McpSettings) -> Permanent:
    tools = ", ".join([*(one.endpoint.tool for one in (ask, *ask.instead)), CODE_TOOL])
    return Permanent(
        "unsupported",
        f"{server_of(settings)} has no tool that asks CoinGecko for {ask.endpoint.path}: none of {tools}",
        remedy=f"read from CoinGecko's REST API (a client of kind 'http'), or a server with the tool {CODE_TOOL!r}",
    )
