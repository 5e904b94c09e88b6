"""The checks of arguments, the same for every source and target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataplatform.dsl.records.kinds import kinds
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.records.rules import shown
from dataplatform.dsl.records.timeframes import check_timeframe as timeframe
from dataplatform.dsl.records.timeframes import length
from dataplatform.errors import Permanent, PlatformError

__all__ = [
    "coin_id",
    "coin_ids",
    "currencies",
    "date_range",
    "days",
    "history_currency",
    "keys",
    "level1",
    "limit",
    "records",
    "records_of",
    "timeframe",
]

MOST_COINS = 10_000
LONGEST_ID = 128
PRICED_IN = ("usd", "btc", "eth")
MOST_DAYS = 5_000
MOST_CANDLES = 10_000


def coin_id(value: Any) -> PlatformError | None:
    """Refuse what cannot be a coin's id."""
    if not isinstance(value, str):
        return _bad(f"a coin id is text like 'bitcoin', got {shown(value)}")
    strange = not value.isprintable() or any(c in value for c in " ,/?#&") or not value.strip(".")
    if len(value) > LONGEST_ID or strange:
        return _bad(f"{shown(value)} is no coin id; one looks like 'bitcoin' or 'usd-coin'")
    return None


def coin_ids(values: Any) -> PlatformError | None:
    """Refuse anything but 1 to 10,000 coin ids."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        return _bad(f"expected a list of coin ids, got {shown(values)}")
    if not 1 <= len(values) <= MOST_COINS:
        return _bad(f"expected 1 to {MOST_COINS} coin ids, got {len(values)}")
    return next((error for value in values if (error := coin_id(value))), None)


def keys(name: str, values: Any) -> PlatformError | None:
    """Refuse anything but 1 to 10,000 texts by which messages of a topic are keyed; `name` is the argument's."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        return _bad(f"{name}: expected a list, got {shown(values)}")
    if not 1 <= len(values) <= MOST_COINS:
        return _bad(f"{name}: expected 1 to {MOST_COINS}, got {len(values)}")
    return next((error for value in values if (error := _name(name, "" if value is None else value))), None)


def currencies(options: Any) -> PlatformError | None:
    """Refuse anything but options, and currencies that a price record has no field for."""
    if not isinstance(options, CurrentPricesOptions):
        return _bad(f"options: expected CurrentPricesOptions, got {shown(options)}")
    unknown = [currency for currency in options.vs_currencies if currency not in PRICED_IN]
    if unknown:
        return _bad(f"{shown(unknown[0])} is no currency of a price; there are {', '.join(PRICED_IN)}")
    return None


def limit(value: Any) -> PlatformError | None:
    """Refuse anything but None and a whole number from 1 to 10,000."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_COINS):
        return None
    return _bad(f"limit: expected a whole number from 1 to {MOST_COINS}, got {shown(value)}")


def days(value: Any) -> PlatformError | None:
    """Refuse anything but a whole number of days from 1 to 5,000."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_DAYS:
        return None
    return _bad(f"days: expected a whole number from 1 to {MOST_DAYS}, got {shown(value)}")


def history_currency(value: Any) -> PlatformError | None:
    """Refuse any currency but US dollars, in which histories are kept."""
    return None if value == "usd" else _bad(f"vs_currency: price histories are in 'usd', got {shown(value)}")


def date_range(query: Any) -> PlatformError | None:
    """Refuse anything but a query of a known timeframe whose start lies before its end, of at most 10,000 candles."""
    if not isinstance(query, DateRangeOHLCVQuery):
        return _bad(f"expected a DateRangeOHLCVQuery, got {shown(query)}")
    if error := coin_id(query.ticker) or timeframe(query.interval) or _name("market", query.market):
        return error
    if query.date_start >= query.date_end:
        return _bad(f"date_start {query.date_start.isoformat()} is not before date_end {query.date_end.isoformat()}")
    if (query.date_end - query.date_start) / length(query.interval) > MOST_CANDLES:
        return _bad(f"the range holds more than {MOST_CANDLES} candles of {query.interval}; ask in parts")
    return None


def level1(query: Any) -> PlatformError | None:
    """Refuse anything but a query of one coin, its exchange and market being names where they are given."""
    if not isinstance(query, Level1Query):
        return _bad(f"expected a Level1Query, got {shown(query)}")
    return coin_id(query.ticker) or _name("exchange", query.exchange) or _name("market", query.market)


def records(values: Any) -> PlatformError | None:
    """Refuse anything but a sequence of records, of any kinds."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        return _bad(f"expected a list of records, got {shown(values)}")
    types = {kind.type for kind in kinds()}
    for index, value in enumerate(values):
        if type(value) not in types:
            return _bad(f"expected a record at index {index}, got {shown(value)}")
    return None


def records_of(cls: type[Any], values: Any) -> PlatformError | None:
    """Refuse anything but a sequence of records of the type."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        return _bad(f"expected a list of {cls.__name__}, got {shown(values)}")
    for index, value in enumerate(values):
        if type(value) is not cls:
            return _bad(f"expected {cls.__name__} at index {index}, got {shown(value)}")
    return None


def _name(what: str, value: Any) -> PlatformError | None:
    if value is None or (isinstance(value, str) and 1 <= len(value) <= LONGEST_ID and value.isprintable()):
        return None
    return _bad(f"{what}: expected a name of 1 to {LONGEST_ID} characters, got {shown(value)}")


def _bad(message: str) -> Permanent:
    return Permanent("bad_argument", message)
