"""The simulated market: prices, volumes and candles as a pure function of seed and time."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from attrs import frozen

from dataplatform.simulator.coins import COINS, Coin
from dataplatform.simulator.currencies import CURRENCIES
from dataplatform.simulator.path import HALF_HOUR, Noise, Path

__all__ = ["DAY", "HOUR", "Candle", "Market", "UnknownCoinError", "UnknownCurrencyError", "utc_now"]

HOUR = 3_600.0
DAY = 86_400.0

_MARKET_VOLATILITY = 0.019
_PATHS_KEPT = 4_096
_CANDLES_KEPT = 2**15
_COINS_BY_ID = {coin.id: coin for coin in COINS}


class UnknownCoinError(LookupError):
    """No coin has this id."""


class UnknownCurrencyError(LookupError):
    """Prices are not counted in this currency."""


@frozen
class Candle:
    """What a price did from `opened` to `closed` (Unix seconds); every price in between is within low and high."""

    opened: float
    closed: float
    open: float
    high: float
    low: float
    close: float


def utc_now() -> datetime:
    """Return the machine's time, timezone-aware, in UTC."""
    return datetime.now(UTC)


class Market:
    """300 coins whose prices move with the clock and are the same in every process with the same seed.

    Args:
        seed: which of the possible markets it is.
        step: seconds between two refreshes of the prices, as an exchange of data has them.
        now: where it reads the time, timezone-aware.

    >>> from datetime import timedelta
    >>> year_ago = utc_now() - timedelta(days=365)
    >>> Market(seed=7).price("bitcoin", "usd", year_ago) == Market(seed=7).price("bitcoin", "usd", year_ago)
    True
    """

    def __init__(self, seed: int = 1, step: float = 1.0, now: Callable[[], datetime] = utc_now) -> None:
        if not (math.isfinite(step) and step > 0):
            raise ValueError(f"step is {step}: the seconds between two refreshes must be more than 0")
        self.seed = seed
        self.step = step
        self.now = now
        self.coins: tuple[Coin, ...] = COINS
        self._noise = Noise(seed)
        self._paths = lru_cache(maxsize=_PATHS_KEPT)(self._price_path)
        self._volumes = lru_cache(maxsize=_PATHS_KEPT)(self._volume_path)
        self._candles = lru_cache(maxsize=_CANDLES_KEPT)(self._candle)
        self._half_hours = lru_cache(maxsize=_PATHS_KEPT)(self._low_and_high_before)
        self._rankings = lru_cache(maxsize=4)(self._ranking)

    def coin(self, coin_id: str) -> Coin:
        """Return the coin of this id, or raise `UnknownCoinError`."""
        try:
            return _COINS_BY_ID[coin_id]
        except KeyError:
            raise UnknownCoinError(coin_id) from None

    def refreshed(self, moment: datetime | None = None) -> float:
        """Return the Unix time of the latest refresh at `moment` (None: now); a naive time raises `ValueError`."""
        moment = self.now() if moment is None else moment
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone")
        return math.floor(moment.timestamp() / self.step) * self.step

    def price(self, coin_id: str, vs_currency: str = "usd", moment: datetime | None = None) -> float:
        """Return what one coin cost at `moment` (None: now), in the currency, not rounded."""
        return self.price_path(coin_id, vs_currency).at(self.refreshed(moment))

    def price_path(self, coin_id: str, vs_currency: str = "usd") -> Path:
        """Return the curve of the price of one coin."""
        return self._paths(coin_id, vs_currency)

    def volume_path(self, coin_id: str, vs_currency: str = "usd") -> Path:
        """Return the curve of what was traded of the coin in the 24 hours before."""
        return self._volumes(coin_id, vs_currency)

    def market_cap_path(self, coin_id: str, vs_currency: str = "usd") -> Path:
        """Return the curve of what all coins in circulation are worth."""
        return self.price_path(coin_id, vs_currency).times(self.coin(coin_id).supply)

    def dollars(self, vs_currency: str, seconds: float) -> float:
        """Return what one unit of a currency is worth in US dollars at a Unix time."""
        return self._currency_path(vs_currency).at(seconds)

    def candle(self, coin_id: str, vs_currency: str, half_hours: int, first: int) -> Candle:
        """Return the candle of `half_hours` that begins with the half hour `first`, both counted from 1970."""
        return self._candles(coin_id, vs_currency, half_hours, first)

    def low_and_high_24h(self, coin_id: str, vs_currency: str, seconds: float) -> tuple[float, float]:
        """Return the lowest and highest price of the last 24 hours: of the half-hourly prices and the latest."""
        low, high = self._half_hours(coin_id, vs_currency, int(seconds // HALF_HOUR))
        price = self.price_path(coin_id, vs_currency).at(seconds)
        return min(low, price), max(high, price)

    def ranking(self, seconds: float) -> tuple[Coin, ...]:
        """Return the coins by market capitalisation, the largest first; those of unknown capitalisation come last."""
        return self._rankings(seconds)

    def _currency_path(self, code: str) -> Path:
        try:
            currency = CURRENCIES[code]
        except KeyError:
            raise UnknownCurrencyError(code) from None
        if currency.coin is not None:
            return self.price_path(currency.coin).times(currency.units)
        weights = {f"currency/{code}": currency.volatility} if currency.volatility else {}
        return Path(self._noise, currency.units, weights)

    def _price_path(self, coin_id: str, vs_currency: str) -> Path:
        if vs_currency != "usd":
            return self.price_path(coin_id).over(self._currency_path(vs_currency))
        coin = self.coin(coin_id)
        weights = {f"coin/{coin_id}": coin.volatility}
        if coin.follows is not None:
            weights |= self.price_path(coin.follows).weights
        elif coin.market_beta:
            weights["market"] = coin.market_beta * _MARKET_VOLATILITY
        return Path(self._noise, coin.middle, weights)

    def _volume_path(self, coin_id: str, vs_currency: str) -> Path:
        if vs_currency != "usd":
            return self.volume_path(coin_id).over(self._currency_path(vs_currency))
        coin = self.coin(coin_id)
        day = coin.middle * coin.supply * coin.turnover
        return Path(self._noise, day, {"volume": 0.06, f"volume/{coin_id}": 0.09})

    def _candle(self, coin_id: str, vs_currency: str, half_hours: int, first: int) -> Candle:
        path = self.price_path(coin_id, vs_currency)
        cell = half_hours & -half_hours
        ranges = [path.low_and_high(cell, start) for start in range(first, first + half_hours, cell)]
        start, end = first * HALF_HOUR, (first + half_hours) * HALF_HOUR
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        return Candle(start, end, path.at(start), high, low, path.at(end))

    def _low_and_high_before(self, coin_id: str, vs_currency: str, half_hour: int) -> tuple[float, float]:
        prices = self.price_path(coin_id, vs_currency).at_half_hours(range(half_hour - 47, half_hour + 1))
        return min(prices), max(prices)

    def _ranking(self, seconds: float) -> tuple[Coin, ...]:
        def size(coin: Coin) -> float:
            return 0.0 if "market_cap" in coin.unknown else self.price_path(coin.id).at(seconds) * coin.supply

        return tuple(sorted(self.coins, key=size, reverse=True))
