"""What the reading operations answer: records as items of a view, and what a view has seen as answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

from dataplatform.base.streaming import Digest, Item, Seen
from dataplatform.dsl.operations.answers import UNKNOWN, no_candles
from dataplatform.dsl.records.codec import decode_plausible
from dataplatform.dsl.records.kinds import OHLCV, Kind
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.errors import Permanent

__all__ = ["analytics", "candles", "digest", "latest_candles", "level1", "notes", "prices", "tickers"]

SHOWN = 5  # of the coins that were not seen
R = TypeVar("R")
OfCoin = TypeVar("OfCoin", CryptoPriceData, CryptoOHLCVData)


def digest(kind: Kind) -> Digest:
    """Return how messages of a kind become items: by message key (a coin or ticker), the latest for each other key.

    Of candles all are kept, each in the place of its open, so that ranges of them can be answered. Which times can be
    is told by the machine's clock, as those are that wrote the messages.
    """
    left_out = {kind.message_key} if kind is OHLCV else {kind.message_key, kind.time}
    keys = [name for name in kind.key if name not in left_out]
    group_of, time_of = attrgetter(kind.message_key), attrgetter(kind.time)
    key_of = attrgetter(*keys) if keys else group_of

    def items(values: Sequence[bytes | None]) -> tuple[list[Item], int]:
        records, failures = decode_plausible(kind, values, datetime.now(UTC))
        return [Item(group_of(one), key_of(one), time_of(one), one) for one in records], len(failures)

    return items


def notes(seen: Seen) -> tuple[str, ...]:
    """Return what is to be said of a topic's messages that are no records, whatever coin they were meant to be of."""
    if not seen.malformed:
        return ()
    messages, records = ("message", "is no record") if seen.malformed == 1 else ("messages", "are no records")
    return (f"left out: {seen.malformed:,} {messages} of topic {seen.topic} that {records}",)


def prices(seen: Seen, coin_ids: Sequence[str]) -> list[CryptoPriceData]:
    """Return the latest price of each coin; like the others below it raises `not_found` where there is nothing."""
    return _latest_of_each(seen.values, attrgetter("last_updated")) or _nothing(seen, coin_ids)


def tickers(seen: Seen, limit: int | None) -> list[str]:
    """Return the coins with the largest market caps, those without one last."""
    known = _latest_of_each(seen.values, attrgetter("last_updated"))
    known.sort(key=lambda price: (price.market_cap is None, -(price.market_cap or 0.0), price.coin_id))
    return [price.coin_id for price in known[:limit]]


def analytics(seen: Seen) -> CryptoMarketAnalytics:
    """Return the latest state of the market."""
    found: CryptoMarketAnalytics = _latest(seen, seen.values, "analytics")
    return found


def latest_candles(seen: Seen, coin_ids: Sequence[str], timeframe: str) -> list[CryptoOHLCVData]:
    """Return the latest candle of each coin."""
    return _latest_of_each(_of_interval(seen, coin_ids, timeframe), attrgetter("timestamp"))


def candles(seen: Seen, query: DateRangeOHLCVQuery) -> list[CryptoOHLCVData]:
    """Return all candles of the query's coin and timeframe."""
    return _of_interval(seen, [query.ticker], query.interval)


def level1(seen: Seen, query: Level1Query) -> Level1Data:
    """Return the latest bid and ask on the exchange and market, where they are named."""
    fitting = [
        record
        for record in seen.values
        if query.exchange in {None, record.exchange} and query.market in {None, record.market}
    ]
    what = " ".join(filter(None, (query.ticker, query.exchange, query.market)))
    found: Level1Data = _latest(seen, fitting, what)
    return found


def _of_interval(seen: Seen, coin_ids: Sequence[str], timeframe: str) -> list[CryptoOHLCVData]:
    """Return the candles of the interval; where the coins have only others, the error says of which."""
    fitting = [candle for candle in seen.values if candle.timeframe == timeframe]
    if not fitting and seen.values:
        coins = dict.fromkeys(candle.coin_id for candle in seen.values)
        raise no_candles(f"topic {seen.topic}", timeframe, [*coins], {candle.timeframe for candle in seen.values})
    return fitting or _nothing(seen, coin_ids)


def _latest_of_each(records: Iterable[OfCoin], time: attrgetter[datetime]) -> list[OfCoin]:
    kept: dict[str, OfCoin] = {}
    for record in records:
        before = kept.get(record.coin_id)
        if before is None or time(record) > time(before):
            kept[record.coin_id] = record
    return list(kept.values())


def _latest(seen: Seen, records: list[Any], what: str) -> Any:
    return max(records, key=attrgetter("timestamp")) if records else _nothing(seen, [what], coins=False)


def _nothing(seen: Seen, what: Sequence[str], *, coins: bool = True) -> list[Any]:
    """Raise the error of what is not in a topic, which tells since when and until when that was read.

    >>> from datetime import UTC
    >>> seen = Seen("crypto-prices", datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), [])
    >>> _nothing(seen, ["tulip"])
    Traceback (most recent call last):
    ...
    dataplatform.errors.Permanent: not_found: Redpanda knows no coin 'tulip', not seen on topic crypto-prices since \
2026-01-01T00:00:00Z, as of 2026-01-02T00:00:00Z; see get_available_tickers, or the option view_from
    """
    names = ", ".join(map(repr, what[:SHOWN])) + (f" and {len(what) - SHOWN} more" if len(what) > SHOWN else "")
    since = f"since {_written(seen.since)}" if seen.since else "which holds no message with a time"
    lacks = f"Redpanda {UNKNOWN} {names}, not seen" if coins else f"Redpanda has not seen {names}"
    text = f"{lacks} on topic {seen.topic} {since}, as of {_written(seen.as_of)}"
    text += "".join(f" ({note})" for note in notes(seen))
    raise Permanent("not_found", text, remedy="see get_available_tickers, or the option view_from")


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
