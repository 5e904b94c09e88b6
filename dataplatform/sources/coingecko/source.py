"""The CoinGecko source: hooks that plan its REST requests, and feeds that poll them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from dataplatform.dsl.feeds import Crop, Feed
from dataplatform.dsl.flow import letter_for_input
from dataplatform.dsl.kinds import ANALYTICS, PRICES
from dataplatform.dsl.plan import Plan
from dataplatform.dsl.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.reader import BaseReader
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success
from dataplatform.sources.coingecko import history, requests, tickers, transforms
from dataplatform.sources.coingecko.options import CoinGeckoOptions, FeedOptions

__all__ = ["CoinGeckoSource"]


class CoinGeckoSource(BaseReader):
    """Prices, tickers and market analytics of CoinGecko's REST API v3, keyless, demo or paid."""

    technology: ClassVar[str] = "CoinGecko"
    client_kind: ClassVar[str] = "http"
    Options = CoinGeckoOptions
    options: CoinGeckoOptions

    def _open(self) -> None:
        self._seen: dict[str, datetime] = {}
        super()._open()

    # Operations' hooks

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        asked = requests.markets_of(coin_ids, change_7d=options.include_change_7d)
        others = [currency for currency in options.vs_currencies if currency != "usd"]
        more = requests.simple_prices(coin_ids, others) if others else []

        def transform(answers: list[Any]) -> list[CryptoPriceData]:
            found = transforms.markets(answers[: len(asked)])
            if found.broken:
                raise found.broken[0][1]
            return transforms.with_other_currencies(found.prices, answers[len(asked) :])

        return Success(Plan(self.client, [*asked, *more], transform))

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        asked = requests.coin_list() if limit is None else requests.top_markets(limit)
        return Success(Plan(self.client, asked, lambda answers: transforms.coin_ids(answers)[:limit]))

    def _market_analytics(self) -> Result[Plan[CryptoMarketAnalytics]]:
        return Success(Plan(self.client, requests.global_data(), lambda answers: transforms.analytics(answers[0])))

    def _latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str) -> Result[Plan[list[CryptoOHLCVData]]]:
        asked = history.ohlc(coin_ids, timeframe)
        if isinstance(asked, PlatformError):
            return Failure(asked)
        return Success(Plan(self.client, asked, lambda answers: history.latest_candles(answers, coin_ids, timeframe)))

    def _price_history(self, coin_id: str, days: int) -> Result[Plan[list[CryptoPriceData]]]:
        def transform(answers: list[Any]) -> list[CryptoPriceData]:
            coin = transforms.markets(answers[:1]).prices
            return history.prices(answers[1], coin[0]) if coin else []

        return Success(Plan(self.client, [*requests.markets_of([coin_id]), history.chart(coin_id, days)], transform))

    def _ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Result[Plan[list[CryptoOHLCVData]]]:
        asked = history.ohlc_in_range(query, self.clock.now())
        if isinstance(asked, PlatformError):
            return Failure(asked)
        return Success(
            Plan(self.client, asked, lambda answers: history.candles(answers[0], query.ticker, query.interval))
        )

    def _level1(self, query: Level1Query) -> Result[Plan[Level1Data]]:
        return Success(Plan(self.client, [tickers.tickers(query)], lambda answers: tickers.level1(answers[0], query)))

    # Feeds

    def _feeds(self) -> Sequence[Feed]:
        return [self._feed(f"{number}-{feed.operation}", feed) for number, feed in enumerate(self.options.feeds, 1)]

    def _feed(self, name: str, feed: FeedOptions) -> Feed:
        if feed.operation == "get_market_analytics":
            plan = Plan(self.client, requests.global_data(), self._analytics_crop)
        else:
            asked = requests.markets_of(feed.coins) if feed.coins else requests.top_markets(feed.top or 0)
            plan = Plan(self.client, asked, lambda answers: self._prices_crop(answers, feed.top))
        return Feed(name, lambda: Success(plan), feed.every)

    def _prices_crop(self, answers: list[Any], top: int | None) -> list[Crop]:
        """Take the prices that changed since they were last read, and dead letters of the rows that are none."""
        found, now = transforms.markets(answers), self.clock.now()
        letters = [letter_for_input(raw, error, origin=self.name, at=now) for raw, error in found.broken]
        new = [price for price in found.prices[:top] if self._seen.get(price.coin_id) != price.last_updated]
        self._seen |= {price.coin_id: price.last_updated for price in new}
        self.count("unpriced", len(found.unpriced))
        return [Crop(PRICES, list(new), letters=letters)]

    def _analytics_crop(self, answers: list[Any]) -> list[Crop]:
        state = transforms.analytics(answers[0])
        if self._seen.get("/global") == state.timestamp:
            return []
        self._seen["/global"] = state.timestamp
        return [Crop(ANALYTICS, [state])]
