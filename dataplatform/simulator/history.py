"""The payloads about one coin's past: candles and charts, at the granularities CoinGecko chooses by itself."""

from __future__ import annotations

import math
from typing import TypeAlias

from dataplatform.simulator import refusals
from dataplatform.simulator.market import DAY, HOUR, Candle
from dataplatform.simulator.noise import HALF_HOUR
from dataplatform.simulator.query import Query
from dataplatform.simulator.rounding import candle_price, milliseconds

__all__ = ["Chart", "market_chart", "market_chart_range", "ohlc", "ohlc_range"]

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
