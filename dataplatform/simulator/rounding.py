"""How CoinGecko writes numbers and times: whole numbers when they are large, fewer decimals the larger they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeAlias

from dataplatform.simulator.currencies import CURRENCIES

__all__ = ["Number", "amount", "candle_price", "clock_time", "iso_time", "milliseconds", "percentage", "price"]

Number: TypeAlias = int | float
"""What a JSON number is read as: an int without a decimal point, else a float."""

_WHOLE_FROM = 10_000
_CENTS_FROM = 1.1
_SIX_DECIMALS_FROM = 0.01


def price(value: float, vs_currency: str = "usd") -> Number:
    """Round a price as CoinGecko does; rounding never changes the order of two prices.

    >>> price(77_671.4), price(132.904), price(0.2561478), price(6.1234567e-06), price(0.99664066123, "btc")
    (77671, 132.9, 0.256148, 6.12346e-06, 0.99664066)
    """
    if value >= _WHOLE_FROM:
        return round(value)
    in_coins = CURRENCIES[vs_currency].coin is not None
    if value >= _CENTS_FROM:
        return round(value, 6 if in_coins else 2)
    if value >= _SIX_DECIMALS_FROM:
        return round(value, 8 if in_coins else 6)
    return float(f"{value:.6g}")


def candle_price(value: float, vs_currency: str) -> float:
    """Round a price of a candle: the same, but always a float, so 77671.0."""
    return float(price(value, vs_currency))


def amount(value: float) -> Number:
    """Round a market capitalisation or a volume: whole from 1000 on.

    >>> amount(33_235_034_316.7), amount(12.3456789)
    (33235034317, 12.345679)
    """
    return round(value) if abs(value) >= 1_000 else round(value, 6)  # noqa: PLR2004


def percentage(value: float) -> float:
    """Round a change in percent to five decimals."""
    return round(value, 5)


def milliseconds(seconds: float) -> int:
    """Return a Unix time in whole milliseconds."""
    return round(seconds * 1000)


def iso_time(seconds: float) -> str:
    """Write a Unix time as `2026-05-18T12:49:21.599Z`."""
    return _utc(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_time(seconds: float) -> str:
    """Write a Unix time as tickers do: `2026-05-18T13:37:29+00:00`."""
    return _utc(seconds).isoformat(timespec="seconds")


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
