"""What prices are counted in: CoinGecko's `vs_currencies`, with the worth of each."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["CURRENCIES", "Currency"]


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
