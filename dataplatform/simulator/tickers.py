"""The payloads about tickers: what a coin trades for, and what trades for it, by exchange and pair."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Final

from attrs import frozen

from dataplatform.simulator import query as refusals
from dataplatform.simulator.coins import Coin, chance
from dataplatform.simulator.currencies import amount, clock_time, price
from dataplatform.simulator.market import HOUR, Market
from dataplatform.simulator.query import Query

__all__ = ["EXCHANGES", "MOST_TICKERS", "Exchange", "coin_tickers", "exchange_tickers", "tickers_of"]

MOST_TICKERS: Final = 100
"""How many tickers an answer holds."""

_LARGEST = 40  # coins that are traded for others
_LONGEST_PAUSE = 40
_TARGET_COINS = {
    "USDT": "tether",
    "USDC": "usd-coin",
    "FDUSD": "first-digital-usd",
    "BTC": "bitcoin",
    "ETH": "ethereum",
}


@frozen
class Exchange:
    """A place of trade.

    Attributes:
        identifier: CoinGecko's id, such as `gdax` for Coinbase.
        name: as people know it.
        targets: what coins are traded for there.
        share: its part of a coin's whole volume.
        spread: the least distance between bid and ask, in percent.
        reach: how many of the coins are listed there, from the largest down, 1.0 being all.
        age: seconds since the latest trade; tickers older than eight hours are stale.
        premium: how far its prices are from everybody else's, as a factor less 1; 5 % and more is an anomaly.

    """

    identifier: str
    name: str
    targets: tuple[str, ...]
    share: float
    spread: float
    reach: float
    age: float = 0.0
    premium: float = 0.0


EXCHANGES: Final = (
    Exchange("binance", "Binance", ("USDT", "USDC", "FDUSD", "BTC"), 0.26, 0.010_01, 0.8),
    Exchange("gdax", "Coinbase Exchange", ("USD", "EUR"), 0.11, 0.010_01, 0.5),
    Exchange("okex", "OKX", ("USDT", "USDC"), 0.09, 0.010_02, 0.6),
    Exchange("bybit_spot", "Bybit", ("USDT", "USDC"), 0.085, 0.010_02, 0.6),
    Exchange("upbit", "Upbit", ("KRW", "BTC"), 0.075, 0.06, 0.4),
    Exchange("bitget", "Bitget", ("USDT",), 0.07, 0.010_3, 0.7),
    Exchange("gate", "Gate", ("USDT", "ETH"), 0.065, 0.012, 1.0),
    Exchange("kraken", "Kraken", ("USD", "EUR", "GBP"), 0.05, 0.010_1, 0.5),
    Exchange("kucoin", "KuCoin", ("USDT",), 0.04, 0.011, 0.9),
    Exchange("crypto_com", "Crypto.com Exchange", ("USD",), 0.04, 0.011, 0.5),
    Exchange("bitstamp", "Bitstamp by Robinhood", ("USD", "EUR", "GBP"), 0.02, 0.02, 0.2),
    Exchange("bitfinex", "Bitfinex", ("USD", "JPY"), 0.015, 0.015, 0.3),
    Exchange("sim-sleepy", "Simulated Sleepy Exchange", ("USDT",), 0.001, 0.9, 1.0, age=9 * HOUR),
    Exchange("sim-odd", "Simulated Odd Exchange", ("USDT",), 0.001, 1.4, 1.0, premium=0.07),
)
"""The exchanges of the market; the two simulated ones have tickers that a careful reader leaves out."""


def coin_tickers(query: Query) -> dict[str, Any]:
    """Answer `/coins/{id}/tickers`: 100 a page, those with the largest volume first."""
    coin = query.coin()
    return {"name": coin.name, "tickers": _page(query, tickers_of(query, coin, set(query.words("exchange_ids"))))}


def exchange_tickers(query: Query) -> dict[str, Any]:
    """Answer `/exchanges/{id}/tickers`, of the coins in `coin_ids` where some are given."""
    found = [exchange for exchange in EXCHANGES if exchange.identifier == query.parameters["id"]]
    if not found:
        raise refusals.exchange_not_found()
    wanted = query.words("coin_ids")
    coins = [coin for coin in query.market.coins if coin.id in wanted or not wanted]
    tickers = [ticker for coin in coins for ticker in _tickers_for(query, coin, found)]
    return {"name": found[0].name, "tickers": _page(query, tickers)}


def tickers_of(query: Query, coin: Coin, exchange_ids: set[str]) -> list[dict[str, Any]]:
    """Return the tickers of a coin, and those of others that are traded for it; of all exchanges without ids."""
    exchanges = [one for one in EXCHANGES if not exchange_ids or one.identifier in exchange_ids]
    targets = {target for target, target_coin in _TARGET_COINS.items() if target_coin == coin.id}
    others = [other for other in query.market.coins if other.number <= _LARGEST] if targets else []
    return _largest_first(
        [
            *_tickers_for(query, coin, exchanges),
            *(ticker for other in others for ticker in _tickers_for(query, other, exchanges, targets)),
        ]
    )


def _tickers_for(
    query: Query, coin: Coin, exchanges: Sequence[Exchange], targets: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Return the tickers whose base is the coin, traded for one of the targets where they are given."""
    return [
        _ticker(query, coin, exchange, target)
        for exchange in exchanges
        for target in exchange.targets
        if (targets is None or target in targets) and _traded(query.market, coin, exchange, target)
    ]


