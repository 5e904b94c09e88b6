"""The payload of `/coins/{id}`: everything about one coin, in every currency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from dataplatform.simulator.coins import Coin, chance
from dataplatform.simulator.currencies import CURRENCIES
from dataplatform.simulator.market import DAY
from dataplatform.simulator.markets import SPANS, change, extreme_date, image, platforms, sparkline
from dataplatform.simulator.path import Path
from dataplatform.simulator.query import Query
from dataplatform.simulator.rounding import amount, iso_time, percentage, price
from dataplatform.simulator.tickers import MOST_TICKERS, tickers_of

__all__ = ["coin_detail"]

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
