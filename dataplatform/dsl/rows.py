"""The rows of an answer, read one by one: an odd one is set aside with its reason, and never costs the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from attrs import field, frozen

from dataplatform.base.misfit import misfit
from dataplatform.errors import Permanent
from dataplatform.result import Success

__all__ = ["OddRow", "ParsedRows", "joined", "read_rows"]

Row = TypeVar("Row")
T = TypeVar("T")
SHOWN = 5  # odd rows that are told of one by one
REMEDY = "see whether its API has changed, or the client leads elsewhere"


@frozen
class OddRow:
    """A row that is not valid: its bytes as they came, and why."""

    raw: bytes = field(repr=False)
    error: Permanent

    @property
    def subject(self) -> str | None:
        """Whom the row is about, where it says so."""
        return _subject(self.raw)


@frozen
class ParsedRows(Generic[T]):
    """What was made of the valid rows, in their order, and the odd ones."""

    found: list[T]
    odd: list[OddRow]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said about the odd rows."""
        more = len(self.odd) - SHOWN
        told = [f"left out: {row.error.message}" for row in self.odd[:SHOWN]]
        return (*told, f"left out: {more} more") if more > 0 else tuple(told)

    def success(self, data: Any, *notes: str) -> Success[Any]:
        """Return an answer made of the rows; raises the first one's error where all of them are odd."""
        self.require_one()
        return Success(data, (*notes, *self.notes))

    def require_one(self) -> None:
        """Raise the error of the first row where all of them are odd: then the shape has changed."""
        if self.odd and not self.found:
            raise self.odd[0].error


def read_rows(
    raws: Sequence[msgspec.Raw] | Mapping[str, msgspec.Raw],
    endpoint: str,
    type_: type[Row],
    make: Callable[[Row], T],
    *,
    within: str = "$",
) -> ParsedRows[T]:
    """Decode each part of a list or of a map as the type, and make something of it.

    The list or map stands `within` an answer of the endpoint. `make` raises `ValueError` or `TypeError` for what it
    cannot take.

    >>> rows = read_rows([msgspec.Raw(b"1"), msgspec.Raw(b"null")], "/numbers", int, lambda number: number)
    >>> rows.found, rows.odd[0].error.message
    ([1], '/numbers: Expected `int`, got `null` - at `$[1]`')
    """
    found: list[T] = []
    odd: list[OddRow] = []
    decode = msgspec.json.Decoder(type_).decode
    for place, raw in raws.items() if isinstance(raws, Mapping) else enumerate(raws):
        try:
            found.append(make(decode(raw)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
            odd.append(_odd(bytes(raw), endpoint, f"{within}[{place!r:.60}]", decode, error))
    return ParsedRows(found, odd)


def _odd(raw: bytes, endpoint: str, place: str, decode: Callable[[bytes], object], error: Exception) -> OddRow:
    what = misfit(error, raw, decode) if isinstance(error, msgspec.ValidationError) else str(error)
    before, at, path = what.rpartition(" - at `$")
    placed = f"{before} - at `{place}{path}" if at else f"{what} - at `{place}`"
    subject = _subject(raw)
    about = "" if subject is None else f" ({subject!r:.60})"
    return OddRow(raw, Permanent("changed_shape", f"{endpoint}{about}: {placed}", remedy=REMEDY))


class _Named(msgspec.Struct):
    id: str


def _subject(raw: bytes) -> str | None:
    try:
        return msgspec.json.decode(raw, type=_Named).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def joined(parts: Iterable[ParsedRows[T]]) -> ParsedRows[T]:
    """Return the rows of several answers as those of one."""
    every = list(parts)
    return ParsedRows([one for rows in every for one in rows.found], [row for rows in every for row in rows.odd])