def _largest_first(tickers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(tickers, key=lambda ticker: float(ticker["converted_volume"]["usd"]), reverse=True)


def _page(query: Query, tickers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    start = (query.whole("page", 1) - 1) * MOST_TICKERS
    return _largest_first(tickers)[start : start + MOST_TICKERS]


def _traded(market: Market, coin: Coin, exchange: Exchange, target: str) -> bool:
    target_coin = _TARGET_COINS.get(target)
    return coin.id != target_coin and coin.number <= exchange.reach * len(market.coins)


def _ticker(query: Query, coin: Coin, exchange: Exchange, target: str) -> dict[str, Any]:
    market = query.market
    pair = (exchange.identifier, coin.id, target)
    traded = query.seconds - exchange.age - math.floor(_LONGEST_PAUSE * chance(*pair))
    worth = market.price_path(coin.id).at(traded) * _own_factor(exchange, pair)
    volume = market.volume_path(coin.id).at(query.seconds) * exchange.share / len(exchange.targets)
    last = worth / _worth_of(market, target, traded)
    ticker: dict[str, Any] = {
        "base": coin.symbol.upper(),
        "target": target,
        "market": _market(query, exchange),
        "last": _significant(last),
        "volume": _significant(volume / worth),
        "converted_last": {code: price(worth / market.dollars(code, traded), code) for code in ("btc", "eth", "usd")},
        "converted_volume": {code: amount(volume / market.dollars(code, traded)) for code in ("btc", "eth", "usd")},
        "trust_score": None,
        "bid_ask_spread_percentage": _spread(coin, exchange, pair),
        "timestamp": clock_time(traded),
        "last_traded_at": clock_time(traded),
        "last_fetch_at": clock_time(query.seconds),
        "is_anomaly": abs(exchange.premium) >= 0.05,  # noqa: PLR2004
        "is_stale": exchange.age > 8 * HOUR,
        "trade_url": f"https://simulator.invalid/trade/{exchange.identifier}/{coin.symbol.upper()}_{target}",
        "token_info_url": None,
        "coin_id": coin.id,
        "coin_mcap_usd": None if "market_cap" in coin.unknown else market.market_cap_path(coin.id).at(query.seconds),
    }
    if target in _TARGET_COINS:
        ticker["target_coin_id"] = _TARGET_COINS[target]
    if query.flag("depth"):
        ticker["cost_to_move_up_usd"], ticker["cost_to_move_down_usd"] = 0.0316 * volume, 0.0282 * volume
    return ticker


def _market(query: Query, exchange: Exchange) -> dict[str, Any]:
    market = {"name": exchange.name, "identifier": exchange.identifier, "has_trading_incentive": False}
    if query.flag("include_exchange_logo"):
        market["logo"] = f"https://simulator.invalid/markets/images/{exchange.identifier}.png"
    return market


def _worth_of(market: Market, target: str, seconds: float) -> float:
    """Return the worth of what a pair is traded for in US dollars."""
    if target in _TARGET_COINS:
        return market.price_path(_TARGET_COINS[target]).at(seconds)
    return market.dollars(target.lower(), seconds)


def _own_factor(exchange: Exchange, pair: tuple[str, ...]) -> float:
    """Return how this pair's price differs from the market's: by up to 0.05 %, and by the exchange's premium."""
    return 1 + exchange.premium + 0.001 * (chance(*pair, "price") - 0.5)


def _spread(coin: Coin, exchange: Exchange, pair: tuple[str, ...]) -> float:
    """Return the distance between bid and ask in percent: wider for the smaller coins, never under 0.01."""
    wider = 1 + 0.05 * (coin.number - 1)
    return round(exchange.spread * wider * (1 + 0.1 * chance(*pair, "spread")), 6)


def _significant(value: float) -> float:
    return float(f"{value:.8g}")
