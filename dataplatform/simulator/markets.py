"""The payloads about many coins at once: prices, the list of markets, the whole market, the list of coins."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from dataplatform.simulator.coins import Coin, chance
from dataplatform.simulator.currencies import CURRENCIES, Number, amount, iso_time, percentage, price
from dataplatform.simulator.market import DAY, HOUR, Market, UnknownCoinError
from dataplatform.simulator.path import Path
from dataplatform.simulator.query import Query
from dataplatform.simulator.tickers import EXCHANGES

__all__ = [
    "SPANS",
    "change",
    "coins_list",
    "coins_markets",
    "extreme_date",
    "global_data",
    "image",
    "ping",
    "platforms",
    "simple_price",
    "sparkline",
    "supported_vs_currencies",
]

SPANS: Final = {"1h": HOUR, **{f"{days}d": days * DAY for days in (7, 14, 30, 200)}, "24h": DAY, "1y": 365 * DAY}
"""Seconds of the spans of time over which changes are reported."""

_MOST_PER_PAGE = 250
_MOST_DECIMALS = 18
_SPARKLINE_HOURS = 168
_2017, _FOUR_YEARS = 1_483_228_800.0, 4 * 365 * DAY


def ping(query: Query) -> dict[str, str]:
    del query
    return {"gecko_says": "(V3) To the Moon!"}


def supported_vs_currencies(query: Query) -> list[str]:
    del query
    return list(CURRENCIES)


def simple_price(query: Query) -> dict[str, dict[str, Number | None]]:
    """Answer `/simple/price`: unknown ids and currencies are absent, without a word."""
    codes = [code.lower() for code in query.required("vs_currencies").split(",")]
    query.required("ids")
    known = [code for code in dict.fromkeys(map(str.strip, codes)) if code in CURRENCIES]
    return {coin.id: _prices(query, coin, known) for coin in _known_coins(query.market, query.words("ids"))}


def _known_coins(market: Market, ids: list[str]) -> list[Coin]:
    coins = []
    for coin_id in ids:
        try:
            coins.append(market.coin(coin_id))
        except UnknownCoinError:
            continue
    return coins


def _prices(query: Query, coin: Coin, codes: list[str]) -> dict[str, Number | None]:
    prices: dict[str, Number | None] = {}
    for code in codes:
        path = query.market.price_path(coin.id, code)
        now = path.at(query.seconds)
        prices[code] = _precise(query, price(now, code), now)
        if query.flag("include_market_cap"):
            prices[f"{code}_market_cap"] = None if "market_cap" in coin.unknown else now * coin.supply
        if query.flag("include_24hr_vol"):
            prices[f"{code}_24h_vol"] = query.market.volume_path(coin.id, code).at(query.seconds)
        if query.flag("include_24hr_change"):
            unknown = "price_change_percentage_24h" in coin.unknown
            prices[f"{code}_24h_change"] = None if unknown else change(now, path.at(query.seconds - DAY))
    if query.flag("include_last_updated_at"):
        prices["last_updated_at"] = int(query.seconds)
    return prices


def _precise(query: Query, rounded: Number, exact: float) -> Number:
    precision = query.parameters.get("precision", "")
    if precision == "full":
        return exact
    return round(exact, min(int(precision), _MOST_DECIMALS)) if precision.isdecimal() else rounded


def change(now: float, before: float) -> float:
    """Return a change in percent."""
    return 100.0 * (now / before - 1.0)


def coins_markets(query: Query) -> list[dict[str, Any]]:
    """Answer `/coins/markets`, a bare array of at most 250 coins."""
    code = query.currency()
    coins = list(query.market.ranking(query.seconds))
    ranks = {coin.id: rank for rank, coin in enumerate(coins, 1)}
    coins = _asked_for(query, coins)
    per_page = query.whole("per_page", 100, _MOST_PER_PAGE)
    start = (query.whole("page", 1) - 1) * per_page
    page = _ordered(query, coins)[start : start + per_page]
    spans = [span for span in query.words("price_change_percentage") if span in SPANS]
    return [_market(query, coin, ranks[coin.id], code, spans) for coin in page]


def _asked_for(query: Query, ranked: list[Coin]) -> list[Coin]:
    """Return the coins that are asked for by `ids`, else by `names`, else by `symbols`: of these the top-ranked only.

    `include_tokens=all` asks for every coin with one of the symbols.
    """
    if query.words("ids"):
        wanted = set(query.words("ids"))
        return [coin for coin in ranked if coin.id in wanted]
    if query.words("names"):
        wanted = {name.lower() for name in query.words("names")}
        return [coin for coin in ranked if coin.name.lower() in wanted]
    if query.words("symbols"):
        wanted = {symbol.lower() for symbol in query.words("symbols")}
        found = [coin for coin in ranked if coin.symbol.lower() in wanted]
        top = {coin.symbol.lower(): coin for coin in reversed(found)}
        return found if query.parameters.get("include_tokens") == "all" else [c for c in found if c in top.values()]
    return ranked


def _ordered(query: Query, coins: list[Coin]) -> list[Coin]:
    field, _, direction = query.parameters.get("order", "market_cap_desc").rpartition("_")
    falling = direction != "asc"
    keys: dict[str, Callable[[Coin], float | str]] = {
        "id": lambda coin: coin.id,
        "volume": lambda coin: query.market.volume_path(coin.id).at(query.seconds),
    }
    if field in keys:
        return sorted(coins, key=keys[field], reverse=falling)
    return coins if falling else coins[::-1]


def _market(query: Query, coin: Coin, rank: int, code: str, spans: list[str]) -> dict[str, Any]:
    path = query.market.price_path(coin.id, code)
    now, before = path.at(query.seconds), path.at(query.seconds - DAY)
    low, high = query.market.low_and_high_24h(coin.id, code, query.seconds)
    row: dict[str, Any] = {
        "id": coin.id,
        "symbol": coin.symbol,
        "name": coin.name,
        "image": image(coin, "large"),
        "current_price": price(now, code),
        "market_cap": amount(now * coin.supply),
        "market_cap_rank": rank,
        "fully_diluted_valuation": amount(now * (coin.max_supply or coin.total_supply)),
        "total_volume": amount(query.market.volume_path(coin.id, code).at(query.seconds)),
        "high_24h": price(high, code),
        "low_24h": price(low, code),
        "price_change_24h": now - before,
        "price_change_percentage_24h": percentage(change(now, before)),
        "market_cap_change_24h": (now - before) * coin.supply,
        "market_cap_change_percentage_24h": percentage(change(now, before)),
        "circulating_supply": coin.supply,
        "total_supply": coin.total_supply,
        "max_supply": coin.max_supply,
        **_extremes(path, coin, now, code),
        "roi": None,
        "last_updated": iso_time(query.seconds),
        "market_cap_rank_with_rehypothecated": rank,
    }
    if query.flag("sparkline"):
        row["sparkline_in_7d"] = {"price": sparkline(path, query.seconds)}
    for span in spans:
        row[f"price_change_percentage_{span}_in_currency"] = change(now, path.at(query.seconds - SPANS[span]))
    return row | dict.fromkeys(coin.unknown & row.keys())


def _extremes(path: Path, coin: Coin, now: float, code: str) -> dict[str, Any]:
    highest, lowest = path.ceiling, path.floor
    return {
        "ath": price(highest, code),
        "ath_change_percentage": percentage(change(now, highest)),
        "ath_date": extreme_date(coin, "ath", code),
        "atl": price(lowest, code),
        "atl_change_percentage": percentage(change(now, lowest)),
        "atl_date": extreme_date(coin, "atl", code),
    }


@lru_cache(maxsize=4096)
def extreme_date(coin: Coin, which: str, code: str) -> str:
    """Return the day of an all-time high or low: some day in the four years from 2017, before the history begins."""
    return iso_time(_2017 + round(_FOUR_YEARS * chance(coin.id, which, code), 3))


def sparkline(path: Path, seconds: float) -> list[float]:
    """Return the prices on the hour of the last seven days."""
    hour = int(seconds // HOUR)
    return path.at_half_hours(range(2 * (hour - _SPARKLINE_HOURS + 1), 2 * hour + 1, 2))


def image(coin: Coin, size: str) -> str:
    return f"https://simulator.invalid/coins/images/{coin.number}/{size}/{coin.id}.png"


def platforms(coin: Coin) -> dict[str, str]:
    """Return the contract addresses by platform: invented ones for invented coins, none for the others."""
    if not coin.invented:
        return {}
    return {"ethereum": f"0x51b{int(chance(coin.id, 'contract') * 16**13):037x}"}


def coins_list(query: Query) -> list[dict[str, Any]]:
    """Answer `/coins/list`: every coin, by id; none is inactive."""
    if query.parameters.get("status") == "inactive":
        return []
    rows: list[dict[str, Any]] = []
    for coin in sorted(query.market.coins, key=lambda coin: coin.id):
        row: dict[str, Any] = {"id": coin.id, "symbol": coin.symbol, "name": coin.name}
        rows.append(row | {"platforms": platforms(coin)} if query.flag("include_platform") else row)
    return rows


def global_data(query: Query) -> dict[str, Any]:
    """Answer `/global`: the sums over all coins of the simulator, in every currency."""
    market, now = query.market, query.seconds
    ranked = [coin for coin in market.ranking(now) if "market_cap" not in coin.unknown]
    caps = {coin.symbol: market.market_cap_path(coin.id).at(now) for coin in ranked}
    total, before = sum(caps.values()), sum(market.market_cap_path(coin.id).at(now - DAY) for coin in ranked)
    volume, volume_before = (_volume(market, at) for at in (now, now - DAY))
    dollars = {code: market.dollars(code, now) for code in CURRENCIES}
    return {
        "data": {
            "active_cryptocurrencies": len(market.coins),
            "upcoming_icos": 0,
            "ongoing_icos": 49,
            "ended_icos": 3376,
            "markets": len(EXCHANGES),
            "total_market_cap": {code: total / worth for code, worth in dollars.items()},
            "total_volume": {code: volume / worth for code, worth in dollars.items()},
            "market_cap_percentage": {symbol: 100 * cap / total for symbol, cap in list(caps.items())[:10]},
            "market_cap_change_percentage_24h_usd": change(total, before),
            "volume_change_percentage_24h_usd": change(volume, volume_before),
            "updated_at": int(now),
        }
    }


def _volume(market: Market, seconds: float) -> float:
    return sum(market.volume_path(coin.id).at(seconds) for coin in market.coins)
