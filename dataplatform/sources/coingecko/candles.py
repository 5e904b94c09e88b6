"""Which candles CoinGecko has, by plan, and how to ask for them.

Without a paid plan their length follows from the days asked for, and none but 30 m, 4 h and 4 d can be had. A paid plan
adds those of 1 h and 1 d, in ranges of at most 31 and 180 days a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from dataplatform.dsl.records.queries import DateRangeOHLCVQuery
from dataplatform.dsl.records.timeframes import length
from dataplatform.errors import Permanent, PlatformError
from dataplatform.sources.coingecko.api import OHLC, OHLC_RANGE, Ask
from dataplatform.sources.coingecko.plans import PRICING

__all__ = ["candles_in_range", "intervals", "latest_candles"]

DAYS = {"30m": (1,), "4h": (7, 14, 30), "4d": (90, 180, 365)}  # the days `/ohlc` takes, by the candles it then gives


@frozen
class PaidCandles:
    """Candles of a paid plan: what their interval is called, the days that hold the latest, and the longest range."""

    interval: str
    latest: int
    longest: timedelta


PAID = {
    "1h": PaidCandles("hourly", 1, timedelta(days=31)),
    "1d": PaidCandles("daily", 7, timedelta(days=180)),
}


def intervals(*, paid: bool) -> tuple[str, ...]:
    """Return the intervals that a plan has candles of.

    >>> intervals(paid=True)
    ('30m', '1h', '4h', '1d', '4d')
    """
    return tuple(sorted([*DAYS, *(PAID if paid else ())], key=length))


def latest_candles(coin_ids: Sequence[str], timeframe: str, now: datetime, *, paid: bool) -> list[Ask] | PlatformError:
    """Ask for the latest candles of the timeframe, a request per coin."""
    if timeframe in DAYS:
        return [_of_days(coin_id, DAYS[timeframe][0]) for coin_id in coin_ids]
    if timeframe in PAID and paid:
        return [_of_days(coin_id, PAID[timeframe].latest, PAID[timeframe], now) for coin_id in coin_ids]
    return _no_candles(timeframe, paid=paid)


def candles_in_range(query: DateRangeOHLCVQuery, now: datetime, *, paid: bool) -> list[Ask] | PlatformError:
    """Ask for the candles of a range: with the fewest days that reach back to its start, or for the range itself."""
    if query.interval in DAYS:
        return _reaching_back(query, now)
    if query.interval in PAID and paid:
        return _in_pieces(query, PAID[query.interval], now)
    return _no_candles(query.interval, paid=paid)


def _reaching_back(query: DateRangeOHLCVQuery, now: datetime) -> list[Ask] | PlatformError:
    back = now - query.date_start
    enough = [days for days in DAYS[query.interval] if back <= timedelta(days=days)]
    if enough:
        return [_of_days(query.ticker, enough[0])]
    return Permanent(
        "unsupported",
        f"CoinGecko has candles of {query.interval} for the last {DAYS[query.interval][-1]} days only",
        remedy="ask for a later date_start, or for longer candles",
    )


def _in_pieces(query: DateRangeOHLCVQuery, kind: PaidCandles, now: datetime) -> list[Ask]:
    """Ask for candles by when they close: the last one that opens in the range closes after it."""
    since, until = query.date_start, min(query.date_end + length(query.interval), now)
    count = max(1, -((since - until) // kind.longest))
    begins = [since + number * kind.longest for number in range(count)]
    return [_between(query.ticker, kind, begin, min(begin + kind.longest, until)) for begin in begins]


def _of_days(coin_id: str, days: int, kind: PaidCandles | None = None, now: datetime | None = None) -> Ask:
    """Ask for candles up to now; later releases of the static tools have those of a paid plan for a range only."""
    asked = {"vs_currency": "usd", "days": str(days), "precision": "full"}
    if kind is None or now is None:
        return Ask(OHLC, asked, coin_id)
    in_range = _between(coin_id, kind, now - timedelta(days=days), now)
    return Ask(OHLC, {**asked, "interval": kind.interval}, coin_id, instead=(in_range,))


def _between(coin_id: str, kind: PaidCandles, since: datetime, until: datetime) -> Ask:
    times = {"from": str(int(since.timestamp())), "to": str(int(until.timestamp()))}
    return Ask(OHLC_RANGE, {"vs_currency": "usd", **times, "interval": kind.interval}, coin_id)


def _no_candles(timeframe: str, *, paid: bool) -> Permanent:
    there = f"CoinGecko has no candles of {timeframe}{'' if paid else ' without a paid plan'}; there are "
    if timeframe in PAID:
        remedy = f"ask for one of these, or use a key of a paid plan: {PRICING}"
    else:
        remedy = "ask for one of these"
    return Permanent("unsupported", there + ", ".join(intervals(paid=paid)), remedy=remedy)
