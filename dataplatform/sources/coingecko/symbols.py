"""Coins called by their symbols: BTC is bitcoin, where CoinGecko's top-ranked coins leave no doubt.

CoinGecko's ids have no capitals, so what has one is a symbol, or else an id written large (Bitcoin). A symbol that
several coins share is refused with their ids: none of them is taken for the one that was meant.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dataplatform.errors import Permanent
from dataplatform.sources.coingecko.answers import Answer, decode

__all__ = ["ids_of", "is_symbol"]

SHOWN = 5


class SymbolRow(msgspec.Struct, frozen=True):
    """The fields used of one row of `/coins/markets`; the rows come by market cap."""

    id: str
    symbol: str


def is_symbol(coin: str) -> bool:
    """Tell whether a coin is called by its symbol.

    >>> is_symbol("BTC"), is_symbol("bitcoin"), is_symbol("usd-coin")
    (True, False, False)
    """
    return coin != coin.lower()


def ids_of(coins: Sequence[str], answers: Sequence[Answer]) -> list[str]:
    """Return the coins by their ids, each once, in their order; what no coin has for a symbol is taken for an id.

    Raises `Permanent("ambiguous_symbol")` for one that several coins have.
    """
    by_symbol: dict[str, dict[str, None]] = {}
    for answer in answers:
        for row in decode(answer, list[SymbolRow]):
            by_symbol.setdefault(row.symbol.lower(), {})[row.id] = None
    return list(dict.fromkeys(_id_of(coin, list(by_symbol.get(coin.lower(), ()))) for coin in coins))


def _id_of(coin: str, found: list[str]) -> str:
    if not is_symbol(coin) or not found:
        return coin.lower()
    if len(found) == 1:
        return found[0]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    text = f"{coin!r} is the symbol of several coins; by market cap: {', '.join(found[:SHOWN])}{more}"
    raise Permanent("ambiguous_symbol", text, remedy="ask by the id")
