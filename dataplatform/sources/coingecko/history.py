"""CoinGecko's past: candles from `/ohlc`, price histories from `/market_chart`, and what of it there is.

Its candles carry the time of their close and no volume; which length they have follows from the days asked for. Sources
without a paid plan reach back 365 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import zip_longest

import msgspec

from dataplatform.dsl.queries import DateRangeOHLCVQuery
from dataplatform.dsl.timeframes import length
from dataplatform.dsl.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.errors import Permanent, PlatformError
from dataplatform.sources.coingecko.answers import ATTRIBUTION, Answer, decode
from dataplatform.sources.coingecko.endpoints import MARKET_CHART, MARKET_CHART_RANGE, OHLC, Ask

__all__ = ["candles", "chart", "latest_candles", "ohlc", "ohlc_in_range", "prices"]

DAYS = {"30m": (1,), "4h": (7, 14, 30), "4d": (90, 180, 365)}  # the days `/ohlc` takes, by the candles it then gives

MARGIN = timedelta(minutes=2)  # a range just short of the days is as dense and as free as they are on any clock


class Chart(msgspec.Struct, frozen=True):
    """The answer of `/market_chart`: rows of time in milliseconds and value, which may be null."""

    prices: list[tuple[float, float | None]]
    market_caps: list[tuple[float, float | None]]
    total_volumes: list[tuple[float, float | None]]


def ohlc(coin_ids: Sequence[str], timeframe: str) -> list[Ask] | PlatformError:
    """Ask for the latest candles of the timeframe, a request per coin."""
    if timeframe not in DAYS:
        return _no_candles(timeframe)
    return [_ohlc(coin_id, DAYS[timeframe][0]) for coin_id in coin_ids]


def ohlc_in_range(query: DateRangeOHLCVQuery, now: datetime) -> list[Ask] | PlatformError:
    """Ask for the candles of a range with the fewest days that reach back to its start."""
    if query.interval not in DAYS:
        return _no_candles(query.interval)
    back = now - query.date_start
    enough = [days for days in DAYS[query.interval] if back <= timedelta(days=days)]
    if not enough:
        reach = DAYS[query.interval][-1]
        return Permanent(
            "unsupported",
            f"CoinGecko has candles of {query.interval} for the last {reach} days only",
            remedy="ask for a later date_start or longer candles, or ask a TimescaleDB source",
        )
    return [_ohlc(query.ticker, enough[0])]


def chart(coin_id: str, days: int, now: datetime) -> Ask:
    """Ask for the prices, market caps and volumes of a coin over the last days.

    Later releases of CoinGecko's static tools have the endpoint for a range only.
    """
    common = {"vs_currency": "usd", "precision": "full"}
    since = int((now - timedelta(days=days) + MARGIN).timestamp())
    between = {**common, "from": str(since), "to": str(int(now.timestamp()))}
    in_range = Ask(MARKET_CHART_RANGE, between, coin_id)
    return Ask(MARKET_CHART, {**common, "days": str(days)}, coin_id, instead=(in_range,))


def candles(answer: Answer, coin_id: str, timeframe: str) -> list[CryptoOHLCVData]:
    """Turn an answer of `/ohlc` into candles; `timestamp` is the open, CoinGecko's close less the timeframe."""
    source, step = answer.source, length(timeframe)
    try:
        return [
            CryptoOHLCVData(
                coin_id=coin_id,
                timestamp=datetime.fromtimestamp(closed / 1000, UTC) - step,
                open=opened,
                high=high,
                low=low,
                close=close,
                timeframe=timeframe,
                source=source,
                attribution=ATTRIBUTION[source],
            )
            for closed, opened, high, low, close in decode(answer, list[tuple[float, float, float, float, float]])
        ]
    except (ValueError, OverflowError, OSError) as error:
        raise Permanent("changed_shape", f"/coins/{coin_id}/ohlc: {error}") from error


def latest_candles(answers: Sequence[Answer | None], coin_ids: Sequence[str], timeframe: str) -> list[CryptoOHLCVData]:
    """Turn an answer of `/ohlc` per coin into each coin's latest candle; None stands for a coin that is unknown."""
    asked = zip(answers, coin_ids, strict=True)
    series = [candles(answer, coin_id, timeframe) for answer, coin_id in asked if answer is not None]
    return [one[-1] for one in series if one]


def prices(answer: Answer, coin: CryptoPriceData) -> list[CryptoPriceData]:
    """Turn an answer of `/market_chart` into prices of the coin, oldest first; a moment without a price is left out."""
    found, source = decode(answer, Chart), answer.source
    rows = zip_longest(found.prices, found.market_caps, found.total_volumes, fillvalue=(0.0, None))
    try:
        return [
            CryptoPriceData(
                coin_id=coin.coin_id,
                symbol=coin.symbol,
                name=coin.name,
                usd_price=price,
                market_cap=cap,
                volume_24h=volume,
                last_updated=datetime.fromtimestamp(moment / 1000, UTC),
                source=source,
                attribution=ATTRIBUTION[source],
            )
            for (moment, price), (_, cap), (_, volume) in rows
            if price is not None
        ]
    except (ValueError, OverflowError, OSError) as error:
        raise Permanent("changed_shape", f"/coins/{coin.coin_id}/market_chart: {error}") from error


def _ohlc(coin_id: str, days: int) -> Ask:
    return Ask(OHLC, {"vs_currency": "usd", "days": str(days), "precision": "full"}, coin_id)


def _no_candles(timeframe: str) -> Permanent:
    return Permanent(
        "unsupported",
        f"CoinGecko has no candles of {timeframe}; there are {', '.join(DAYS)}",
        remedy="ask a TimescaleDB source for other timeframes",
    )
