"""The CoinGecko source: hooks that plan what to ask, over whichever transport, and feeds that poll it.

What a CoinGecko source is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from attrs import Attribute, field, frozen, validators

from dataplatform.base.agent import Context, Request
from dataplatform.dsl.flow import Outbox, PolledRow, letter_for_row
from dataplatform.dsl.flow.feeds import Absent, Feed, FeedOptions, FeedResult, Seen
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.operations.answers import OddRow, unknown_coin
from dataplatform.dsl.operations.parts import Connection, Part, SourceOptions
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.records.kinds import ANALYTICS, PRICES
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.records.types import (
    CryptoMarketAnalytics,
    CryptoOHLCVData,
    CryptoPriceData,
    DeadLetter,
    Level1Data,
    Record,
)
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success
from dataplatform.sources.coingecko import api as endpoints
from dataplatform.sources.coingecko import candles, history, symbols, tickers, transforms
from dataplatform.sources.coingecko.api import Answer, Ask, with_replacements
from dataplatform.sources.coingecko.plans import Credits, is_paid
from dataplatform.sources.coingecko.symbols import is_symbol
from dataplatform.sources.coingecko.transports import TRANSPORTS, Rest, Transport

__all__ = ["CoinGeckoOptions", "CoinGeckoSource", "FeedOptions"]


def _by_ids(options: Any, attribute: Attribute[Any], value: tuple[FeedOptions, ...]) -> None:
    """Refuse coins called by symbols: a feed polls for years, and a symbol may mean another coin then."""
    del options, attribute
    if named := [coin for feed in value for coin in feed.coins if is_symbol(coin)]:
        raise ValueError(
            f"a feed names its coins by their ids, which have no capitals, got {named[0]!r:.60}; "
            "write 'bitcoin' for BTC or Bitcoin (get_available_tickers tells the ids)"
        )


@frozen(kw_only=True)
class CoinGeckoOptions(SourceOptions):
    """Options of `kind = "coingecko"` under `[sources.NAME]`."""

    feeds: tuple[FeedOptions, ...] = field(
        default=(), validator=_by_ids, metadata={"help": "what to poll, and how often"}
    )
    patience: float = field(
        default=8.0,
        validator=[validators.ge(0.0), validators.le(600.0)],
        metadata={
            "help": "how long an operation may wait for its turn under rate_per_minute; its caller waits as long"
        },
    )
    save_credits: bool = field(
        default=True,
        validator=validators.instance_of(bool),
        metadata={
            "help": "with the key of a paid plan, over REST: ask for the credits left, and spread requests over the "
            "rest of the month when less than a tenth is left"
        },
    )


T = TypeVar("T")
KIND = "coingecko"  # as topologies call this source


class CoinGeckoSource(BaseReader):
    """Prices, candles, tickers and market analytics of CoinGecko, keyless, demo or paid, over REST or MCP."""

    technology: ClassVar[str] = "CoinGecko"
    client_kind: ClassVar[str] = "http"
    other_client_kinds: ClassVar[tuple[str, ...]] = ("mcp",)
    Options = CoinGeckoOptions
    options: CoinGeckoOptions

    def __init__(
        self,
        context: Context,
        options: Any,
        client: str,
        outbox: Outbox | None = None,
        transport: Transport | None = None,
    ) -> None:
        super().__init__(context, options, client, outbox)
        self._transport = transport or Rest()

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection, outbox: Outbox | None) -> Part:
        """Speak the language of the client."""
        client, transport = connection.agents[0], TRANSPORTS[type(connection.settings)](connection.settings)
        return Part((cls.child(name, options, client, outbox, transport),), client)

    @classmethod
    def decode_row(cls, row: PolledRow) -> Record:
        """Return the price in a row of `/coins/markets`, the one endpoint whose rows become dead letters."""
        if row.endpoint != endpoints.COINS_MARKETS.path:
            return super().decode_row(row)
        return transforms.price_of(row)

    @classmethod
    def intervals(cls, connection: Connection) -> tuple[str, ...] | None:
        return candles.intervals(paid=is_paid(connection.settings))

    def _open(self) -> None:
        self._seen, self._absent = Seen(), Absent()
        self._credits = Credits(self, self.client, self._transport.timeout)
        super()._open()
        self._ask_for_credits()

    def _peer_restarted(self, name: str) -> None:
        super()._peer_restarted(name)
        if name == self.client.name:
            self._ask_for_credits()  # the client has forgotten them

    def _ask_for_credits(self) -> None:
        if self.options.save_credits and self._transport.tells_credits:
            self._credits.ask()

    def _plan(self, asks: Sequence[Ask], transform: Callable[[list[Answer]], T | Success[T]]) -> Plan[T]:
        return self._plan_of_known(asks, lambda answers: transform([one for one in answers if one is not None]))

    def _plan_of_known(
        self, asks: Sequence[Ask], transform: Callable[[list[Answer | None]], T | Success[T]], *absent: str
    ) -> Plan[T]:
        """Plan asks of which some may fail with the codes in `absent`; None stands for their answers then."""
        transport = self._transport

        def read(answers: list[Any]) -> T | Success[T]:
            asked = zip(asks, answers, strict=True)
            came = [None if answer is None else transport.read(ask, answer) for ask, answer in asked]
            return with_replacements(transform(came), came)

        return Plan(
            self.client,
            [transport.put(ask) for ask in asks],
            read,
            timeout=transport.timeout,
            patience=self.options.patience,
            absent=frozenset(absent),
        )

    def _plan_of_pages(
        self,
        page: Callable[[int], Ask],
        wants_another: Callable[[list[Answer]], bool],
        transform: Callable[[list[Answer]], T | Success[T]],
    ) -> Plan[T]:
        """Plan one page after the other, from 1 on, until what came is enough, or one is not there."""
        transport = self._transport

        def read(answers: list[Any]) -> list[Answer]:
            came = [answer for answer in answers if answer is not None]
            return [transport.read(page(number), answer) for number, answer in enumerate(came, 1)]

        def made(answers: list[Any]) -> T | Success[T]:
            pages = read(answers)
            return with_replacements(transform(pages), pages)

        def next_page(answers: list[Any]) -> Request[Any] | None:
            if answers[-1] is None or not wants_another(read(answers)):
                return None
            return transport.put(page(len(answers) + 1))

        return Plan(
            self.client,
            [transport.put(page(1))],
            made,
            timeout=transport.timeout,
            patience=self.options.patience,
            absent=frozenset({"not_found"}),
            next_page=next_page,
        )

    # Operations' hooks

    def _ids_meant(self, coins: Sequence[str]) -> Plan[list[str]] | None:
        named = [coin for coin in coins if symbols.is_symbol(coin)]
        if not named:
            return None
        of_symbols = endpoints.markets_of_symbols(named)
        of_ids = endpoints.markets_of([coin.lower() for coin in named], change_7d=False)

        def transform(answers: list[Answer]) -> Success[list[str]]:
            return symbols.ids_of(coins, answers[: len(of_symbols)], answers[len(of_symbols) :])

        return self._plan([*of_symbols, *of_ids], transform)

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        asked = endpoints.markets_of(coin_ids, change_7d=options.include_change_7d)
        others = [currency for currency in options.vs_currencies if currency != "usd"]
        more = endpoints.simple_prices(coin_ids, others) if others else []

        def transform(answers: list[Answer]) -> Success[list[CryptoPriceData]]:
            found = transforms.markets(answers[: len(asked)])
            prices, notes = transforms.with_other_currencies(found.prices, answers[len(asked) :])
            return found.answer(coin_ids, prices, *notes)

        return Success(self._plan([*asked, *more], transform))

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        asked = endpoints.coin_list() if limit is None else endpoints.top_markets(limit)
        return Success(self._plan(asked, lambda answers: transforms.coin_ids(answers, limit)))

    def _market_analytics(self) -> Result[Plan[CryptoMarketAnalytics]]:
        return Success(self._plan(endpoints.global_data(), lambda answers: transforms.analytics(answers[0])))

    def _latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str) -> Result[Plan[list[CryptoOHLCVData]]]:
        asked = candles.latest_candles(coin_ids, timeframe, self.clock.now(), paid=self._transport.paid)
        if isinstance(asked, PlatformError):
            return Failure(asked)

        def transform(answers: list[Answer | None]) -> Success[list[CryptoOHLCVData]]:
            return history.latest_candles(answers, coin_ids, timeframe)

        return Success(self._plan_of_known(asked, transform, "not_found"))

    def _price_history(self, coin_id: str, days: int) -> Result[Plan[list[CryptoPriceData]]]:
        asked = [*endpoints.markets_of([coin_id]), history.chart(coin_id, days, self.clock.now())]

        def transform(answers: list[Answer | None]) -> Success[list[CryptoPriceData]]:
            listed, charted = answers
            if charted is None:
                raise unknown_coin(coin_id, self.name)
            return history.prices(charted, _coin(coin_id, listed), days)

        return Success(self._plan_of_known(asked, transform, "not_found"))

    def _ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Result[Plan[list[CryptoOHLCVData]]]:
        asked = candles.candles_in_range(query, self.clock.now(), paid=self._transport.paid)
        if isinstance(asked, PlatformError):
            return Failure(asked)

        def transform(answers: list[Answer | None]) -> Success[list[CryptoOHLCVData]]:
            found = [answer for answer in answers if answer is not None]
            if not found:
                raise unknown_coin(query.ticker, self.name)
            return history.candles(found, query.ticker, query.interval)

        return Success(self._plan_of_known(asked, transform, "not_found"))

    def _level1(self, query: Level1Query) -> Result[Plan[Level1Data]]:
        def transform(pages: list[Answer]) -> Success[Level1Data]:
            if not pages:
                raise unknown_coin(query.ticker, self.name)
            return tickers.level1(pages, query)

        page = partial(tickers.tickers, query)
        return Success(self._plan_of_pages(page, lambda pages: tickers.wants_another_page(pages, query), transform))

    # Feeds

    def _feeds(self) -> Sequence[Feed]:
        return [self._feed(f"{number}-{feed.operation}", feed) for number, feed in enumerate(self.options.feeds, 1)]

    def _feed(self, name: str, feed: FeedOptions) -> Feed:
        if feed.operation == "get_market_analytics":
            plan = self._plan(endpoints.global_data(), self._analytics_found)
        else:
            asked = endpoints.markets_of(feed.coins) if feed.coins else endpoints.top_markets(feed.top or 0)
            plan = self._plan(asked, lambda answers: self._prices_found(answers, name, feed))
        return Feed(name, lambda: Success(plan), feed.every)

    def _prices_found(self, answers: list[Answer], name: str, feed: FeedOptions) -> list[FeedResult]:
        """Take the prices that changed since they were last read, and dead letters of invalid rows."""
        found = transforms.markets(answers)
        found.rows.require_one()
        self._tell_absent(name, feed.coins, found)
        letters = [self._letter_for(row, answers[0].source) for row in found.rows.odd]
        asked = [price for price in found.prices if not feed.coins or price.coin_id in feed.coins]
        self.count("unpriced", len(found.unpriced))
        self.count("not_asked_for", len(found.prices) - len(asked))
        return [FeedResult(PRICES, self._seen.new(PRICES, asked[: feed.top]), letters=letters)]

    def _tell_absent(self, feed: str, coins: Sequence[str], found: transforms.Markets) -> None:
        """Show how many of the coins that feeds name CoinGecko lacks; and which, when that changes."""
        came = {*found.coins, *(row.subject for row in found.rows.odd)}
        absent = [coin for coin in coins if coin not in came]
        if self._absent.changed(feed, absent) and absent:
            remedy = "see get_available_tickers for the ids"
            self.log.warning("coins that CoinGecko lacks", feed=feed, coins=absent, remedy=remedy)
        self.gauge("unknown_coins", len(self._absent))

    def _letter_for(self, row: OddRow, source: str) -> DeadLetter:
        polled = PolledRow(
            raw=row.raw,
            source_kind=KIND,
            endpoint=endpoints.COINS_MARKETS.path,
            source=source,
            received_at=self.clock.now(),
        )
        return letter_for_row(polled, row.error, origin=self.name, kind=PRICES)

    def _analytics_found(self, answers: list[Answer]) -> list[FeedResult]:
        return [FeedResult(ANALYTICS, self._seen.new(ANALYTICS, [transforms.analytics(answers[0]).data]))]


def _coin(coin_id: str, listed: Answer | None) -> transforms.Coin:
    """Return the coin as it is listed; one that is listed no more goes by its id."""
    found = transforms.markets([] if listed is None else [listed]).coins
    return found.get(coin_id) or transforms.Coin(coin_id, coin_id)
