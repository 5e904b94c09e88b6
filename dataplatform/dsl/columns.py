"""Building records column by column: the same rules as the constructor's, in half of its time.

The constructor runs each rule once per record. Here a rule runs on the least and the greatest value of a column of
numbers, because the rules of numbers are intervals, and on the distinct values of any other column.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any

from attrs import Attribute, define, field, fields, frozen

from dataplatform.dsl.types import Record
from dataplatform.dsl.validators import number, optional_number

__all__ = ["Builder"]

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
