"""CoinGecko's tickers as level 1: a bid and an ask estimated from the last price and the spread it states.

The tickers of a coin hold pairs in which it is what others are traded for; those are theirs. Volumes are in units of
each pair's own base: what compares is the volume in US dollars. They come 100 a page, the most traded first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from attrs import frozen

from dataplatform.dsl.queries import Level1Query
from dataplatform.dsl.rows import ParsedRows, joined, read_rows
from dataplatform.dsl.types import Level1Data
from dataplatform.dsl.validators import market_time, printable
from dataplatform.errors import Permanent
from dataplatform.result import Success
from dataplatform.sources.coingecko.answers import ATTRIBUTION, Answer, decode, id_of
from dataplatform.sources.coingecko.endpoints import COIN, EXCHANGE_TICKERS, TICKERS, Ask, Parameters

__all__ = ["level1", "tickers", "wants_another_page"]

OTHER_PARTS = ("localization", "market_data", "community_data", "developer_data", "sparkline")
PAGE = 100  # tickers
MOST_PAGES = 10
NAME_IT = "name the exchange, which has fewer"


class Market(msgspec.Struct, frozen=True):
    """The exchange of a ticker."""

    identifier: str


class Volume(msgspec.Struct, frozen=True):
    """The currency used of a volume in several."""

    usd: float | None = None


class Ticker(msgspec.Struct, frozen=True):
    """The fields used of a ticker. `last` is in units of `target`, the spread in percent of it."""

    base: str
    target: str
    market: Market
    coin_id: str | None = None
    last: float | None = None
    converted_volume: Volume | None = None
    bid_ask_spread_percentage: float | None = None
    last_traded_at: datetime | None = None
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
    """A ticker as level 1, and what was traded in US dollars."""

    volume: float
    level1: Level1Data


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
    """Tell whether to ask for one more page: the last one was full, and no ticker fits yet."""
    last = pages[-1]
    full = len(decode(last, Tickers).tickers) >= PAGE and last.endpoint is not COIN
    return full and len(pages) < MOST_PAGES and not _fitting(_quotes(last, query))


def level1(pages: Sequence[Answer], query: Level1Query) -> Success[Level1Data]:
    """Turn the most traded fitting ticker into a bid and an ask, `estimated`; stale and odd ones are passed over.

    bid and ask = last price -/+ half of the spread, which CoinGecko gives in percent of the price.
    """
    _require_all(pages[-1], query)
    rows = joined(_quotes(page, query) for page in pages)
    rows.require_one()
    if quotes := _fitting(rows):
        return rows.success(max(quotes, key=lambda quote: quote.volume).level1)
    where = " on ".join(part for part in (query.market or "any market", query.exchange) if part)
    text = f"CoinGecko has no ticker of {query.ticker!r} with a spread on {where}"
    searched = len(pages) * PAGE
    if len(pages) == MOST_PAGES:
        raise Permanent("not_found", f"{text} among its first {searched}", remedy=NAME_IT)
    raise Permanent("not_found", "; ".join([text, *rows.notes]))


def _require_all(answer: Answer, query: Level1Query) -> None:
    """Refuse the tickers among all that is known of a coin where they are not all of them."""
    if answer.endpoint is COIN and len(decode(answer, Tickers).tickers) >= PAGE:
        text = f"the tools of this MCP server show {PAGE} tickers of {query.ticker!r} and no more"
        raise Permanent("unsupported", text, remedy=f"{NAME_IT}, or read over REST")


def _fitting(rows: ParsedRows[Quote | None]) -> list[Quote]:
    return [quote for quote in rows.found if quote is not None]


def _quotes(answer: Answer, query: Level1Query) -> ParsedRows[Quote | None]:
    """Return the tickers of an answer, None for those that are not what was asked for."""

    def quote(ticker: Ticker) -> Quote | None:
        return _quote(ticker, query, answer) if _fits(ticker, query) else None

    return read_rows(decode(answer, Tickers).tickers, answer.endpoint.path, Ticker, quote, within="$.tickers")


def _fits(ticker: Ticker, query: Level1Query) -> bool:
    wanted = query.market is None or query.market.upper() == ticker.pair.upper()
    exchange = query.exchange in {None, ticker.market.identifier}
    return ticker.coin_id == query.ticker and wanted and exchange and not (ticker.is_anomaly or ticker.is_stale)


def _quote(ticker: Ticker, query: Level1Query, answer: Answer) -> Quote | None:
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
    return Quote(volume or 0.0, made)
