"""What a source polls: which operation, for which coins, how often; and which of it is new, or never comes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar

from attrs import Attribute, define, field, frozen, validators

from dataplatform.dsl import checks
from dataplatform.dsl.kinds import Kind
from dataplatform.dsl.types import Record
from dataplatform.dsl.validators import texts

__all__ = ["Absent", "FeedOptions", "Seen"]

AnyRecord = TypeVar("AnyRecord", bound=Record)
OPERATIONS = ("get_current_prices", "get_market_analytics")


def _coins(feed: FeedOptions, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    del attribute
    if feed.operation == "get_current_prices":
        if bool(value) == (feed.top is not None):
            raise ValueError("get_current_prices needs either coins = ['bitcoin', …] or top = 100")
        if value and (error := checks.coin_ids(value)):
            raise ValueError(error.message)
    elif value or feed.top is not None:
        raise ValueError(f"{feed.operation} takes neither coins nor top")


@frozen(kw_only=True)
class FeedOptions:
    """One thing to poll: an operation, for which coins, how often (seconds)."""

    operation: str = field(validator=validators.in_(OPERATIONS), metadata={"help": "the operation to poll"})
    top: int | None = field(
        default=None,
        validator=validators.optional([validators.ge(1), validators.le(5_000)]),
        metadata={"help": "the so many coins with the largest market cap"},
    )
    coins: tuple[str, ...] = field(default=(), converter=texts, validator=_coins, metadata={"help": "ids of the coins"})
    every: float = field(default=60.0, validator=validators.ge(0.1), metadata={"help": "how often to poll"})


@define(eq=False)
class Seen:
    """Remembers the time of what was polled last, by kind and coin, so that only what has changed is sent on."""

    _times: dict[tuple[str, str], datetime] = field(factory=dict, init=False)

    def new(self, kind: Kind, records: Sequence[AnyRecord]) -> list[Record]:
        """Return the records that are of another time than the last ones of their coins, and remember them."""
        of, time = attrgetter(kind.message_key), attrgetter(kind.time)
        new: list[Record] = [record for record in records if self._times.get((kind.name, of(record))) != time(record)]
        self._times |= {(kind.name, of(record)): time(record) for record in new}
        return new


@define(eq=False)
class Absent:
    """Remembers, by feed, the coins that it names and that did not come last, so that each change is told once."""

    _coins: dict[str, list[str]] = field(factory=dict, init=False)

    def changed(self, feed: str, coins: Sequence[str]) -> bool:
        """Tell whether these are others than last time, and remember them."""
        before, self._coins[feed] = self._coins.get(feed, []), list(coins)
        return before != self._coins[feed]

    def __len__(self) -> int:
        return sum(map(len, self._coins.values()))
