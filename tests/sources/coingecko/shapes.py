"""Answers of CoinGecko as its API gives them, a few rows each, with fields that nobody here uses."""

from __future__ import annotations

from typing import Any

__all__ = ["DOCUMENTS", "NOON", "USED"]

NOON = 1_779_883_200_000  # 2026-05-27T12:00:00Z, in milliseconds
HALF_HOUR = 1_800_000
HOUR = 2 * HALF_HOUR


def _market(coin_id: str, symbol: str, price: float) -> dict[str, Any]:
    return {
        "id": coin_id,
        "symbol": symbol,
        "name": coin_id.title(),
        "image": f"https://coin-images.example/{coin_id}.png",
        "current_price": price,
        "market_cap": price * 2e7,
        "market_cap_rank": 1,
        "total_volume": price * 3e5,
        "price_change_percentage_24h": -0.95302,
        "max_supply": None,
        "roi": {"times": 1.5, "currency": "btc"},
        "last_updated": "2026-05-27T11:59:21.599Z",
        "sparkline_in_7d": {"price": [1.0, 2.0]},
        "price_change_percentage_7d_in_currency": 4.25,
    }


def _ticker(coin_id: str, base: str, target: str, dollars: float) -> dict[str, Any]:
    return {
        "base": base,
        "target": target,
        "market": {"name": "Binance", "identifier": "binance", "has_trading_incentive": False},
        "last": 1.25 + dollars / 1e9,
        "volume": 13_786.06991,
        "cost_to_move_up_usd": 19_320_706.3958517,
        "converted_last": {"btc": 0.9, "usd": 76_856},
        "converted_volume": {"btc": 13_740, "usd": dollars},
        "trust_score": None,
        "bid_ask_spread_percentage": 0.010013,
        "timestamp": "2026-05-27T11:37:29+00:00",
        "last_traded_at": "2026-05-27T11:37:29+00:00",
        "is_anomaly": False,
        "is_stale": False,
        "trade_url": None,
        "coin_id": coin_id,
        "target_coin_id": "tether",
    }


_TICKERS = {
    "name": "Bitcoin",
    "tickers": [
        _ticker("bitcoin", "BTC", "USDT", 5e8),
        _ticker("bitcoin", "BTC", "EUR", 4e8),
        _ticker("pepe", "PEPE", "BTC", 9e8),
        _ticker("bitcoin", "BTC", "GBP", 3e8),
    ],
}

DOCUMENTS: dict[str, Any] = {
    "/coins/markets": [
        _market("bitcoin", "btc", 77_671),
        _market("ethereum", "eth", 2_124.5),
        _market("pepe", "pepe", 4e-6),
    ],
    "/simple/price": {
        "bitcoin": {"btc": 1.0, "eth": 36.856, "last_updated_at": 1_779_092_258},
        "ethereum": {"btc": 0.027, "eth": 1.0},
        "pepe": {"btc": 5.2e-11, "eth": 1.9e-9},
    },
    "/coins/list": [
        {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin", "platforms": {}},
        {"id": "ondo-finance", "symbol": "ondo", "name": "Ondo", "platforms": {"ethereum": "0xfaba"}},
        {"id": "pepe", "symbol": "pepe", "name": "Pepe", "platforms": {"ethereum": "0x6982"}},
    ],
    "/global": {
        "data": {
            "active_cryptocurrencies": 17_397,
            "upcoming_icos": 0,
            "markets": 1_476,
            "total_market_cap": {"btc": 34_570_737.2, "usd": 2_621_040_321_355.04},
            "total_volume": {"btc": 1_254_779.17, "usd": 95_133_256_404.37},
            "market_cap_percentage": {"btc": 57.95, "eth": 9.58, "usdt": 7.22},
            "market_cap_change_percentage_24h_usd": -1.608,
            "volume_change_percentage_24h_usd": 33.06,
            "updated_at": 1_779_878_351,
        }
    },
    "/coins/bitcoin/ohlc": [
        [NOON - 2 * HALF_HOUR, 76_769.0, 76_889.0, 76_744.0, 76_818.0],
        [NOON - HALF_HOUR, 76_712.0, 76_712.5, 76_321.0, 76_422.0],
        [NOON, 76_422.0, 76_500.0, 76_400.0, 76_450.5],
    ],
    "/coins/bitcoin/market_chart": {
        "prices": [[NOON - 2 * HOUR, 77_953.8], [NOON - HOUR, 78_052.9], [NOON, 78_100.1]],
        "market_caps": [[NOON - HOUR, 1.562e12], [NOON, 1.563e12]],
        "total_volumes": [[NOON - 2 * HOUR, 1.86e10], [NOON - HOUR, 1.89e10], [NOON, 1.9e10]],
    },
    "/coins/bitcoin/tickers": _TICKERS,
    "/exchanges/binance/tickers": _TICKERS,
    "/coins/bitcoin": {"id": "bitcoin", "symbol": "btc", "market_data": {"current_price": {"usd": 1}}} | _TICKERS,
}
"""The bodies by their paths below `/api/v3`."""

_OF_TICKERS = (
    "tickers",
    "base",
    "target",
    "market",
    "identifier",
    "last",
    "converted_volume",
    "usd",
    "bid_ask_spread_percentage",
    "last_traded_at",
    "timestamp",
    "is_anomaly",
    "is_stale",
    "coin_id",
)
USED: dict[str, frozenset[str]] = {
    "/coins/markets": frozenset(
        {
            "id",
            "symbol",
            "name",
            "current_price",
            "market_cap",
            "total_volume",
            "price_change_percentage_24h",
            "price_change_percentage_7d_in_currency",
            "last_updated",
        }
    ),
    "/simple/price": frozenset({"bitcoin", "ethereum", "pepe", "btc", "eth"}),
    "/coins/list": frozenset({"id"}),
    "/global": frozenset(
        {
            "data",
            "active_cryptocurrencies",
            "markets",
            "total_market_cap",
            "total_volume",
            "market_cap_percentage",
            "usd",
            "btc",
            "eth",
            "market_cap_change_percentage_24h_usd",
            "updated_at",
        }
    ),
    "/coins/bitcoin/ohlc": frozenset(),
    "/coins/bitcoin/market_chart": frozenset({"prices", "market_caps", "total_volumes"}),
    **dict.fromkeys(("/coins/bitcoin/tickers", "/exchanges/binance/tickers", "/coins/bitcoin"), frozenset(_OF_TICKERS)),
}
"""The fields of each that are read; a change in any other changes nothing."""
