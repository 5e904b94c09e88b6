"""The payloads about one coin: everything about it in every currency, its candles and charts.

The payload of `/coins/{id}`: everything about one coin, in every currency. The payloads about one coin's past: candles
and charts, at the granularities CoinGecko chooses by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import frozen

from dataplatform.simulator import query as refusals
from dataplatform.simulator.coins import Coin, chance
from dataplatform.simulator.currencies import (
    CURRENCIES,
    amount,
    candle_price,
    iso_time,
    milliseconds,
    percentage,
    price,
)
from dataplatform.simulator.market import DAY, HOUR, Candle
from dataplatform.simulator.markets import SPANS, change, extreme_date, image, platforms, sparkline
from dataplatform.simulator.path import HALF_HOUR, Path
from dataplatform.simulator.query import Query
from dataplatform.simulator.tickers import MOST_TICKERS, tickers_of

__all__ = ["Chart", "coin_detail", "market_chart", "market_chart_range", "ohlc", "ohlc_range"]

_SPANS = SPANS | {"60d": 60 * DAY}


@frozen
class _View:
    """One coin in one currency at one time, where `now` and `before` are its prices now and a day ago."""

    code: str
    path: Path
    now: float
    before: float
    low: float
    high: float
    volume: float


def coin_detail(query: Query) -> dict[str, Any]:
    """Answer `/coins/{id}`; the parts can be switched off by `market_data=false` and the like."""
    coin = query.coin()
    rank = 1 + query.market.ranking(query.seconds).index(coin)
    known_rank = None if "market_cap_rank" in coin.unknown else rank
    answer: dict[str, Any] = {
        **_about(coin),
        "market_cap_rank": known_rank,
        "market_cap_rank_with_rehypothecated": known_rank,
        "status_updates": [],
        "last_updated": iso_time(query.seconds),
    }
    if query.flag("localization", default=True):
        answer["localization"] = {"en": coin.name}
    if query.flag("market_data", default=True):
        answer["market_data"] = _market_data(query, coin, rank)
    if query.flag("community_data", default=True):
        answer["community_data"] = dict.fromkeys(_COMMUNITY)
    if query.flag("developer_data", default=True):
        answer["developer_data"] = dict.fromkeys(_DEVELOPERS) | {"last_4_weeks_commit_activity_series": []}
    if query.flag("tickers", default=True):
        answer["tickers"] = tickers_of(query, coin, set())[:MOST_TICKERS]
    return answer


_COMMUNITY = (
    "facebook_likes",
    "reddit_average_posts_48h",
    "reddit_average_comments_48h",
    "reddit_subscribers",
    "reddit_accounts_active_48h",
    "telegram_channel_user_count",
)
_DEVELOPERS = (
    "forks",
    "stars",
    "subscribers",
    "total_issues",
    "closed_issues",
    "pull_requests_merged",
    "pull_request_contributors",
    "code_additions_deletions_4_weeks",
    "commit_count_4_weeks",
)


def _about(coin: Coin) -> dict[str, Any]:
    contracts = platforms(coin) or {"": ""}
    return {
        "id": coin.id,
        "symbol": coin.symbol,
        "name": coin.name,
        "web_slug": coin.id,
        "asset_platform_id": next(iter(contracts)) or None,
        "platforms": contracts,
        "detail_platforms": {
            platform: {"decimal_place": 18 if address else None, "contract_address": address}
            for platform, address in contracts.items()
        },
        "block_time_in_minutes": 0,
        "hashing_algorithm": None,
        "categories": ["Simulated"] if coin.invented else ["Cryptocurrency"],
        "preview_listing": False,
        "public_notice": None,
        "additional_notices": [],
        "has_supply_breakdown": False,
        "description": {"en": f"{coin.name} in a simulated market: nothing here is a quotation."},
        "links": {"homepage": [f"https://simulator.invalid/coins/{coin.id}", "", ""], "whitepaper": ""},
        "image": {size: image(coin, size) for size in ("thumb", "small", "large")},
        "country_origin": "",
        "genesis_date": None,
        "sentiment_votes_up_percentage": round(60 + 30 * chance(coin.id, "votes"), 2),
        "sentiment_votes_down_percentage": round(40 - 30 * chance(coin.id, "votes"), 2),
        "watchlist_portfolio_users": round(1_500_000 / coin.number),
    }


def _view(query: Query, coin: Coin, code: str) -> _View:
    path = query.market.price_path(coin.id, code)
    low, high = query.market.low_and_high_24h(coin.id, code, query.seconds)
    volume = query.market.volume_path(coin.id, code).at(query.seconds)
    return _View(code, path, path.at(query.seconds), path.at(query.seconds - DAY), low, high, volume)


def _market_data(query: Query, coin: Coin, rank: int) -> dict[str, Any]:
    views = {code: _view(query, coin, code) for code in CURRENCIES}
    answer = {
        **_prices_and_sizes(coin, views),
        **_changes(query, coin, views),
        "total_value_locked": None,
        "mcap_to_tvl_ratio": None,
        "fdv_to_tvl_ratio": None,
        "roi": None,
        "market_cap_fdv_ratio": round(coin.supply / (coin.max_supply or coin.total_supply), 2),
        "outstanding_token_value_usd": None,
        "market_cap_rank": rank,
        "market_cap_rank_with_rehypothecated": rank,
        "total_supply": coin.total_supply,
        "max_supply": coin.max_supply,
        "max_supply_infinite": coin.max_supply is None,
        "circulating_supply": coin.supply,
        "outstanding_supply": None,
        "last_updated": iso_time(query.seconds),
    }
    if query.flag("sparkline"):
        answer["sparkline_7d"] = {"price": sparkline(views["usd"].path, query.seconds)}
    return answer | {name: {} if isinstance(answer[name], dict) else None for name in coin.unknown & answer.keys()}


def _prices_and_sizes(coin: Coin, views: dict[str, _View]) -> dict[str, Any]:
    def per_currency(of: Callable[[_View], Any]) -> dict[str, Any]:
        return {code: of(view) for code, view in views.items()}

    issued = coin.max_supply or coin.total_supply
    return {
        "current_price": per_currency(lambda view: price(view.now, view.code)),
        "ath": per_currency(lambda view: price(view.path.ceiling, view.code)),
        "ath_change_percentage": per_currency(lambda view: percentage(change(view.now, view.path.ceiling))),
        "ath_date": per_currency(lambda view: extreme_date(coin, "ath", view.code)),
        "atl": per_currency(lambda view: price(view.path.floor, view.code)),
        "atl_change_percentage": per_currency(lambda view: percentage(change(view.now, view.path.floor))),
        "atl_date": per_currency(lambda view: extreme_date(coin, "atl", view.code)),
        "market_cap": per_currency(lambda view: amount(view.now * coin.supply)),
        "fully_diluted_valuation": per_currency(lambda view: amount(view.now * issued)),
        "total_volume": per_currency(lambda view: amount(view.volume)),
        "high_24h": per_currency(lambda view: price(view.high, view.code)),
        "low_24h": per_currency(lambda view: price(view.low, view.code)),
        "price_change_24h_in_currency": per_currency(lambda view: view.now - view.before),
        "market_cap_change_24h_in_currency": per_currency(lambda view: (view.now - view.before) * coin.supply),
        "market_cap_change_percentage_24h_in_currency": per_currency(
            lambda view: percentage(change(view.now, view.before))
        ),
    }


def _changes(query: Query, coin: Coin, views: dict[str, _View]) -> dict[str, Any]:
    dollars = views["usd"]
    answer: dict[str, Any] = {
        "price_change_24h": dollars.now - dollars.before,
        "market_cap_change_24h": (dollars.now - dollars.before) * coin.supply,
        "market_cap_change_percentage_24h": percentage(change(dollars.now, dollars.before)),
    }
    for span, seconds in _SPANS.items():
        changes = {
            code: percentage(change(view.now, view.path.at(query.seconds - seconds))) for code, view in views.items()
        }
        answer[f"price_change_percentage_{span}_in_currency"] = changes
        if span != "1h":
            answer[f"price_change_percentage_{span}"] = changes["usd"]
    return answer


Chart: TypeAlias = dict[str, list[tuple[int, float | None]]]

_OhlcRow: TypeAlias = tuple[int, float, float, float, float]

_OHLC_DAYS = {
    "": (1, 2, 7, 14, 30, 90, 180, 365),
    "hourly": (1, 7, 14, 30, 90),
    "daily": (1, 7, 14, 30, 90, 180),
}
_PAID_WIDTHS = {"hourly": 2, "daily": 48}  # half hours
_LONGEST_RANGE = {"hourly": 31, "daily": 180}  # days in one request
_FIVE_MINUTES = 300.0
_SPACINGS = {"5m": _FIVE_MINUTES, "hourly": HOUR, "daily": DAY}


def ohlc(query: Query) -> list[_OhlcRow]:
    """Answer `/coins/{id}/ohlc`: rows of close time in ms, open, high, low, close; only candles that have closed."""
    query.coin()
    query.currency()
    days, interval = query.days(), query.interval(*_PAID_WIDTHS)
    if days not in _OHLC_DAYS[interval]:
        raise refusals.bad_request(f"invalid days, allowed values: {'/'.join(map(str, _OHLC_DAYS[interval]))}")
    half_hours = _PAID_WIDTHS.get(interval) or (1 if days <= 2 else 8 if days <= 30 else 192)  # noqa: PLR2004
    return _candles(query, half_hours, query.seconds - days * DAY, query.seconds)


def ohlc_range(query: Query) -> list[_OhlcRow]:
    """Answer `/coins/{id}/ohlc/range`, for those who pay: the candles that close in the range."""
    if not query.paid:
        raise refusals.paid_only()
    query.coin()
    query.currency()
    query.required("interval")
    interval, (since, until) = query.interval(*_PAID_WIDTHS), query.since_and_until()
    if until - since > _LONGEST_RANGE[interval] * DAY:
        raise refusals.bad_request(f"invalid date range: {_LONGEST_RANGE[interval]} days at most")
    width = _PAID_WIDTHS[interval] * HALF_HOUR
    return _candles(query, _PAID_WIDTHS[interval], since - width, min(until, query.seconds))


def _candles(query: Query, half_hours: int, opened_from: float, closed_by: float) -> list[_OhlcRow]:
    coin, code, width = query.coin(), query.currency(), half_hours * HALF_HOUR
    first, end = math.ceil(opened_from / width), int(closed_by // width)
    candles = (query.market.candle(coin.id, code, half_hours, n * half_hours) for n in range(first, end))
    return [_row(candle, code) for candle in candles]


def _row(candle: Candle, code: str) -> _OhlcRow:
    opened, high, low, closed = (
        candle_price(value, code) for value in (candle.open, candle.high, candle.low, candle.close)
    )
    return milliseconds(candle.closed), opened, high, low, closed


def market_chart(query: Query) -> Chart:
    """Answer `/coins/{id}/market_chart`: prices, capitalisations and volumes up to now."""
    query.coin()
    query.currency()
    days, interval = query.days(), query.interval(*_SPACINGS, free=("daily",))
    spacing = _SPACINGS.get(interval) or (DAY if days > 90 else HOUR if days > 1 else _FIVE_MINUTES)  # noqa: PLR2004
    return _chart(query, query.seconds - days * DAY, query.seconds, spacing)


def market_chart_range(query: Query) -> Chart:
    """Answer `/coins/{id}/market_chart/range`; five-minutely only within the last day, as of now."""
    query.coin()
    query.currency()
    since, until = query.since_and_until()
    interval, recent = query.interval(*_SPACINGS, free=("daily",)), since >= query.seconds - DAY
    spacing = _SPACINGS.get(interval) or (DAY if until - since > 90 * DAY else _FIVE_MINUTES if recent else HOUR)
    return _chart(query, since, until, spacing)


def _chart(query: Query, since: float, until: float, spacing: float) -> Chart:
    coin, code, market = query.coin(), query.currency(), query.market
    times = _times(since, min(until, query.seconds), spacing)
    if since <= query.seconds <= until and query.seconds not in times[-1:]:
        times.append(query.seconds)
    stamps = [milliseconds(seconds) for seconds in times]
    prices = list(map(market.price_path(coin.id, code).at, times))
    capitalisations = [None if "market_cap" in coin.unknown else price * coin.supply for price in prices]
    volumes = list(map(market.volume_path(coin.id, code).at, times))
    return {
        "prices": list(zip(stamps, prices, strict=True)),
        "market_caps": list(zip(stamps, capitalisations, strict=True)),
        "total_volumes": list(zip(stamps, volumes, strict=True)),
    }


def _times(since: float, until: float, spacing: float) -> list[float]:
    """Return the multiples of `spacing` in the range."""
    return [place * spacing for place in range(math.ceil(since / spacing), math.floor(until / spacing) + 1)]
