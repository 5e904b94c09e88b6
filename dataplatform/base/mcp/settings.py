"""The options of an MCP client, checked when they are made, never showing a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen
from attrs.validators import and_, deep_iterable, ge, gt, in_, instance_of, le, optional

from dataplatform.base.net.shown import shown_server
from dataplatform.base.net.urls import check_server_url

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["McpSettings"]

MIB = 1024 * 1024
TRANSPORTS: Final = ("http", "sse", "stdio")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
VARIABLE_NAME = re.compile(r"[^=\0]+")
TELLING = 8  # a shorter word of a secret, such as "1" or "Bearer", tells nothing, and masking it would garble texts


def _is_endpoint(settings: McpSettings, _option: Attribute[Any], url: str | None) -> None:
    if (url is None) != (settings.transport == "stdio"):
        raise ValueError(f"url is for the transports http and sse, which need it; this is {settings.transport}")
    if url is None:
        return
    check_server_url("url", url, with_query=True)


def _is_command(settings: McpSettings, _option: Attribute[Any], command: str | None) -> None:
    if (command is None) == (settings.transport == "stdio"):
        raise ValueError(f"command is for the transport stdio, which needs it; this is {settings.transport}")
    if command is not None and (not command.strip() or "\0" in command):
        raise ValueError(f"command is {command!r}, which is no program's name")


def _are_headers(_settings: McpSettings, _option: Attribute[Any], headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r} is not the name of a header")
        if not isinstance(value, str) or not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"headers: the value of {name} is empty or cannot be sent: visible ASCII only")


def _are_variables(_settings: McpSettings, _option: Attribute[Any], variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        if not VARIABLE_NAME.fullmatch(name):
            raise ValueError(f"env: {name!r} is not the name of an environment variable")
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"env: the value of {name} is no text, or holds a null character")


def _copied(values: Mapping[str, str]) -> dict[str, str]:
    return dict(values)


def _as_tuple(arguments: Iterable[str]) -> tuple[str, ...]:
    return tuple(arguments)


def _names_only(values: Mapping[str, str]) -> str:
    return f"<{', '.join(sorted(values)) or 'none'}>"


def _number_only(arguments: tuple[str, ...]) -> str:
    return f"<{len(arguments)} given>"


def _without_secrets(url: str | None) -> str:
    return repr(shown_server(url)) if url else "None"


@frozen(kw_only=True)
class McpSettings:
    """One MCP server and how to reach it. Times are in seconds, sizes in bytes.

    >>> McpSettings(url="https://mcp.example/mcp", headers={"x-api-key": "secret"}).headers
    {'x-api-key': 'secret'}
    >>> "secret" in repr(McpSettings(transport="stdio", command="npx", env={"API_KEY": "secret"}))
    False
    """

    transport: Literal["http", "sse", "stdio"] = field(
        default="http",
        validator=in_(TRANSPORTS),
        metadata={"help": "http (streamable HTTP), sse (its predecessor), or stdio (a child process)"},
    )
    url: str | None = field(
        default=None,
        validator=and_(optional(instance_of(str)), _is_endpoint),
        repr=_without_secrets,
        metadata={"help": "the endpoint of a server that is reached by http or sse"},
    )
    headers: Mapping[str, str] = field(
        factory=dict,
        converter=_copied,
        validator=_are_headers,
        repr=_names_only,
        metadata={"help": "headers sent with every request by http or sse; their values are taken for secrets"},
    )
    command: str | None = field(
        default=None,
        validator=and_(optional(instance_of(str)), _is_command),
        metadata={"help": "the program that is a server over stdio, by its path or as found on PATH"},
    )
    args: tuple[str, ...] = field(
        default=(),
        converter=_as_tuple,
        validator=deep_iterable(instance_of(str)),
        repr=_number_only,
        metadata={"help": "the program's arguments; keys belong into env"},
    )
    env: Mapping[str, str] = field(
        factory=dict,
        converter=_copied,
        validator=_are_variables,
        repr=_names_only,
        metadata={
            "help": "variables for the program besides HOME, LOGNAME, PATH, SHELL, TERM and USER; "
            "their values are taken for secrets"
        },
    )
    call_timeout: float = field(
        default=5.0,
        validator=and_(gt(0), le(600)),
        metadata={"help": "seconds for one request to a connected server"},
    )
    connect_timeout: float = field(
        default=5.0,
        validator=and_(gt(0), le(600)),
        metadata={"help": "seconds for connecting; a program that npx has to fetch first needs more"},
    )
    max_text: int = field(
        default=16 * MIB,
        validator=and_(instance_of(int), ge(1)),
        metadata={"help": "bytes that the text of one answer may have"},
    )

    @property
    def longest(self) -> float:
        """Seconds after which any request is answered: for connecting, and for three turns of asking."""
        return self.connect_timeout + 3 * self.call_timeout + 5.0

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: the values of headers, variables and the URL's query, and their long words."""
        query = [value for _, value in parse_qsl(urlsplit(self.url or "").query)]
        values = (*self.headers.values(), *self.env.values(), *query)
        return tuple(part for value in values for part in (value, *value.split()) if len(part) >= TELLING)
