"""The rows of an answer, read one by one: an odd one is set aside with its reason, and never costs the others.

So does an optional field of a row: where it is odd it is unknown, and the row stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from attrs import field, frozen

from dataplatform.base.lenient import decode_leniently
from dataplatform.base.misfit import misfit
from dataplatform.errors import Permanent
from dataplatform.result import Success

__all__ = ["OddRow", "ParsedRows", "joined", "read_rows"]

Row = TypeVar("Row")
T = TypeVar("T")
SHOWN = 5  # odd rows, and odd fields, that are told of one by one
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
    """What was made of the valid rows, in their order; the odd rows; and what is wrong with fields of valid ones."""

    found: list[T]
    odd: list[OddRow]
    odd_fields: list[str] = field(factory=list)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said about the odd rows, and about odd fields."""
        left_out = _first("left out", [row.error.message for row in self.odd])
        return (*left_out, *_first("taken for unknown", self.odd_fields))

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
    optional: Collection[str] = (),
) -> ParsedRows[T]:
    """Decode each part of a list or of a map as the type, and make something of it.

    The list or map stands `within` an answer of the endpoint. `make` raises `ValueError` or `TypeError` for what it
    cannot take. An `optional` field that is not valid becomes null, and costs its row nothing else.

    >>> rows = read_rows([msgspec.Raw(b"1"), msgspec.Raw(b"null")], "/numbers", int, lambda number: number)
    >>> rows.found, rows.odd[0].error.message
    ([1], '/numbers: Expected `int`, got `null` - at `$[1]`')
    """
    found: list[T] = []
    odd: list[OddRow] = []
    odd_fields: list[str] = []
    decode = msgspec.json.Decoder(type_).decode
    for key, part in raws.items() if isinstance(raws, Mapping) else enumerate(raws):
        raw, place = bytes(part), f"{within}[{key!r:.60}]"
        try:
            row, wrong = decode_leniently(raw, decode, optional) if optional else (decode(raw), ())
            found.append(make(row))
            odd_fields += [_placed(what, raw, endpoint, place) for what in wrong]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
            what = misfit(error, raw, decode) if isinstance(error, msgspec.ValidationError) else str(error)
            told = _placed(what, raw, endpoint, place)
            odd.append(OddRow(raw, Permanent("changed_shape", told, remedy=REMEDY)))
    return ParsedRows(found, odd, odd_fields)


def _placed(what: str, raw: bytes, endpoint: str, place: str) -> str:
    """Say what is wrong with a row, whom it is about, and where in the answer it stands."""
    before, at, path = what.rpartition(" - at `$")
    placed = f"{before} - at `{place}{path}" if at else f"{what} - at `{place}`"
    subject = _subject(raw)
    about = "" if subject is None else f" ({subject!r:.60})"
    return f"{endpoint}{about}: {placed}"


def _first(what: str, told: Sequence[str]) -> list[str]:
    more = len(told) - SHOWN
    return [f"{what}: {one}" for one in told[:SHOWN]] + ([f"{what}: {more} more"] if more > 0 else [])


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
    return ParsedRows(
        [one for rows in every for one in rows.found],
        [row for rows in every for row in rows.odd],
        [told for rows in every for told in rows.odd_fields],
    )
