"""CoinGecko's tickers as level 1: a bid and an ask estimated from the last price and the spread it states.

The tickers of a coin hold pairs in which it is what others are traded for; those are theirs. Volumes are in units of
each pair's own base: what compares is the volume in US dollars. They come 100 a page, the most traded first.

A ticker that CoinGecko marks as stale or as an anomaly is never taken, nor one whose last price is 0; without another,
the failure says so. One whose last trade is more than a day old is taken for want of another, and a note says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TypeAlias

import msgspec
from attrs import frozen

from dataplatform.dsl.operations.answers import ParsedRows, joined, read_rows
from dataplatform.dsl.records.queries import Level1Query
from dataplatform.dsl.records.rules import market_time, printable
from dataplatform.dsl.records.types import Level1Data
from dataplatform.errors import Permanent
from dataplatform.result import Success
from dataplatform.sources.coingecko.api import (
    ATTRIBUTION,
    COIN,
    EXCHANGE_TICKERS,
    TICKERS,
    Amount,
    Answer,
    Ask,
    Parameters,
    decode,
    id_of,
)

__all__ = ["level1", "tickers", "wants_another_page"]

OTHER_PARTS = ("localization", "market_data", "community_data", "developer_data", "sparkline")
PAGE = 100  # tickers
MOST_PAGES = 10
OLD = timedelta(days=1)
OPTIONAL = ("converted_volume.usd", "converted_volume", "timestamp")
NAME_IT = "name the exchange, which has fewer"


class Market(msgspec.Struct, frozen=True):
    """The exchange of a ticker."""

    identifier: str


class Volume(msgspec.Struct, frozen=True):
    """The currency used of a volume in several."""

    usd: Amount | None = None


class Ticker(msgspec.Struct, frozen=True):
    """The fields used of a ticker. `last` is in units of `target`, the spread in percent of it."""

    base: str
    target: str
    market: Market
    coin_id: str | None = None
    last: Amount | None = None
    converted_volume: Volume | None = None
    bid_ask_spread_percentage: Amount | None = None
    last_traded_at: datetime | None = None
    timestamp: datetime | None = None
    is_anomaly: bool | None = None
    is_stale: bool | None = None

    @property
    def pair(self) -> str:
        """What is traded for what; raises `ValueError` for symbols of which nothing can be shown."""
        base, target = printable(self.base), printable(self.target)
        if base is None or target is None:
            raise ValueError(f"expected symbols as base and target, got {self.base!r:.40} and {self.target!r:.40}")
        return f"{base}/{target}"


class Tickers(msgspec.Struct, frozen=True):
    """The part used of the answers that have tickers."""

    tickers: list[msgspec.Raw]


@frozen
class Quote:
    """A ticker as level 1, what was traded in US dollars, and since when it is old, where it is."""

    volume: float
    level1: Level1Data
    old: str = ""

    @property
    def rank(self) -> tuple[bool, float]:
        return not self.old, self.volume


@frozen
class PassedOver:
    """A ticker of what was asked for that cannot be taken, and why."""

    why: str


Found: TypeAlias = Quote | PassedOver | None


def tickers(query: Level1Query, page: int = 1) -> Ask:
    """Ask for a page of the tickers of a coin, on one exchange where the query names it.

    Later releases of CoinGecko's static tools have them by exchange only, and the first 100 as a part of all that is
    known of the coin.
    """
    common: Parameters = {"dex_pair_format": "symbol", "order": "volume_desc", "page": page}
    if query.exchange:
        of_exchange = Ask(EXCHANGE_TICKERS, {"coin_ids": query.ticker, **common}, query.exchange)
        return Ask(TICKERS, {"exchange_ids": query.exchange, **common}, query.ticker, instead=(of_exchange,))
    parts: Parameters = {"tickers": True, **dict.fromkeys(OTHER_PARTS, False), "dex_pair_format": "symbol"}
    return Ask(TICKERS, common, query.ticker, instead=(Ask(COIN, parts, query.ticker),) if page == 1 else ())


def wants_another_page(pages: Sequence[Answer], query: Level1Query) -> bool:
    """Tell whether to ask for one more page: the last one was full, and no ticker fits yet that is not old."""
    last = pages[-1]
    full = len(decode(last, Tickers).tickers) >= PAGE and last.endpoint is not COIN
    return full and len(pages) < MOST_PAGES and all(quote.old for quote in _fitting(_quotes(last, query)))


def level1(pages: Sequence[Answer], query: Level1Query) -> Success[Level1Data]:
    """Turn the most traded fitting ticker into a bid and an ask, `estimated`; an old one only for want of another.

    bid and ask = last price -/+ half of the spread, which CoinGecko gives in percent of the price.
    """
    _require_all(pages[-1], query)
    rows = joined(_quotes(page, query) for page in pages)
    rows.require_one()
    if quotes := _fitting(rows):
        best = max(quotes, key=attrgetter("rank"))
        old = f"there is no newer ticker of {query.ticker!r}: this one {best.old}"
        return rows.success(best.level1, *([old] if best.old else []))
    where = " on ".join(part for part in (query.market or "any market", query.exchange) if part)
    text = f"CoinGecko has no ticker of {query.ticker!r} with a price and a spread on {where}"
    searched = len(pages) * PAGE
    if len(pages) == MOST_PAGES:
        raise Permanent("not_found", f"{text} among its first {searched}", remedy=NAME_IT)
    raise Permanent("not_found", "; ".join([text, *_told(rows), *rows.notes]))


def _told(rows: ParsedRows[Found]) -> list[str]:
    """Say how many tickers were passed over, by why."""
    counts = Counter(one.why for one in rows.found if isinstance(one, PassedOver))
    return [f"{count} passed over, {why}" for why, count in counts.items()]


def _require_all(answer: Answer, query: Level1Query) -> None:
    """Refuse the tickers among all that is known of a coin where they are not all of them."""
    if answer.endpoint is COIN and len(decode(answer, Tickers).tickers) >= PAGE:
        text = f"the tools of this MCP server show {PAGE} tickers of {query.ticker!r} and no more"
        raise Permanent("unsupported", text, remedy=f"{NAME_IT}, or read over REST")


def _fitting(rows: ParsedRows[Found]) -> list[Quote]:
    return [quote for quote in rows.found if isinstance(quote, Quote)]


def _quotes(answer: Answer, query: Level1Query) -> ParsedRows[Found]:
    """Return the tickers of an answer, None for those that are not what was asked for."""

    def quote(ticker: Ticker) -> Found:
        return _quote(ticker, query, answer) if _fits(ticker, query) else None

    raws = decode(answer, Tickers).tickers
    return read_rows(raws, answer.endpoint.path, Ticker, quote, within="$.tickers", optional=OPTIONAL)


def _fits(ticker: Ticker, query: Level1Query) -> bool:
    wanted = query.market is None or query.market.upper() == ticker.pair.upper()
    exchange = query.exchange in {None, ticker.market.identifier}
    return ticker.coin_id == query.ticker and wanted and exchange


def _quote(ticker: Ticker, query: Level1Query, answer: Answer) -> Found:
    if why := _passed_over(ticker):
        return PassedOver(why)
    if ticker.last is None or ticker.bid_ask_spread_percentage is None or ticker.last_traded_at is None:
        return None
    half = ticker.last * ticker.bid_ask_spread_percentage / 200
    made = Level1Data(
        ticker=query.ticker,
        timestamp=market_time("last_traded_at", ticker.last_traded_at, answer.received_at),
        best_bid=ticker.last - half,
        best_ask=ticker.last + half,
        spread=2 * half,
        spread_percent=ticker.bid_ask_spread_percentage,
        exchange=id_of(ticker.market.identifier),
        market=ticker.pair,
        estimated=True,
        source=answer.source,
        attribution=ATTRIBUTION[answer.source],
    )
    volume = ticker.converted_volume.usd if ticker.converted_volume else None
    return Quote(volume or 0.0, made, _old(ticker, made.timestamp, answer.received_at))


def _passed_over(ticker: Ticker) -> str:
    if ticker.is_stale:
        return "marked as stale"
    if ticker.is_anomaly:
        return "marked as an anomaly"
    return "of a last price of 0" if ticker.last == 0 else ""


def _old(ticker: Ticker, traded_at: datetime, now: datetime) -> str:
    if traded_at < now - OLD:
        return f"was last traded at {traded_at.isoformat()}"
    if ticker.timestamp is not None and market_time("timestamp", ticker.timestamp, now) < now - OLD:
        return f"was last seen at {ticker.timestamp.isoformat()}"
    return ""
