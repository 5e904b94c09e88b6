"""The errors of what a source lacks: coins it has never heard of, and intervals of which it has no candles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataplatform.dsl.timeframes import length
from dataplatform.errors import Permanent, PlatformError

__all__ = ["SHOWN", "UNKNOWN", "named_coins", "no_candles", "tells_unknown_coin", "unknown_coin"]

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
