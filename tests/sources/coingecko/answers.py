"""Answers of CoinGecko as they come out of a transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from dataplatform.errors import PlatformError
from dataplatform.sources.coingecko.api import COINS_MARKETS, Answer, Endpoint

__all__ = ["BAD_TEXTS", "NOW", "answer", "refusal", "row", "spoilt", "ticker"]

NOW = datetime(2026, 5, 27, 12, tzinfo=UTC)
BAD_TEXTS = (rb"\ud800", rb"\udc00", b"\xff", b"\xc3")
"""What JSON can hold in the place of a character, and is no text."""


def answer(body: object, endpoint: Endpoint = COINS_MARKETS) -> Answer:
    """Return an answer with this body, as it came or to be written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(raw, "coingecko", "https://api.example/x", NOW, endpoint)


def refusal(transform: Callable[..., object], *arguments: Any) -> PlatformError:
    """Return what a transform refuses its arguments with."""
    with pytest.raises(PlatformError) as refused:
        transform(*arguments)
    return refused.value


def row(coin_id: str, **changes: Any) -> dict[str, Any]:
    """Return a row of `/coins/markets`."""
    return {
        "id": coin_id,
        "symbol": coin_id[:3],
        "name": coin_id.title(),
        "current_price": 1.5,
        "market_cap": None,
        "last_updated": "2025-12-31T12:49:21.599Z",
    } | changes


def ticker(base: str = "USDT", target: str = "USD", usd: float | None = 1e6, **changes: Any) -> dict[str, Any]:
    """Return a ticker of tether, unless its `coin_id` says otherwise."""
    return {
        "base": base,
        "target": target,
        "market": {"name": "Binance", "identifier": "binance"},
        "last": 1.001,
        "volume": 1.0,
        "converted_volume": {"btc": None, "usd": usd},
        "bid_ask_spread_percentage": 0.02,
        "last_traded_at": "2026-05-27T11:59:00+00:00",
        "is_anomaly": False,
        "is_stale": False,
        "coin_id": "tether",
        "target_coin_id": None,
    } | changes


def spoilt(body: object, bad: bytes) -> bytes:
    """Return JSON with these bytes where its text has a `#`."""
    return json.dumps(body).encode().replace(b"#", bad)
