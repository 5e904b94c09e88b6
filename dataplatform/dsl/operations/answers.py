"""Answers read row by row: an odd one is set aside, what nobody asked for is left out, what is unknown is named.

The rows of an answer, read one by one: an odd one is set aside with its reason, and never costs the others. So does an
optional field of a row: where it is odd it is unknown, and the row stays. Matching an answer to its question: what
nobody asked for is never taken for what was, whoever answers. The errors of what a source lacks: coins it has never
heard of, and intervals of which it has no candles.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

import msgspec
from attrs import field, frozen

from dataplatform.base.decoding import decode_leniently, misfit
from dataplatform.dsl.records.kinds import Kind
from dataplatform.dsl.records.queries import Level1Query
from dataplatform.dsl.records.timeframes import length
from dataplatform.dsl.records.types import CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = [
    "SHOWN",
    "UNKNOWN",
    "OddRow",
    "ParsedRows",
    "asked_for",
    "joined",
    "latest_of_kind",
    "level1_asked_for",
    "named_coins",
    "no_candles",
    "read_rows",
    "tells_unknown_coin",
    "unknown_coin",
]

Row = TypeVar("Row")
T = TypeVar("T")
MOST_TOLD = 5  # odd rows, and odd fields, that are told of one by one
REMEDY = "see whether its API has changed, or the client leads elsewhere"


@frozen
class OddRow:
    """A row that is not valid: its bytes as they came, and why."""

    raw: bytes = field(repr=False)
    error: Permanent

    @property
    def subject(self) -> str | None:
        """Whom the row is about, where it says so."""
        return _subject_of_row(self.raw)


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
    subject = _subject_of_row(raw)
    about = "" if subject is None else f" ({subject!r:.60})"
    return f"{endpoint}{about}: {placed}"


def _first(what: str, told: Sequence[str]) -> list[str]:
    more = len(told) - MOST_TOLD
    return [f"{what}: {one}" for one in told[:MOST_TOLD]] + ([f"{what}: {more} more"] if more > 0 else [])


class _Named(msgspec.Struct):
    id: str


def _subject_of_row(raw: bytes) -> str | None:
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


OfCoin = TypeVar("OfCoin", CryptoPriceData, CryptoOHLCVData)
MOST_NAMED = 3  # of the strangers in an answer


def asked_for(
    answer: Success[list[OfCoin]], asked: str, fits: Callable[[OfCoin], bool], source: str
) -> Result[list[OfCoin]]:
    """Return the records that fit the question; a note names the others.

    Fails with `changed_shape` where the answer holds nothing but others. One that is empty stays so.
    """
    fitting = [record for record in answer.data if fits(record)]
    if len(fitting) == len(answer.data):
        return answer
    others = dict.fromkeys(_subject_of_record(record) for record in answer.data if not fits(record))
    told = f"{source} answered with {', '.join(list(others)[:MOST_NAMED])}{', …' if len(others) > MOST_NAMED else ''}"
    if not fitting:
        return Failure(_mismatch(f"{told} when it was asked for {asked}"))
    return Success(fitting, (*answer.notes, f"{told} besides what it was asked for; that was left out"))


def latest_of_kind(kind: Kind, keys: Sequence[str], source: str, answer: Result[list[Any]]) -> Result[list[Any]]:
    """Return the latest record of each key, in the keys' order; fails where there is none, or none of what was asked.

    A note tells how many others the answer held.
    """
    if isinstance(answer, Failure):
        return answer
    named = ", ".join(map(repr, keys[:MOST_NAMED])) + (", …" if len(keys) > MOST_NAMED else "")
    key_of, latest = attrgetter(kind.message_key), dict[str, Any]()
    fitting = [record for record in answer.data if type(record) is kind.type and key_of(record) in keys]
    for record in sorted(fitting, key=attrgetter(kind.time)):
        latest[key_of(record)] = record
    if not latest and answer.data:
        return Failure(_mismatch(f"{source} answered with others when it was asked for {kind.name} of {named}"))
    if not latest:
        return Failure(Permanent("not_found", f"{source} has no {kind.name} of {named}"))
    strangers = len(answer.data) - len(fitting)
    notes = (f"{source} answered {strangers} records besides what it was asked for; they were left out",)
    return Success([latest[key] for key in keys if key in latest], (*answer.notes, *(notes if strangers else ())))


def level1_asked_for(answer: Success[Level1Data], query: Level1Query, source: str) -> Result[Level1Data]:
    """Return the answer; fails with `changed_shape` where it is of another ticker, exchange or market."""
    found = answer.data
    exchange, market = query.exchange or found.exchange, query.market or found.market
    if (found.ticker, found.exchange, found.market.upper()) == (query.ticker, exchange, market.upper()):
        return answer
    told = f"{source} answered with {found.ticker!r} on {found.market} of {found.exchange}"
    return Failure(_mismatch(f"{told} when it was asked for {query.ticker!r} on {market} of {exchange}"))


def _subject_of_record(record: CryptoPriceData | CryptoOHLCVData) -> str:
    return f"{record.coin_id!r}" + (f" {record.timeframe}" if isinstance(record, CryptoOHLCVData) else "")


def _mismatch(text: str) -> Permanent:
    return Permanent("changed_shape", text, remedy="see whether its API has changed, or the client leads elsewhere")


SHOWN = 5  # of the coins asked for
UNKNOWN = "knows no coin"


def named_coins(coin_ids: Sequence[str]) -> str:
    """Return the ids of coins as an error names them, the first few of many."""
    return ", ".join(map(repr, coin_ids[:SHOWN])) + (", …" if len(coin_ids) > SHOWN else "")


def unknown_coin(coin: str, source: str) -> Permanent:
    """Return the error of a coin that a source has never heard of."""
    return Permanent("not_found", f"{source} {UNKNOWN} {coin!r}", remedy="see get_available_tickers")


def tells_unknown_coin(error: PlatformError) -> bool:
    """Tell whether an error, perhaps of a source behind other platforms, is that of a coin that the source lacks.

    >>> tells_unknown_coin(unknown_coin("bitcoinn", "history")), tells_unknown_coin(Permanent("not_found", "no row"))
    (True, False)
    """
    return error.code == "not_found" and UNKNOWN in error.message


def no_candles(source: str, interval: str, coins: Sequence[str], others: Iterable[str]) -> Permanent:
    """Return the error of known coins that have no candles of an interval, which names the intervals that they have.

    >>> str(no_candles("history", "15m", ["bitcoin"], {"4d", "30m", "4h"}))
    "not_found: history has no candles of 15m of 'bitcoin'; there are 30m, 4h, 4d; ask for one of those"
    """
    there = sorted(set(others) - {interval}, key=length)
    text = f"{source} has no candles of {interval} of {named_coins(coins)}"
    if there:
        return Permanent("not_found", f"{text}; there are {', '.join(there)}", remedy="ask for one of those")
    return Permanent("not_found", f"{text}, nor of any other interval")
