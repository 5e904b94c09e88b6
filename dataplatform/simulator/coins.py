"""The coins of the simulated market: those that exist, and invented ones that fill it up to its size."""

from __future__ import annotations

import hashlib
from typing import Final

from attrs import frozen

from dataplatform.simulator.listing import FOLLOWERS, LISTING, STABLE, Row

__all__ = ["COINS", "SIZE", "Coin", "chance"]

SIZE: Final = 300
_GOLD = frozenset(("tether-gold", "pax-gold"))
_LIMITED = 0.6
"""The part of the invented coins of which there can only be so many."""
_UNRANKED = ("market_cap", "market_cap_rank", "market_cap_change_24h", "market_cap_change_percentage_24h")


@frozen
class Coin:
    """One coin and how it behaves.

    Attributes:
        id: CoinGecko's id, such as `avalanche-2`; invented coins are called `sim-coin-N`.
        number: the place in the list, counted from 1: the rank while nothing moves.
        middle: the price in USD that it keeps returning to.
        supply: coins in circulation.
        max_supply: the most coins there can be; None where there is no limit.
        market_beta: how much of the common market's movement it follows.
        volatility: its own movement over a day, as a standard deviation of the logarithm of the price.
        follows: the id of the coin it is a claim on, or None.
        turnover: the day's volume as a part of the market capitalisation.
        unknown: the fields of CoinGecko's answers that are null for it.

    """

    id: str
    symbol: str
    name: str
    number: int
    middle: float
    supply: float
    max_supply: float | None
    market_beta: float
    volatility: float
    follows: str | None
    turnover: float
    unknown: frozenset[str]

    @property
    def invented(self) -> bool:
        """Whether no coin of this id exists."""
        return self.id.startswith("sim-coin-")

    @property
    def total_supply(self) -> float:
        """Coins issued: somewhat more than circulate where there is a limit, else the same."""
        return self.supply if self.max_supply is None else min(self.max_supply, self.supply * 1.04)


def chance(*key: object) -> float:
    """Return a number in [0, 1) that is always the same for the same key, whatever the seed.

    >>> chance("bitcoin", "turnover") == chance("bitcoin", "turnover")
    True
    """
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2.0**56


def _movement(coin_id: str) -> tuple[float, float]:
    """Return the market beta and the volatility of a coin."""
    if coin_id in STABLE:
        return 0.0, 0.0002
    if coin_id in FOLLOWERS:
        return 0.0, 0.0004
    if coin_id in _GOLD:
        return 0.05, 0.006
    if coin_id == "bitcoin":
        return 1.0, 0.006
    return 0.9 + 0.7 * chance(coin_id, "beta"), 0.012 + 0.022 * chance(coin_id, "volatility")


def _unknown(number: int) -> frozenset[str]:
    """Return the fields that CoinGecko would not know of the invented coin of this number."""
    fields: set[str] = set()
    if number % 7 == 0:
        fields |= {"price_change_percentage_7d_in_currency", "price_change_percentage_7d"}
    if number % 11 == 0:
        fields |= {"total_supply", "fully_diluted_valuation", "market_cap_fdv_ratio"}
    if number % 41 == 0:
        fields |= {*_UNRANKED, "fully_diluted_valuation", "market_cap_fdv_ratio", "circulating_supply"}
    if number % 43 == 0:
        fields |= {"price_change_24h", "price_change_percentage_24h", "price_change_percentage_24h_in_currency"}
    return frozenset(fields)


def _listed(number: int, row: Row) -> Coin:
    coin_id, symbol, name, price, millions, max_supply = row
    market_beta, volatility = _movement(coin_id)
    supply = millions * 1e6 / price
    return Coin(
        id=coin_id,
        symbol=symbol,
        name=name,
        number=number,
        middle=price,
        supply=round(supply if max_supply is None else min(supply, max_supply), 2),
        max_supply=max_supply,
        market_beta=market_beta,
        volatility=volatility,
        follows=FOLLOWERS.get(coin_id),
        turnover=0.35 if coin_id in STABLE else 0.01 + 0.08 * chance(coin_id, "turnover"),
        unknown=_unknown(number) if coin_id.startswith("sim-coin-") else frozenset(),
    )


def _invented(number: int) -> Row:
    coin_id = f"sim-coin-{number}"
    price = 10.0 ** round(3 - 9 * chance(coin_id, "price"), 1)
    millions = LISTING[-1][4] * 0.985 ** (number - len(LISTING))
    supply = millions * 1e6 / price
    limit = round(supply * (1 + chance(coin_id, "limit")), 0) if chance(coin_id, "limited") < _LIMITED else None
    return coin_id, f"sim{number}", f"Simulated Coin {number}", price, millions, limit


_ROWS = (*LISTING, *(_invented(number) for number in range(len(LISTING) + 1, SIZE + 1)))
COINS: Final = tuple(_listed(number, row) for number, row in enumerate(_ROWS, 1))
