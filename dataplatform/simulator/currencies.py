"""What prices are counted in: CoinGecko's `vs_currencies`, with the worth of each, and how it writes numbers.

How CoinGecko writes numbers and times: whole numbers when they are large, fewer decimals the larger they are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, TypeAlias

from attrs import frozen

__all__ = [
    "CURRENCIES",
    "Currency",
    "Number",
    "amount",
    "candle_price",
    "clock_time",
    "iso_time",
    "milliseconds",
    "percentage",
    "price",
]


@frozen
class Currency:
    """A currency to count prices in: worth a fixed number of coins, or of US dollars, around which it then moves.

    Attributes:
        code: as in the API, such as `eur`.
        units: how many of `coin` (or of US dollars, without one) one unit is worth.
        coin: the id of the coin that it is, or None for money and metals.
        volatility: its movement against the dollar over a day, as a standard deviation of the logarithm.

    """

    code: str
    units: float
    coin: str | None = None
    volatility: float = 0.0


_COINS = (
    "btc=bitcoin eth=ethereum ltc=litecoin bch=bitcoin-cash bnb=binancecoin eos=eos xrp=ripple xlm=stellar "
    "link=chainlink dot=polkadot yfi=yearn-finance sol=solana"
)
_MONEY_PER_DOLLAR = (
    "usd=1 aed=3.6725 ars=1390 aud=1.41 bdt=122.7 bhd=0.377 bmd=1 brl=5.02 cad=1.37 chf=0.785 clp=895 cny=6.8 czk=20.9 "
    "dkk=6.41 eur=0.858 gbp=0.744 gel=2.68 hkd=7.83 huf=308 idr=17650 ils=2.92 inr=95.6 jpy=158.9 krw=1498 kwd=0.3085 "
    "lkr=327 mmk=2099 mxn=17.3 myr=3.96 ngn=1373 nok=9.25 nzd=1.7 php=61.5 pkr=278.6 pln=3.64 rub=72.9 sar=3.751 "
    "sek=9.38 sgd=1.279 thb=32.6 try=45.6 twd=31.5 uah=44.2 vef=0.1001 vnd=26350 zar=16.5 xdr=0.731 xag=0.01315 "
    "xau=0.00022"
)
_PEGGED_TO_THE_DOLLAR = frozenset(("usd", "aed", "bhd", "bmd", "hkd", "sar", "vef"))
_METALS = frozenset(("xag", "xau"))
_PARTS_OF_A_BITCOIN = {"bits": 1e-6, "sats": 1e-8}


def _money(code: str, per_dollar: float) -> Currency:
    volatility = 0.0 if code in _PEGGED_TO_THE_DOLLAR else 0.008 if code in _METALS else 0.002
    return Currency(code, 1.0 / per_dollar, volatility=volatility)


def _all() -> tuple[Currency, ...]:
    coins = (pair.split("=") for pair in _COINS.split())
    money = (pair.split("=") for pair in _MONEY_PER_DOLLAR.split())
    return (
        *(Currency(code, 1.0, coin) for code, coin in coins),
        *(_money(code, float(per_dollar)) for code, per_dollar in money),
        *(Currency(code, units, "bitcoin") for code, units in _PARTS_OF_A_BITCOIN.items()),
    )


CURRENCIES: Final = {currency.code: currency for currency in _all()}
"""The currencies by code, in the order of `/simple/supported_vs_currencies`."""


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
