"""What an HTTP client is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from dataplatform.base.agent import Request

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Get", "Response"]


def _can_be_sent(_get: Get, option: Attribute[Any], value: str | tuple[tuple[str, str], ...]) -> None:
    """Refuse, in the caller's thread, what would crash the client: anything but text that UTF-8 can encode."""
    for text in (value,) if isinstance(value, str) else (part for name_and_value in value for part in name_and_value):
        if not isinstance(text, str) or any("\ud800" <= character <= "\udfff" for character in text):
            raise TypeError(f"{option.name} of a Get holds {text!r}, which is no text")


@frozen
class Response:
    """A complete answer with a 2xx status. Header names are lower-case; `received_at` is in UTC.

    Neither body nor headers are shown, because they may be large or private, and the URL has lost its secrets.

    >>> from datetime import UTC, datetime
    >>> Response(200, b"[]", {}, "https://api.example/coins", datetime(2026, 1, 1, tzinfo=UTC)).body
    b'[]'
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    url_without_secrets: str
    received_at: datetime


@frozen
class Get(Request[Response]):
    """Fetches `path` under the client's base URL, with query parameters in the given order.

    >>> Get("/simple/price", (("ids", "bitcoin"), ("vs_currencies", "usd"))).path
    '/simple/price'
    """

    path: str = field(validator=_can_be_sent)
    params: tuple[tuple[str, str], ...] = field(default=(), validator=_can_be_sent)
