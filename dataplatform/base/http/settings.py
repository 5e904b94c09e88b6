"""The options of an HTTP client, checked when they are made, never showing a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import and_, ge, gt, instance_of, le, lt, matches_re, optional

from dataplatform.base.net.urls import check_server_url

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["HttpSettings"]

MIB = 1024 * 1024
HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
TELLING = 8  # a shorter word of a header, such as "1" or "Bearer", is no secret, and masking it would garble texts
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def _is_base_url(_settings: HttpSettings, _option: Attribute[str], url: str) -> None:
    check_server_url("base_url", url)


def _are_headers(_settings: HttpSettings, _option: Attribute[Any], headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not re.fullmatch(HEADER_NAME, name):
            raise ValueError(f"{name!r} is not the name of a header")
        _is_header_value(f"header {name}", value)


def _is_key(_settings: HttpSettings, option: Attribute[Any], value: str) -> None:
    _is_header_value(option.name, value)


def _is_header_value(name: str, value: str) -> None:
    if not isinstance(value, str) or not HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the value of {name} is empty or cannot be sent: visible ASCII only")


def _copied(headers: Mapping[str, str]) -> dict[str, str]:
    return dict(headers)


def _names_only(headers: Mapping[str, str]) -> str:
    return f"<{', '.join(sorted(headers)) or 'none'}>"


@frozen(kw_only=True)
class HttpSettings:
    """One server and how to ask it. Times are in seconds, sizes in bytes.

    >>> HttpSettings(base_url="https://api.example/v3", headers={"x-token": "secret"}, api_key="secret").headers
    {'x-token': 'secret'}
    >>> "secret" in repr(HttpSettings(base_url="https://api.example/v3", api_key="secret"))
    False
    """

    base_url: str = field(
        validator=and_(instance_of(str), _is_base_url),
        metadata={"help": "the server, and the path that all requests begin with", "may_hold_secret": True},
    )
    headers: Mapping[str, str] = field(
        factory=dict,
        converter=_copied,
        validator=_are_headers,
        repr=_names_only,
        metadata={"help": "headers sent with every request; their values are taken for secrets"},
    )
    api_key: str | None = field(
        default=None,
        validator=optional(_is_key),
        repr=False,
        metadata={"help": "the API key, sent as the header `api_key_header`"},
    )
    api_key_header: str = field(
        default="x-cg-demo-api-key",
        validator=matches_re(HEADER_NAME),
        metadata={"help": "the header that carries the API key"},
    )
    rate_per_minute: float | None = field(
        default=None,
        validator=optional(and_(gt(0), le(1_000_000))),
        metadata={"help": "requests a minute in the long run; no limit of our own when not given"},
    )
    burst: int = field(
        default=1,
        validator=and_(instance_of(int), ge(1)),
        metadata={"help": "requests that may follow each other at once after a quiet time"},
    )
    route_share: float = field(
        default=0.5,
        validator=and_(gt(0), lt(1)),
        metadata={"help": "of rate_per_minute, kept for routes from when one asks; questions share the rest"},
    )
    concurrency: int = field(
        default=4,
        validator=and_(instance_of(int), ge(1), le(64)),
        metadata={"help": "requests under way at a time; one place is for routes from when one asks"},
    )
    max_waiting: int = field(
        default=256,
        validator=and_(instance_of(int), ge(1)),
        metadata={"help": "questions that may wait for their turn; the next is answered as `busy`"},
    )
    timeout: float = field(
        default=5.0,
        validator=and_(gt(0), le(600)),
        metadata={"help": "seconds for one request in all: connecting, retries, redirects and the whole body"},
    )
    connect_timeout: float = field(
        default=3.0,
        validator=and_(gt(0), le(600)),
        metadata={"help": "seconds for connecting to one address of the server"},
    )
    max_body: int = field(
        default=16 * MIB,
        validator=and_(instance_of(int), ge(1)),
        metadata={"help": "bytes that a decompressed body may have"},
    )
    attempts: int = field(
        default=2,
        validator=and_(instance_of(int), ge(1), le(10)),
        metadata={"help": "tries in all when the connection or the server fails; a 429 is never tried again"},
    )
    user_agent: str = field(
        default="dataplatform",
        validator=_is_key,
        metadata={"help": "how the client calls itself"},
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: the key, and the values of the headers, whole and by their long words."""
        values = [part for value in self.headers.values() for part in (value, *value.split())]
        return (*([self.api_key] if self.api_key else []), *(value for value in values if len(value) >= TELLING))
