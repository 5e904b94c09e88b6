"""What each argument of a tool means and what it may be: said once, for schemas, errors and checks alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_origin

import attrs
import msgspec
from attrs import field, frozen

from dataplatform.dsl import checks
from dataplatform.dsl.arguments import RENAMED
from dataplatform.dsl.kinds import Kind, kinds
from dataplatform.dsl.schema import KIND, camel_case

__all__ = ["MEANINGS", "MOST_POINTS", "POINTS", "Meaning", "key_meaning", "record_text", "records_text", "said"]

POINTS, MOST_POINTS = 200, 10_000
ID = {"min_length": 1, "max_length": checks.LONGEST_ID}


@frozen
class Meaning:
    """An argument: its text, in which `{…}` is filled in, its choices where it has some, the bounds of its value."""

    text: str
    choices: tuple[str, ...] = ()
    bounds: Mapping[str, Any] = field(factory=dict)
    items: Mapping[str, Any] | None = None


MEANINGS: Mapping[str, Meaning] = {
    "coin_id": Meaning("The coin's id, as bitcoin; not its symbol.", bounds=ID),
    "coin_ids": Meaning("Ids of coins, as bitcoin; not symbols.", bounds={"min_length": 1}, items=ID),
    "vs_currency": Meaning("The currency of the price.", checks.PRICED_IN),
    "vs_currencies": Meaning("The currencies of the prices.", checks.PRICED_IN, {"min_length": 1}),
    "include_change_7d": Meaning("Ask for the change in 7 days."),
    "interval": Meaning("How long a candle is. {intervals}"),
    "days": Meaning("How many days back from now.", bounds={"ge": 1, "le": checks.MOST_DAYS}),
    "date_start": Meaning("The first moment, as 2026-01-01T00:00:00Z."),
    "date_end": Meaning(f"The moment after the last; at most {checks.MOST_CANDLES} intervals later."),
    "market": Meaning("The pair, as BTC/USDT.", bounds=ID),
    "exchange": Meaning("The exchange, as binance.", bounds=ID),
    "limit": Meaning("How many ids at most.", bounds={"ge": 1, "le": checks.MOST_COINS}),
    "source": Meaning("Who is asked."),
    "target": Meaning("Where to write."),
    "every": Meaning("One price per interval, as 1h or 1d: the first of each."),
    "max_points": Meaning("More are thinned evenly.", bounds={"ge": 2, "le": MOST_POINTS}),
    "offset": Meaning("Where to go on in what was cut.", bounds={"ge": 0}),
    "all": Meaning("Every record whole, however many."),
    "all_refused": Meaning("Every refused record, however many."),
}


def key_meaning(name: str) -> Meaning:
    """Return what the keys mean by which the latest records of an added kind are asked for, as `tickers`."""
    return Meaning(f"The {name.replace('_', ' ')} of which the latest records are wanted.", (), {"min_length": 1}, ID)


def said(meaning: Meaning, form: Any, **words: Any) -> Any:
    """Return a wire form with the meaning's choices, bounds and text.

    >>> msgspec.json.schema(said(Meaning("How many.", bounds={"ge": 1}), int))
    {'description': 'How many.', 'type': 'integer', 'minimum': 1}
    """
    if meaning.choices:
        choice: Any = Literal[meaning.choices]
        form = list[choice] if get_origin(form) in {list, Annotated} else choice
    elif meaning.items is not None:
        form = list[Annotated[str, msgspec.Meta(**meaning.items)]]
    return Annotated[form, msgspec.Meta(description=meaning.text.format(**words), **meaning.bounds)]


def record_text(kind: Kind) -> str:
    """Return what a record of a kind holds, for a caller who writes one.

    >>> from dataplatform.dsl.kinds import OHLCV
    >>> record_text(OHLCV)
    'coinId, timestamp, open, high, low, close, interval, source; may have: symbol, exchangeId, volume, attribution'
    """
    named = [(camel_case(RENAMED.get(one.name, one.name)), one.default) for one in attrs.fields(kind.type) if one.init]
    given = ", ".join(name for name, default in named if default is attrs.NOTHING)
    more = ", ".join(name for name, default in named if default is not attrs.NOTHING)
    return f"{given}; may have: {more}"


def records_text() -> str:
    """Return what a list of records of several kinds holds."""
    return (
        f"Records, each with `{KIND}`, one of {', '.join(kind.name for kind in kinds())}, and what schema://KIND says."
    )
