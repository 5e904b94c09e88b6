"""CoinGecko's past: candles from `/ohlc`, which carry the time of their close and no volume, and price histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
from attrs import evolve

from dataplatform.dsl.operations.answers import ParsedRows, joined, read_rows
from dataplatform.dsl.records.rules import market_time
from dataplatform.dsl.records.timeframes import EPOCH, length
from dataplatform.dsl.records.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.errors import Permanent
from dataplatform.result import Success
from dataplatform.sources.coingecko.api import (
    ATTRIBUTION,
    MARKET_CHART,
    MARKET_CHART_RANGE,
    Answer,
    Ask,
    decode,
    decode_known,
)
from dataplatform.sources.coingecko.transforms import Coin

__all__ = ["candles", "chart", "latest_candles", "prices"]

SURE = 5  # times that candles have to be as far apart as those of another timeframe are
DAY = timedelta(days=1)
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
    market_caps: list[msgspec.Raw] | None = None
    total_volumes: list[msgspec.Raw] | None = None


def chart(coin_id: str, days: int, now: datetime) -> Ask:
    """Ask for the prices, market caps and volumes of a coin over the last days.

    Later releases of CoinGecko's static tools have the endpoint for a range only.
    """
    common = {"vs_currency": "usd", "precision": "full"}
    since = int((now - timedelta(days=days) + MARGIN).timestamp())
    between = {**common, "from": str(since), "to": str(int(now.timestamp()))}
    in_range = Ask(MARKET_CHART_RANGE, between, coin_id)
    return Ask(MARKET_CHART, {**common, "days": str(days)}, coin_id, instead=(in_range,))


def candles(answers: Sequence[Answer], coin_id: str, timeframe: str) -> Success[list[CryptoOHLCVData]]:
    """Turn answers of `/ohlc` or `/ohlc/range` into candles in order, one for each open: the last that was sent.

    `timestamp` is the open, CoinGecko's close less the timeframe.
    """
    rows = joined(_candle_rows(answer, coin_id, timeframe) for answer in answers)
    return rows.success(_in_order(rows.found))


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

    def candle(row: CandleRow) -> CryptoOHLCVData | None:
        closed = market_time("close time", row.closed / 1000, answer.received_at)
        if (closed - EPOCH) % min(step, DAY):  # longer ones close at a midnight, if not at every fourth since 1970
            raise ValueError(f"no candle of {timeframe} closes at {closed:%Y-%m-%d %H:%M:%S}Z")
        if closed > answer.received_at:
            return None  # it is not over, and the next answer has other prices for it
        return CryptoOHLCVData(
            coin_id=coin_id,
            timestamp=closed - step,
            open=row.open,
            high=row.high,
            low=row.low,
            close=row.close,
            timeframe=timeframe,
            source=source,
            attribution=ATTRIBUTION[source],
        )

    rows = read_rows(decode(answer, list[msgspec.Raw]), f"/coins/{coin_id}/ohlc", CandleRow, candle)
    found = _in_order([one for one in rows.found if one is not None])
    _require_timeframe(found, coin_id, timeframe)
    return ParsedRows(found, rows.odd, rows.odd_fields)


def _require_timeframe(candles: Sequence[CryptoOHLCVData], coin_id: str, timeframe: str) -> None:
    """Refuse candles of another timeframe, which differ in nothing but in how far apart most of them are."""
    apart = Counter(later.timestamp - one.timestamp for one, later in pairwise(candles))
    usual, often = apart.most_common(1)[0] if apart else (timedelta(), 0)
    if often >= SURE and usual != length(timeframe):
        text = f"/coins/{coin_id}/ohlc answered with candles every {usual} where those of {timeframe} were asked for"
        raise Permanent("changed_shape", text, remedy="nothing of it is stored; ask for another timeframe")


def _in_order(candles: Sequence[CryptoOHLCVData]) -> list[CryptoOHLCVData]:
    last_sent = {one.timestamp: one for one in candles}
    return [last_sent[moment] for moment in sorted(last_sent)]


def prices(answer: Answer, coin: Coin, days: int) -> Success[list[CryptoPriceData]]:
    """Turn an answer of `/market_chart` into prices of the coin, oldest first, one for each moment that has a price.

    Market cap and volume are those of the same moment; None where it has none. Raises `Permanent("no_price")` where
    there is no price in the `days` asked for.
    """
    chart, odd_lines = decode_known(answer, Chart, ("market_caps", "total_volumes"))
    cap_at, of_caps = _line(chart.market_caps, coin, "market_caps")
    volume_at, of_volumes = _line(chart.total_volumes, coin, "total_volumes")

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
    return rows.success([priced[moment] for moment in sorted(priced)], *(odd_lines or (*of_caps, *of_volumes)))


def _line(points: Sequence[msgspec.Raw] | None, coin: Coin, name: str) -> tuple[dict[float, float], Sequence[str]]:
    """Return what is known of each moment, and notes of what is not; null never takes the place of a number."""
    if points is None:
        return {}, [f"taken for unknown: {_chart_of(coin)}: there is no {name}"]

    def known(point: Point) -> tuple[float, float | None]:
        if point.value is not None and point.value < 0:
            raise ValueError(f"expected a number of at least 0, got {point.value}")
        return point.moment, point.value

    rows = read_rows(points, _chart_of(coin), Point, known, within=f"$.{name}")
    return {moment: value for moment, value in rows.found if value is not None}, rows.notes


def _chart_of(coin: Coin) -> str:
    return f"/coins/{coin.coin_id}/market_chart"
