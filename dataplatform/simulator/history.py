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

_OHLC_DAYS = (1, 2, 7, 14, 30, 90, 180, 365)
_FIVE_MINUTES = 300.0


def ohlc(query: Query) -> list[tuple[int, float, float, float, float]]:
    """Answer `/coins/{id}/ohlc`: rows of close time in ms, open, high, low, close; only candles that have closed."""
    coin, code, days = query.coin(), query.currency(), query.days()
    if query.parameters.get("interval"):
        raise refusals.paid_only()
    if days not in _OHLC_DAYS:
        raise refusals.bad_request(f"invalid days, allowed values: {'/'.join(map(str, _OHLC_DAYS))}")
    half_hours = 1 if days <= 2 else 8 if days <= 30 else 192  # noqa: PLR2004
    width = half_hours * HALF_HOUR
    first, end = math.ceil((query.seconds - days * DAY) / width), int(query.seconds // width)
    candles = (query.market.candle(coin.id, code, half_hours, n * half_hours) for n in range(first, end))
    return [_row(candle, code) for candle in candles]


def _row(candle: Candle, code: str) -> tuple[int, float, float, float, float]:
    opened, high, low, closed = (
        candle_price(value, code) for value in (candle.open, candle.high, candle.low, candle.close)
    )
    return milliseconds(candle.closed), opened, high, low, closed


def ohlc_range(query: Query) -> refusals.Json:
    """Answer `/coins/{id}/ohlc/range` as to everybody who does not pay."""
    del query
    raise refusals.paid_only()


def market_chart(query: Query) -> Chart:
    """Answer `/coins/{id}/market_chart`: prices, capitalisations and volumes up to now."""
    query.coin()
    query.currency()
    days, interval = query.days(), query.parameters.get("interval", "")
    if interval not in ("", "daily"):
        raise refusals.paid_only()
    spacing = DAY if interval == "daily" or days > 90 else HOUR if days > 1 else _FIVE_MINUTES  # noqa: PLR2004
    return _chart(query, query.seconds - days * DAY, query.seconds, spacing)


def market_chart_range(query: Query) -> Chart:
    """Answer `/coins/{id}/market_chart/range`; five-minutely only within the last day, as of now."""
    query.coin()
    query.currency()
    since, until = query.since_and_until()
    recent = since >= query.seconds - DAY
    spacing = DAY if until - since > 90 * DAY else _FIVE_MINUTES if recent else HOUR
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
