"""What an HTTP client is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from attrs import field, frozen

from dataplatform.base.decoding import misfit, require_json
from dataplatform.base.net.failures import Meaning, not_json
from dataplatform.base.net.paced import Paced
from dataplatform.errors import Permanent

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Get", "Response"]

T = TypeVar("T")


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

    def json(self, type_: type[T], *, strict: bool = True) -> T:
        """Return the body's JSON as the type; where that is not `strict`, numbers do for times too.

        Raises `Permanent("changed_shape")` for JSON of another type, `Transient("not_json")` for what is not JSON.

        >>> from datetime import UTC, datetime
        >>> answer = Response(200, b'{"usd": 77}', {}, "https://api.example/coins", datetime(2026, 1, 1, tzinfo=UTC))
        >>> answer.json(dict[str, float])
        {'usd': 77.0}
        """
        decode = msgspec.json.Decoder(type_, strict=strict).decode
        try:
            require_json(self.body)
            return decode(self.body)
        except msgspec.ValidationError as error:
            what = misfit(error, self.body, decode)
            text = f"the answer of {self.url_without_secrets} is not of the shape that is expected: {what}"
            raise Permanent("changed_shape", text) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_json(self.url_without_secrets, self.body, error) from error


@frozen
class Get(Paced[Response]):
    """Fetches `path` under the client's base URL, with query parameters in the given order.

    `meanings` are those of the API's own error codes that are not plain from the HTTP status. A question `of_budget`,
    after what is left of one, is never held back by it.

    >>> Get("/simple/price", (("ids", "bitcoin"), ("vs_currencies", "usd"))).path
    '/simple/price'
    """

    path: str = field(validator=_can_be_sent)
    params: tuple[tuple[str, str], ...] = field(default=(), validator=_can_be_sent)
    meanings: tuple[Meaning, ...] = field(default=(), repr=False)
    of_budget: bool = False
