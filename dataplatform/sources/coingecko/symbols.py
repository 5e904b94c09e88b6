"""Coins called by their symbols: BTC is bitcoin, where CoinGecko leaves no doubt.

CoinGecko's ids have no capitals, so what has one is a symbol, or else an id written large (Bitcoin): it is looked up as
both, among the top-ranked coins with the symbol and among all ids. What fits several coins is refused with their ids:
none of them is taken for the one that was meant. Which coin was taken, a note says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from dataplatform.dsl.operations.answers import joined, read_rows
from dataplatform.errors import Permanent
from dataplatform.result import Success
from dataplatform.sources.coingecko import transforms
from dataplatform.sources.coingecko.api import Answer, decode, id_of

__all__ = ["ids_of", "is_symbol"]

SHOWN = 5


class SymbolRow(msgspec.Struct, frozen=True):
    """The fields used of one row of `/coins/markets`; the rows come by market cap."""

    id: str
    symbol: str


def is_symbol(coin: str) -> bool:
    """Tell whether a coin is called by its symbol, or by its id written large.

    >>> is_symbol("BTC"), is_symbol("bitcoin"), is_symbol("usd-coin")
    (True, False, False)
    """
    return coin != coin.lower()


def ids_of(coins: Sequence[str], of_symbols: Sequence[Answer], of_ids: Sequence[Answer]) -> Success[list[str]]:
    """Return the coins by their ids, each once, in their order; what is neither a symbol nor an id is taken for an id.

    The answers are those about what was looked up as symbols, and as ids. Raises `Permanent("ambiguous_symbol")` for
    what fits several coins.
    """
    rows = joined(
        read_rows(decode(answer, list[msgspec.Raw]), answer.endpoint.path, SymbolRow, _named) for answer in of_symbols
    )
    known = transforms.coin_ids(of_ids)
    fitting: dict[str, dict[str, None]] = {coin_id: {coin_id: None} for coin_id in known.data}
    for row in rows.found:
        fitting.setdefault(row.symbol.lower(), {})[row.id] = None
    taken = {coin: _id_of(coin, list(fitting.get(coin.lower(), ()))) for coin in coins}
    found = {coin: taken[coin] for coin in coins if is_symbol(coin) and coin.lower() in fitting}
    return rows.success(list(dict.fromkeys(taken.values())), *_told(found), *known.notes)


def _named(row: SymbolRow) -> SymbolRow:
    id_of(row.id)
    return row


def _id_of(coin: str, fitting: Sequence[str]) -> str:
    if not is_symbol(coin) or not fitting:
        return coin.lower()
    if len(fitting) == 1:
        return fitting[0]
    text = f"{coin!r} may be any of several coins, by id or by symbol: {_first(fitting)}"
    raise Permanent("ambiguous_symbol", text, remedy="ask by the id")


def _told(found: Mapping[str, str]) -> list[str]:
    return [_first(f"{coin!r} was taken for {coin_id}" for coin, coin_id in found.items())] if found else []


def _first(parts: Iterable[str]) -> str:
    every = list(parts)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more
