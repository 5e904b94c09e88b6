"""Questions for every source: good ones with what their answers must be like, and bad ones with their refusal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from attrs import frozen

from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query, OHLCVSeries
from dataplatform.dsl.records.timeframes import floor
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data

__all__ = ["BAD", "QUESTIONS", "TIMEFRAME", "UNKNOWN", "Question", "past"]

TIMEFRAME = "4h"
COINS = ["ethereum", "bitcoin"]
NOBODY = "no-such-coin"
MOST = 10_000
FROM, TO = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@frozen
class Question:
    """A request, made for the present time, and what is true of the data of its answer."""

    ask: Callable[[datetime], ops.SourceRequest[Any]]
    is_answered_by: Callable[[Any, datetime], bool]


def past(now: datetime, coin: str = "bitcoin", timeframe: str = TIMEFRAME) -> DateRangeOHLCVQuery:
    """Return a query of the candles of the last two days."""
    end = floor(now, TIMEFRAME)
    return DateRangeOHLCVQuery(coin, end - timedelta(days=2), end, timeframe)


def _prices(coins: list[str]) -> Callable[[Any, datetime], bool]:
    def are_these(data: list[CryptoPriceData], now: datetime) -> bool:
        return [price.coin_id for price in data] == coins and all(_is_price(price, now) for price in data)

    return are_these


def _is_price(price: CryptoPriceData, now: datetime) -> bool:
    recent = abs(price.last_updated - now) < timedelta(hours=1)
    return isinstance(price, CryptoPriceData) and price.usd_price > 0 and recent and price.source == "simulator"


def _is_candle(candle: CryptoOHLCVData, now: datetime) -> bool:
    over = candle.timestamp + timedelta(hours=4) <= now + timedelta(minutes=5)  # `now` is when the suite began
    return isinstance(candle, CryptoOHLCVData) and candle.timeframe == TIMEFRAME and over


def _is_history(data: list[CryptoPriceData], now: datetime) -> bool:
    in_order = all(one.last_updated < other.last_updated for one, other in pairwise(data))
    return {price.coin_id for price in data} == {"bitcoin"} and in_order and len(data) > 24


def _is_series(data: OHLCVSeries, now: datetime) -> bool:
    query, opens = past(now), [candle.timestamp for candle in data.candles]
    inside = all(query.date_start <= opened < query.date_end for opened in opens)
    return (
        inside and opens == sorted(opens) and len(opens) + sum(gap.missing for gap in data.gaps) == 12 and opens != []
    )


def _is_level1(data: Level1Data, now: datetime) -> bool:
    return isinstance(data, Level1Data) and data.ticker == "bitcoin" and data.best_bid <= data.best_ask


def _is_analytics(data: CryptoMarketAnalytics, now: datetime) -> bool:
    return isinstance(data, CryptoMarketAnalytics) and data.total_market_cap > 0 and 0 < (data.btc_dominance or 0) < 100


QUESTIONS: dict[str, Question] = {
    "get_current_price": Question(lambda _: ops.GetCurrentPrice("bitcoin"), _is_price),
    "get_current_prices": Question(lambda _: ops.GetCurrentPrices(["ethereum", NOBODY, "bitcoin"]), _prices(COINS)),
    "get_current_ohlcv": Question(lambda _: ops.GetCurrentOHLCV("bitcoin", TIMEFRAME), _is_candle),
    "get_latest_ohlcv": Question(
        lambda _: ops.GetLatestOHLCV([*COINS, NOBODY], TIMEFRAME),
        lambda data, now: [one.coin_id for one in data] == COINS and all(_is_candle(one, now) for one in data),
    ),
    "get_price_history": Question(lambda _: ops.GetPriceHistory("bitcoin", 2), _is_history),
    "get_ohlcv_by_date_range": Question(lambda now: ops.GetOHLCVByDateRange(past(now)), _is_series),
    "get_available_tickers": Question(
        lambda _: ops.GetAvailableTickers(10), lambda data, _: len(set(data)) == 10 and data[0] == "bitcoin"
    ),
    "get_level1_data": Question(lambda _: ops.GetLevel1Data(Level1Query("bitcoin")), _is_level1),
    "get_market_analytics": Question(lambda _: ops.GetMarketAnalytics(), _is_analytics),
}

# What a source does not know: a coin, an exchange, a market.
UNKNOWN: dict[str, Callable[[datetime], ops.SourceRequest[Any]]] = {
    "get_current_price": lambda _: ops.GetCurrentPrice(NOBODY),
    "get_current_prices": lambda _: ops.GetCurrentPrices([NOBODY, "nor-this"]),
    "get_current_ohlcv": lambda _: ops.GetCurrentOHLCV(NOBODY, TIMEFRAME),
    "get_latest_ohlcv": lambda _: ops.GetLatestOHLCV([NOBODY], TIMEFRAME),
    "get_price_history": lambda _: ops.GetPriceHistory(NOBODY, 2),
    "get_ohlcv_by_date_range": lambda now: ops.GetOHLCVByDateRange(past(now, NOBODY)),
    "get_level1_data": lambda _: ops.GetLevel1Data(Level1Query(NOBODY)),
    "get_level1_data on a market": lambda _: ops.GetLevel1Data(Level1Query("bitcoin", market="BTC/NOSUCH")),
    "get_level1_data on an exchange": lambda _: ops.GetLevel1Data(Level1Query("bitcoin", exchange="no-such-exchange")),
}

# What no source can be asked.
BAD: dict[str, ops.SourceRequest[Any]] = {
    "an empty coin": ops.GetCurrentPrice(""),
    "a coin that is no text": ops.GetCurrentPrice(7),  # type: ignore[arg-type]
    "a coin of two words": ops.GetPriceHistory("bit coin", 1),
    "a currency no price has": ops.GetCurrentPrice("bitcoin", "doge"),
    "a text for a list of coins": ops.GetCurrentPrices("bitcoin"),
    "no coins": ops.GetCurrentPrices([]),
    "an empty coin among others": ops.GetCurrentPrices(["bitcoin", ""]),
    "too many coins": ops.GetCurrentPrices(["bitcoin"] * (MOST + 1)),
    "a currency no prices have": ops.GetCurrentPrices(["bitcoin"], CurrentPricesOptions(("doge",))),
    "no coins of candles": ops.GetLatestOHLCV([], TIMEFRAME),
    "too many coins of candles": ops.GetLatestOHLCV(["bitcoin"] * (MOST + 1), TIMEFRAME),
    "what is no timeframe": ops.GetCurrentOHLCV("bitcoin", "soon"),
    "what is no timeframe of several": ops.GetLatestOHLCV(["bitcoin"], "7x"),
    "no days": ops.GetPriceHistory("bitcoin", 0),
    "days that are not whole": ops.GetPriceHistory("bitcoin", 1.5),  # type: ignore[arg-type]
    "a currency no history has": ops.GetPriceHistory("bitcoin", 1, "eur"),
    "what is no query": ops.GetOHLCVByDateRange("yesterday"),  # type: ignore[arg-type]
    "dates reversed": ops.GetOHLCVByDateRange(DateRangeOHLCVQuery("bitcoin", TO, FROM, TIMEFRAME)),
    "dates that are the same": ops.GetOHLCVByDateRange(DateRangeOHLCVQuery("bitcoin", FROM, FROM, TIMEFRAME)),
    "a range of what is no timeframe": ops.GetOHLCVByDateRange(DateRangeOHLCVQuery("bitcoin", FROM, TO, "7x")),
    "a range of too many candles": ops.GetOHLCVByDateRange(
        DateRangeOHLCVQuery("bitcoin", FROM, FROM + timedelta(days=3650), "1m")
    ),
    "a limit of 0": ops.GetAvailableTickers(0),
    "a limit that is no number": ops.GetAvailableTickers(True),
    "a coin for a query": ops.GetLevel1Data("bitcoin"),  # type: ignore[arg-type]
    "an empty market": ops.GetLevel1Data(Level1Query("bitcoin", market="")),
}
