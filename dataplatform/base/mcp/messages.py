"""What an MCP client is asked, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from dataplatform.base.agent import Request
from dataplatform.base.net.failures import Meaning
from dataplatform.errors import PlatformError

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["CallAnyOf", "CallTool", "ListTools", "ServerIdentity", "ServerInfo", "Tool", "ToolAnswer"]


def _can_be_sent(_call: CallTool, option: Attribute[Any], value: object) -> None:
    """Refuse, in the caller's thread, what would crash the client: anything but JSON that UTF-8 can encode."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{option.name} of a CallTool is no JSON: {error}") from None


def _copied(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return dict(arguments)


def _is_name(_call: CallTool, _option: Attribute[Any], name: str) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"{name!r} is not the name of a tool")


@frozen
class Tool:
    """A tool of the server; `input_schema` is the JSON Schema of its arguments."""

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = field(factory=dict, repr=False)


@frozen
class ToolAnswer:
    """What `tool` answered: its text contents, joined by line breaks, and its structured content where it gave any.

    `server_name` and `server_version` are what the server called itself when it connected, which tells simulated data
    from real; `received_at` is in UTC. The contents are not shown, because they may be large or private. A `failure` is
    what another platform has failed with; whoever asked the client gets that in place of an answer.
    """

    text: str = field(repr=False)
    structured: Any | None = field(repr=False)
    server_name: str
    server_version: str
    received_at: datetime
    tool: str
    failure: PlatformError | None = None


@frozen
class ServerIdentity:
    """What the connected server calls itself (empty where it does not say), and the protocol that is spoken with it."""

    name: str
    version: str
    protocol_version: str


@frozen
class ListTools(Request[tuple[Tool, ...]]):
    """Asks the server for all its tools, as they are now."""


@frozen
class CallTool(Request[ToolAnswer]):
    """Calls a tool with arguments, a mapping that can be written as JSON.

    Where the tool stands for an API, `meanings` are those of its own error codes that are not plain from their status.

    >>> CallTool("get_simple_price", {"ids": "bitcoin", "vs_currencies": "usd"}).name
    'get_simple_price'
    """

    name: str = field(validator=[_is_name, _can_be_sent])
    arguments: Mapping[str, Any] = field(factory=dict, converter=_copied, validator=_can_be_sent)
    meanings: tuple[Meaning, ...] = field(default=(), repr=False)


@frozen
class CallAnyOf(Request[ToolAnswer]):
    """Calls the first of these tools that the server has now, or fails as `otherwise` when it has none of them.

    So a caller speaks with a server of any generation, and needs to know nothing of what it has.
    """

    calls: tuple[CallTool, ...]
    otherwise: PlatformError


@frozen
class ServerInfo(Request[ServerIdentity]):
    """Asks who is connected, connecting first where nobody is."""
