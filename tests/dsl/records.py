"""Records for tests: one of each kind, made short, and Hypothesis strategies for all that a kind may hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from dataplatform.dsl.records.kinds import ANALYTICS, DEAD_LETTERS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.records.types import (
    CryptoMarketAnalytics,
    CryptoOHLCVData,
    CryptoPriceData,
    DeadLetter,
    Level1Data,
    Record,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

FIELDS: dict[Kind, dict[str, Any]] = {
    PRICES: {"coin_id": "bitcoin", "symbol": "btc", "usd_price": 77_000.0, "last_updated": NOON, "source": "test"},
    OHLCV: {
        "coin_id": "bitcoin",
        "timestamp": NOON,
        "open": 2.0,
        "high": 4.0,
        "low": 1.0,
        "close": 3.0,
        "timeframe": "4h",
        "source": "test",
    },
    ANALYTICS: {
        "timestamp": NOON,
        "total_market_cap": 2.6e12,
        "total_volume": 1e11,
        "active_cryptocurrencies": 17_000,
        "markets": 1_400,
        "source": "test",
    },
    LEVEL1: {
        "ticker": "BTC/USD",
        "timestamp": NOON,
        "best_bid": 99.0,
        "best_ask": 101.0,
        "spread": 2.0,
        "spread_percent": 2.0,
        "exchange": "kraken",
        "market": "spot",
        "source": "test",
    },
    DEAD_LETTERS: {"id": "0f", "time": NOON, "origin": "topics", "stream": "prices", "error": "malformed", "raw": b"x"},
}


def record(kind: Kind, **fields: Any) -> Record:
    """Return a record of the kind with the given fields, the others being what a test need not care for."""
    made: Record = kind.type(**FIELDS[kind] | fields)
    return made


def price(coin_id: str = "bitcoin", **fields: Any) -> CryptoPriceData:
    made = record(PRICES, coin_id=coin_id, **fields)
    assert isinstance(made, CryptoPriceData)
    return made


def prices(*coin_ids: str) -> list[Record]:
    return [price(coin_id) for coin_id in coin_ids]


def letter(number: str = "0f", **fields: Any) -> DeadLetter:
    made = record(DEAD_LETTERS, id=number, **fields)
    assert isinstance(made, DeadLetter)
    return made


# Strategies

_printable = st.characters(exclude_categories=("C", "Z")) | st.just(" ")
_texts = st.text(_printable, max_size=300)
_identifiers = st.text(_printable, min_size=1, max_size=128)
_money = st.floats(min_value=0.0, allow_nan=False, allow_infinity=False)
_changes = st.floats(allow_nan=False, allow_infinity=False)
_counts = st.integers(min_value=0, max_value=2**63 - 1)
_times = st.datetimes(timezones=st.just(UTC))


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def _candles(draw: st.DrawFn) -> CryptoOHLCVData:
    low, one, other, high = sorted(draw(st.lists(_money, min_size=4, max_size=4)))
    opened, closed = draw(st.permutations([one, other]))
    return CryptoOHLCVData(
        coin_id=draw(_identifiers),
        symbol=draw(_maybe(_texts)),
        exchange_id=draw(_identifiers),
        timestamp=draw(_times),
        open=opened,
        high=high,
        low=low,
        close=closed,
        volume=draw(_maybe(_money)),
        timeframe=draw(_identifiers),
        source=draw(_identifiers),
        attribution=draw(_texts),
    )


@st.composite
def _level1(draw: st.DrawFn) -> Level1Data:
    bid, ask = sorted(draw(st.lists(_money, min_size=2, max_size=2)))
    return Level1Data(
        ticker=draw(_identifiers),
        timestamp=draw(_times),
        best_bid=bid,
        best_ask=ask,
        spread=draw(_money),
        spread_percent=draw(_money),
        exchange=draw(_identifiers),
        market=draw(_identifiers),
        estimated=draw(st.booleans()),
        source=draw(_identifiers),
        attribution=draw(_texts),
    )


ANY: dict[Kind, st.SearchStrategy[Record]] = {
    PRICES: st.builds(
        CryptoPriceData,
        coin_id=_identifiers,
        symbol=_identifiers,
        name=_maybe(_texts),
        exchange_id=_identifiers,
        usd_price=_money,
        btc_price=_maybe(_money),
        eth_price=_maybe(_money),
        market_cap=_maybe(_money),
        volume_24h=_maybe(_money),
        change_24h=_maybe(_changes),
        change_7d=_maybe(_changes),
        last_updated=_times,
        source=_identifiers,
        attribution=_texts,
    ),
    OHLCV: _candles(),
    ANALYTICS: st.builds(
        CryptoMarketAnalytics,
        timestamp=_times,
        exchange_id=_identifiers,
        total_market_cap=_money,
        total_volume=_money,
        btc_dominance=_maybe(_money),
        eth_dominance=_maybe(_money),
        active_cryptocurrencies=_counts,
        markets=_counts,
        market_cap_change_24h=_maybe(_changes),
        source=_identifiers,
        attribution=_texts,
    ),
    LEVEL1: _level1(),
    DEAD_LETTERS: st.builds(
        DeadLetter,
        id=_identifiers,
        time=_times,
        origin=_identifiers,
        stream=_texts,
        partition=_maybe(_counts),
        offset=_maybe(_counts),
        target=_texts,
        error=st.text(_printable, max_size=500),
        raw=st.binary(max_size=500),
    ),
}
