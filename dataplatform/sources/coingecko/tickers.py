"""CoinGecko's tickers as level 1: a bid and an ask estimated from the last price and the spread it states."""

from __future__ import annotations

from datetime import datetime

import msgspec

from dataplatform.dsl.queries import Level1Query
from dataplatform.dsl.types import Level1Data
from dataplatform.errors import Permanent
from dataplatform.sources.coingecko.answers import ATTRIBUTION, Answer, decode
from dataplatform.sources.coingecko.endpoints import COIN, TICKERS, Ask

__all__ = ["level1", "tickers"]


OTHER_PARTS = ("localization", "market_data", "community_data", "developer_data", "sparkline")


class Market(msgspec.Struct, frozen=True):
    """The exchange of a ticker."""

    identifier: str


class Ticker(msgspec.Struct, frozen=True):
    """The fields used of a ticker. `last` is in units of `target`, the spread in percent of it."""

    base: str
    target: str
    market: Market
    last: float | None = None
    volume: float | None = None
    bid_ask_spread_percentage: float | None = None
    last_traded_at: datetime | None = None
    is_anomaly: bool = False
    is_stale: bool = False


class Tickers(msgspec.Struct, frozen=True):
    """The part used of the answer of `/coins/{id}/tickers`, or of `/coins/{id}`."""

    tickers: list[Ticker]


def tickers(query: Level1Query) -> Ask:
    """Ask for the tickers of a coin, on one exchange where the query names it.

    Later releases of CoinGecko's static tools have them only as a part of all that is known of the coin.
    """
    exchange = {"exchange_ids": query.exchange} if query.exchange else {}
    whole = Ask(COIN, {"tickers": True, **dict.fromkeys(OTHER_PARTS, False)}, query.ticker)
    return Ask(TICKERS, {**exchange, "order": "volume_desc"}, query.ticker, instead=(whole,))


def level1(answer: Answer, query: Level1Query) -> Level1Data:
    """Turn the most traded fitting ticker into a bid and an ask, `estimated`; stale and odd ones are passed over.

    bid and ask = last price -/+ half of the spread, which CoinGecko gives in percent of the price.
    """
    found = [ticker for ticker in decode(answer, Tickers).tickers if _fits(ticker, query)]
    if not found:
        where = " on ".join(part for part in (query.market or "any market", query.exchange) if part)
        raise Permanent("not_found", f"CoinGecko has no ticker of {query.ticker!r} with a spread on {where}")
    best = max(found, key=lambda ticker: ticker.volume or 0.0)
    assert best.last is not None
    assert best.bid_ask_spread_percentage is not None
    assert best.last_traded_at is not None
    half, source = best.last * best.bid_ask_spread_percentage / 200, answer.source
    try:
        return Level1Data(
            ticker=query.ticker,
            timestamp=best.last_traded_at,
            best_bid=best.last - half,
            best_ask=best.last + half,
            spread=2 * half,
            spread_percent=best.bid_ask_spread_percentage,
            exchange=best.market.identifier,
            market=f"{best.base}/{best.target}",
            estimated=True,
            source=source,
            attribution=ATTRIBUTION[source],
        )
    except ValueError as error:
        raise Permanent("changed_shape", f"/coins/{query.ticker}/tickers: {error}") from error


def _fits(ticker: Ticker, query: Level1Query) -> bool:
    known = None not in {ticker.last, ticker.bid_ask_spread_percentage, ticker.last_traded_at}
    wanted = query.market is None or query.market.upper() == f"{ticker.base}/{ticker.target}".upper()
    exchange = query.exchange in {None, ticker.market.identifier}
    return known and wanted and exchange and not (ticker.is_anomaly or ticker.is_stale)
