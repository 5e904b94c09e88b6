"""CoinGecko's past: candles from `/ohlc`, price histories from `/market_chart`, and what of it there is.

Its candles carry the time of their close and no volume; which length they have follows from the days asked for. Sources
without a paid plan reach back 365 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from attrs import evolve

from dataplatform.dsl.queries import DateRangeOHLCVQuery
from dataplatform.dsl.rows import ParsedRows, joined, read_rows
from dataplatform.dsl.timeframes import length
from dataplatform.dsl.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.dsl.validators import market_time
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Success
from dataplatform.sources.coingecko.answers import ATTRIBUTION, Answer, decode
from dataplatform.sources.coingecko.endpoints import MARKET_CHART, MARKET_CHART_RANGE, OHLC, Ask
from dataplatform.sources.coingecko.transforms import Coin

__all__ = ["candles", "chart", "latest_candles", "ohlc", "ohlc_in_range", "prices"]

DAYS = {"30m": (1,), "4h": (7, 14, 30), "4d": (90, 180, 365)}  # the days `/ohlc` takes, by the candles it then gives

MARGIN = timedelta(minutes=2)  # a range just short of the days is as dense and as free as they are on any clock


class CandleRow(msgspec.Struct, frozen=True, array_like=True):
    """A row of `/ohlc`, the time of its close in milliseconds; columns beyond these are passed over."""

    closed: float
    open: float
    high: float
    low: float
    close: float


class Point(msgspec.Struct, frozen=True, array_like=True):
    """A moment in milliseconds, and what was then, as far as it is known."""

    moment: float
    value: float | None


class Chart(msgspec.Struct, frozen=True):
    """The answer of `/market_chart`: points of each line, which need not be there at the same moments."""

    prices: list[msgspec.Raw]
    market_caps: list[msgspec.Raw]
    total_volumes: list[msgspec.Raw]


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


def candles(answer: Answer, coin_id: str, timeframe: str) -> Success[list[CryptoOHLCVData]]:
    """Turn an answer of `/ohlc` into candles in order, one for each open: of several the last that was sent.

    `timestamp` is the open, CoinGecko's close less the timeframe.
    """
    rows = _candle_rows(answer, coin_id, timeframe)
    return rows.success(rows.found)


def latest_candles(
    answers: Sequence[Answer | None], coin_ids: Sequence[str], timeframe: str
) -> Success[list[CryptoOHLCVData]]:
    """Turn an answer of `/ohlc` per coin into each coin's latest candle; None stands for a coin that is unknown.

    Raises `Permanent("no_candles")` where the known ones have none.
    """
    known = {coin_id: answer for answer, coin_id in zip(answers, coin_ids, strict=True) if answer is not None}
    series = {coin_id: _candle_rows(answer, coin_id, timeframe) for coin_id, answer in known.items()}
    latest = [rows.found[-1] for rows in series.values() if rows.found]
    told = joined(series.values()).success(latest)
    without = ", ".join(repr(coin_id) for coin_id, rows in series.items() if not (rows.found or rows.odd))
    nothing = f"CoinGecko has no candles of {timeframe} of {without}"
    if without and not latest:
        raise Permanent("no_candles", nothing, remedy="the coin is not traded at present; get_price_history may help")
    return evolve(told, notes=(*told.notes, *([nothing] if without else [])))


def _candle_rows(answer: Answer, coin_id: str, timeframe: str) -> ParsedRows[CryptoOHLCVData]:
    source, step = answer.source, length(timeframe)

    def candle(row: CandleRow) -> CryptoOHLCVData:
        return CryptoOHLCVData(
            coin_id=coin_id,
            timestamp=market_time("close time", row.closed / 1000, answer.received_at) - step,
            open=row.open,
            high=row.high,
            low=row.low,
            close=row.close,
            timeframe=timeframe,
            source=source,
            attribution=ATTRIBUTION[source],
        )

    rows = read_rows(decode(answer, list[msgspec.Raw]), f"/coins/{coin_id}/ohlc", CandleRow, candle)
    last_sent = {one.timestamp: one for one in rows.found}
    return evolve(rows, found=[last_sent[moment] for moment in sorted(last_sent)])


def prices(answer: Answer, coin: Coin, days: int) -> Success[list[CryptoPriceData]]:
    """Turn an answer of `/market_chart` into prices of the coin, oldest first, one for each moment that has a price.

    Market cap and volume are those of the same moment; None where it has none. Raises `Permanent("no_price")` where
    there is no price in the `days` asked for.
    """
    chart = decode(answer, Chart)
    caps, volumes = (
        _line(points, coin, name)
        for name, points in (("market_caps", chart.market_caps), ("total_volumes", chart.total_volumes))
    )
    cap_at, volume_at = dict(caps.found), dict(volumes.found)

    def price(point: Point) -> CryptoPriceData | None:
        if point.value is None:
            return None
        return CryptoPriceData(
            coin_id=coin.coin_id,
            symbol=coin.symbol,
            name=coin.name,
            usd_price=point.value,
            market_cap=cap_at.get(point.moment),
            volume_24h=volume_at.get(point.moment),
            last_updated=market_time("moment", point.moment / 1000, answer.received_at),
            source=answer.source,
            attribution=ATTRIBUTION[answer.source],
        )

    rows = read_rows(chart.prices, _chart_of(coin), Point, price, within="$.prices")
    priced = {one.last_updated: one for one in rows.found if one is not None}
    if not (priced or rows.odd):
        text = f"CoinGecko has no price of {coin.coin_id!r} in the time asked for (days = {days})"
        raise Permanent("no_price", text, remedy="ask for more days")
    return rows.success([priced[moment] for moment in sorted(priced)], *caps.notes, *volumes.notes)


def _line(points: Sequence[msgspec.Raw], coin: Coin, name: str) -> ParsedRows[tuple[float, float | None]]:
    def known(point: Point) -> tuple[float, float | None]:
        if point.value is not None and point.value < 0:
            raise ValueError(f"expected a number of at least 0, got {point.value}")
        return point.moment, point.value

    return read_rows(points, _chart_of(coin), Point, known, within=f"$.{name}")


def _chart_of(coin: Coin) -> str:
    return f"/coins/{coin.coin_id}/market_chart"


def _ohlc(coin_id: str, days: int) -> Ask:
    return Ask(OHLC, {"vs_currency": "usd", "days": str(days), "precision": "full"}, coin_id)


def _no_candles(timeframe: str) -> Permanent:
    return Permanent(
        "unsupported",
        f"CoinGecko has no candles of {timeframe}; there are {', '.join(DAYS)}",
        remedy="ask a TimescaleDB source for other timeframes",
    )
