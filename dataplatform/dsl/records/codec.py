"""The codec of topics: records to the JSON that `schema` says, and back, a whole batch at a time, column by column.

Building records column by column: the same rules as the constructor's, in half of its time.

The constructor runs each rule once per record. Here a rule runs on the least and the greatest value of a column of
numbers, because the rules of numbers are intervals, and on the distinct values of any other column.

Records whose time cannot be right: the one rule for what is read from topics, and for what is published.

The latest record wins. One that says it is of the year 9999 would hide all that come after it, and one of 1970 is of no
coin. So neither gets in: in a topic it is a dead letter, and a target refuses it. Rows that stand in tables already are
left out of what is asked for as the latest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec
from attrs import Attribute, define, field, fields, frozen
from msgspec.structs import asdict

from dataplatform.base.decoding import misfit
from dataplatform.dsl.records.kinds import DEAD_LETTERS, Kind
from dataplatform.dsl.records.rules import EARLIEST, latest_market_time, market_time, number, optional_number
from dataplatform.dsl.records.schema import struct_of
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Permanent

__all__ = ["Builder", "Codec", "Undecodable", "codec", "decode_plausible", "implausible"]

TYPED_BEFORE = (number, optional_number)  # what was decoded as a float is one


@frozen
class Column:
    """One field of a type, and the slot that its values go into."""

    attribute: Attribute[Any]
    fill: Callable[[Any, Any], None]

    def converted(self, values: Sequence[Any]) -> Sequence[Any]:
        convert: Any = self.attribute.converter
        return values if convert is None or convert in TYPED_BEFORE else list(map(convert, values))

    def check(self, values: Sequence[Any]) -> None:
        """Raise what the field's rule raises for any of the values."""
        rule = self.attribute.validator
        if self.attribute.default is None:
            values = [value for value in values if value is not None]
        if rule is None or not values:
            return
        numbers = isinstance(values[0], (float, int))
        for value in (min(values), max(values)) if numbers else set(values):
            rule(None, self.attribute, value)


@define
class Builder:
    """Builds records of one attrs class from objects with the same fields, as they are decoded from JSON.

    Their values have the right types already, and none is NaN, which has no place in an interval.
    """

    _type: type[Any]
    _columns: tuple[Column, ...] = field(init=False)

    @_columns.default
    def _columns_of_type(self) -> tuple[Column, ...]:
        slots = self._type.__dict__
        return tuple(Column(attribute, slots[attribute.name].__set__) for attribute in fields(self._type))

    def build(self, objects: Iterable[Any]) -> list[Record]:
        """Return a record for each object, or raise `ValueError` or `TypeError` when one of them breaks a rule."""
        rows = list(map(attrgetter(*[column.attribute.name for column in self._columns]), objects))
        records: list[Any] = list(map(object.__new__, repeat(self._type, len(rows))))
        for column, values in zip(self._columns, zip(*rows, strict=True), strict=False):  # no rows: no columns
            converted = column.converted(values)
            column.check(converted)
            deque(map(column.fill, records, converted), maxlen=0)
        if whole := getattr(self._type, "__attrs_post_init__", None):
            deque(map(whole, records), maxlen=0)
        return records


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@frozen
class Undecodable:
    """The message at `index` of a batch that is no valid record, and why."""

    index: int
    error: Permanent


class Codec:
    """Encodes and decodes one kind of record.

    It is the fast path of `to_json` and `from_json`, and reads and writes the same form. What is written says its
    `schemaVersion` besides; what is read may be of an older or a newer one: unknown fields are ignored, missing
    optional ones take their default.

    >>> from dataplatform.dsl.records.kinds import PRICES
    >>> codec(PRICES).decode(b'{"coinId": "bitcoin"}')
    Traceback (most recent call last):
    ...
    dataplatform.errors.Permanent: malformed: Object missing required field `symbol`
    """

    def __init__(self, kind: Kind) -> None:
        self._type = kind.type
        self._builder = Builder(kind.type)
        known = struct_of(kind.type)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(known).decode
        self._values: Callable[[Any], Sequence[Any]] = attrgetter(*known.__struct_fields__)
        self._written = struct_of(kind.type, version=kind.version)
        self._encoder = msgspec.json.Encoder()

    def encode(self, records: Iterable[Record]) -> list[bytes]:
        """Return one JSON object per record, UTF-8."""
        encode, struct, values = self._encoder.encode, self._written, self._values
        return [encode(struct(*values(record))) for record in records]

    def decode(self, raw: bytes) -> Record:
        """Return the record, or raise `Permanent`: `malformed` is no such JSON, `invalid` breaks a rule of the type."""
        if not raw:
            raise Permanent("malformed", "an empty message (a tombstone?)")
        try:
            wire = self._decode(raw)
        except msgspec.ValidationError as error:
            raise Permanent("malformed", misfit(error, raw, self._decode)) from error
        except UNREADABLE as error:
            raise Permanent("malformed", str(error)) from error
        try:
            record: Record = self._type(**asdict(wire))
        except (ValueError, TypeError) as error:
            raise Permanent("invalid", str(error)) from error
        return record

    def decode_all(self, raws: Sequence[bytes | None]) -> tuple[list[Record], list[Undecodable]]:
        """Decode a whole batch, in order; what cannot be decoded stops nothing.

        A message without a value (None) is malformed. The batch is built by column, which takes half the time of
        record by record; when that finds fault, it is decoded once more to see which records are to blame.
        """
        try:
            return self._builder.build([*map(self._decode, raws)]), []  # type: ignore[arg-type]  # None raises TypeError
        except (*UNREADABLE, ValueError, TypeError):
            return self._decode_each(raws)

    def _decode_each(self, raws: Sequence[bytes | None]) -> tuple[list[Record], list[Undecodable]]:
        records: list[Record] = []
        failures: list[Undecodable] = []
        for index, raw in enumerate(raws):
            try:
                records.append(self.decode(raw or b""))
            except Permanent as error:
                failures.append(Undecodable(index, error))
        return records, failures


@cache
def codec(kind: Kind) -> Codec:
    """Return the codec of a kind."""
    return Codec(kind)


REMEDY = "check the clock, and the unit of time, of whoever made the record"


def implausible(kind: Kind, records: Sequence[Record], now: datetime) -> dict[int, Permanent]:
    """Return why records cannot be of the time that they say, by their index; empty for valid records."""
    if kind is DEAD_LETTERS or not records:
        return {}
    times = list(map(attrgetter(kind.time), records))
    if min(times) >= EARLIEST and max(times) <= latest_market_time(now):
        return {}
    errors = {}
    for index, time in enumerate(times):
        try:
            market_time(kind.time, time, now)
        except ValueError as error:
            errors[index] = Permanent("invalid", str(error), remedy=REMEDY)
    return errors


def decode_plausible(kind: Kind, raws: Sequence[bytes | None], now: datetime) -> tuple[list[Record], list[Undecodable]]:
    """Decode messages as the kind's codec does; a record of an impossible time is no more a record than the others."""
    records, failures = codec(kind).decode_all(raws)
    errors = implausible(kind, records, now)
    if not errors:
        return records, failures
    broken = {failure.index for failure in failures}
    places = [index for index in range(len(raws)) if index not in broken]
    failures = [*failures, *(Undecodable(places[at], error) for at, error in errors.items())]
    failures.sort(key=attrgetter("index"))
    return [record for at, record in enumerate(records) if at not in errors], failures
