"""BaseReader: every reading operation, implemented once; a source adds hooks that plan requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias, TypeVar, assert_never

from attrs import evolve

from dataplatform.base.agent import Answer, Context
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.flow.source import FlowMessage, FlowSource, Pause, Resume
from dataplatform.dsl.operations.answers import (
    SHOWN,
    asked_for,
    latest_of_kind,
    level1_asked_for,
    named_coins,
    unknown_coin,
)
from dataplatform.dsl.operations.in_flight import InFlight
from dataplatform.dsl.operations.operations import (
    GetAvailableTickers,
    GetCurrentOHLCV,
    GetCurrentPrice,
    GetCurrentPrices,
    GetLatestOHLCV,
    GetLevel1Data,
    GetMarketAnalytics,
    GetOHLCVByDateRange,
    GetPriceHistory,
    ReadingOperation,
    SourceRequest,
    of_kind,
    reading,
)
from dataplatform.dsl.operations.parts import Connection, Part, Source
from dataplatform.dsl.operations.registry import unsupported
from dataplatform.dsl.records import checks
from dataplatform.dsl.records.kinds import Kind
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query, OHLCVSeries
from dataplatform.dsl.records.timeframes import series
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["BaseReader"]

S = TypeVar("S")
T = TypeVar("T")
OfCoin = TypeVar("OfCoin", CryptoPriceData, CryptoOHLCVData)
ReaderMessage: TypeAlias = ReadingOperation | SourceRequest[Any] | FlowMessage


class BaseReader(FlowSource, Source):
    """A source of market data.

    An operation checks its arguments, asks the hook of the same name for a plan, has it carried out, matches what came
    to what was asked, and answers a `Result`, whose notes name what was left out; later, where the plan asks somebody.
    A hook that is not overridden makes its operation fail as `unsupported`. Beyond 256 operations in flight the next
    fails as `busy`. A bug in an operation fails that operation alone: what is asked from outside never costs the flow.
    """

    technology: ClassVar[str] = "this source"

    def __init__(self, context: Context, options: Any, client: str, outbox: Outbox | None = None) -> None:
        super().__init__(context, client, outbox, stall_after=options.stall_after)
        self.options = options
        self._operations = InFlight(self)

    @classmethod
    def supported(cls) -> tuple[str, ...]:
        """Return the operations whose hook such a source overrides."""
        return tuple(name for name, hook in reading().items() if getattr(cls, hook) is not getattr(BaseReader, hook))

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection, outbox: Outbox | None) -> Part:
        """Return the agents of one source of this technology."""
        client = connection.agents[0]
        return Part((cls.child(name, options, client, outbox),), client)

    @classmethod
    def places(cls, options: Any) -> Mapping[str, str]:
        """Return where the client has the records of each kind that a route brings, for a stream; else nothing."""
        del options
        return {}

    @classmethod
    def group(cls, options: Any) -> str | None:
        """Return the group in which the client notes how far it has read; None for what is no stream."""
        del options
        return None

    @classmethod
    def intervals(cls, connection: Connection) -> tuple[str, ...] | None:
        """Return the intervals of candles that there can be; None where any can, or only the answer tells."""
        del connection
        return None

    # Hooks

    def _ids_meant(self, coins: Sequence[str]) -> Plan[list[str]] | None:
        """Plan the ids that are meant by what coins are called, in their order; None where all of them are ids."""
        del coins
        return None

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        """Plan the latest prices of the coins; unknown ones are absent from the answer."""
        del coin_ids, options
        return self._unsupported("get_current_prices")

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        """Plan the coin ids by market cap, all of them without a limit."""
        del limit
        return self._unsupported("get_available_tickers")

    def _market_analytics(self) -> Result[Plan[CryptoMarketAnalytics]]:
        """Plan the state of the whole market."""
        return self._unsupported("get_market_analytics")

    def _latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str) -> Result[Plan[list[CryptoOHLCVData]]]:
        """Plan the latest complete candle of each coin; unknown ones are absent from the answer."""
        del coin_ids, timeframe
        return self._unsupported("get_latest_ohlcv")

    def _price_history(self, coin_id: str, days: int) -> Result[Plan[list[CryptoPriceData]]]:
        """Plan the prices of a coin in US dollars over the last days, oldest first."""
        del coin_id, days
        return self._unsupported("get_price_history")

    def _ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Result[Plan[list[CryptoOHLCVData]]]:
        """Plan the candles of the query's range, at least; those outside of it are left out afterwards."""
        del query
        return self._unsupported("get_ohlcv_by_date_range")

    def _level1(self, query: Level1Query) -> Result[Plan[Level1Data]]:
        """Plan the best bid and ask."""
        del query
        return self._unsupported("get_level1_data")

    def _latest_records(self, kind: Kind, keys: Sequence[str]) -> Result[Plan[list[Any]]]:
        """Plan the latest record of a kind for each of some message keys; those that there are not are absent."""
        del keys
        return self._unsupported(kind.get_latest)

    # Operations

    def get_current_price(self, coin_id: str, vs_currency: str = "usd") -> Answer[CryptoPriceData]:
        """Answer the latest price of one coin.

        `vs_currency` (`usd`, `btc` or `eth`) asks for the price in that currency besides the one in US dollars; it is
        None where the source does not know it. Fails with `not_found` for a coin the source does not know, `no_price`
        for one that has no price now, `bad_argument`, or what the technology's plan fails with.
        """
        options = CurrentPricesOptions(vs_currencies=("usd", vs_currency))
        if error := checks.coin_id(coin_id) or checks.currencies(options):
            return Failure(error)
        return self._answer_about(
            [coin_id],
            lambda ids: self._current_prices(ids, options),
            lambda ids, answer: self._one_of(self._prices_of(ids, answer)),
        )

    def get_current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions | None = None
    ) -> Answer[list[CryptoPriceData]]:
        """Answer the latest prices of 1 to 10,000 coins, in the order asked; coins the source lacks are absent.

        Fails with `not_found` when it knows none of them, `bad_argument`, or what the technology's plan fails with.
        """
        options = CurrentPricesOptions() if options is None else options
        if error := checks.coin_ids(coin_ids) or checks.currencies(options):
            return Failure(error)
        return self._answer_about(coin_ids, lambda ids: self._current_prices(ids, options), self._prices_of)

    def get_available_tickers(self, limit: int | None = None) -> Answer[list[str]]:
        """Answer the ids of the coins the source knows, the largest market cap first where it has one."""
        return self._answer_with(
            checks.limit(limit), lambda: self._available_tickers(limit), partial(_each_once, limit=limit)
        )

    def get_market_analytics(self) -> Answer[CryptoMarketAnalytics]:
        """Answer the state of the whole market: caps and volumes in US dollars, shares in percent."""
        return self._answer_with(None, self._market_analytics, lambda answer: answer)

    def get_current_ohlcv(self, coin_id: str, interval: str = "30m") -> Answer[CryptoOHLCVData]:
        """Answer the latest complete candle of one coin, in US dollars. Fails as `get_latest_ohlcv` does."""
        if error := checks.coin_id(coin_id) or checks.timeframe(interval):
            return Failure(error)
        return self._answer_about(
            [coin_id],
            lambda ids: self._latest_ohlcv(ids, interval),
            lambda ids, answer: self._one_of(self._in_order(ids, self._candles_of(ids, interval, answer))),
        )

    def get_latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str = "30m") -> Answer[list[CryptoOHLCVData]]:
        """Answer the latest complete candle of each coin, in US dollars, in the order asked.

        Coins the source lacks are absent; `not_found` when it knows none of them. Fails with `bad_argument` for what
        is no timeframe, `unsupported` for one the source has no candles of.
        """
        if error := checks.coin_ids(coin_ids) or checks.timeframe(timeframe):
            return Failure(error)
        return self._answer_about(
            coin_ids,
            lambda ids: self._latest_ohlcv(ids, timeframe),
            lambda ids, answer: self._in_order(ids, self._candles_of(ids, timeframe, answer)),
        )

    def get_price_history(self, coin_id: str, days: int, vs_currency: str = "usd") -> Answer[list[CryptoPriceData]]:
        """Answer the prices of a coin over the last days, oldest first, as densely as the source has them."""
        if error := checks.coin_id(coin_id) or checks.days(days) or checks.history_currency(vs_currency):
            return Failure(error)
        return self._answer_about(
            [coin_id],
            lambda ids: self._price_history(ids[0], days),
            lambda ids, answer: self._history_of(ids[0], days, answer),
        )

    def get_ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Answer[OHLCVSeries]:
        """Answer the candles whose open lies in the query's range, in order, and the gaps among them.

        Fails with `bad_argument` for a range that ends before it starts or holds more than 10,000 candles,
        `unsupported` for a timeframe or a past that the source has no candles of.
        """
        if error := checks.date_range(query):
            return Failure(error)
        return self._answer_about(
            [query.ticker],
            lambda ids: self._ohlcv_by_date_range(evolve(query, ticker=ids[0])),
            lambda ids, answer: self._series_of(evolve(query, ticker=ids[0]), answer),
        )

    def get_level1_data(self, query: Level1Query) -> Answer[Level1Data]:
        """Answer the best bid and ask of a coin on the market asked for, else on the most traded one.

        Prices are in the currency that `market` quotes (`BTC/USDT`: in USDT). `estimated` says that they were derived
        from a last price and a spread. Fails with `not_found` where the coin is not traded so.
        """
        if error := checks.level1(query):
            return Failure(error)
        return self._answer_about(
            [query.ticker],
            lambda ids: self._level1(evolve(query, ticker=ids[0])),
            lambda ids, answer: self._level1_of(evolve(query, ticker=ids[0]), answer),
        )

    # Messages

    def receive(self, message: ReaderMessage) -> Answer[Any] | None:
        if isinstance(message, ReadingOperation):
            return self._operations.isolated(partial(self._operate, message))
        if isinstance(message, SourceRequest) and not isinstance(message, (Pause, Resume)):
            operation = of_kind(message)
            if operation is None:
                return self._not_understood(message)
            return self._operations.isolated(partial(self._get_latest, operation.kind, operation.value(message)))
        return super().receive(message)

    def _operate(self, operation: ReadingOperation) -> Answer[Any]:
        match operation:
            case GetCurrentPrice(coin_id, vs_currency):
                return self.get_current_price(coin_id, vs_currency)
            case GetCurrentPrices(coin_ids, options):
                return self.get_current_prices(coin_ids, options)
            case GetAvailableTickers(limit):
                return self.get_available_tickers(limit)
            case GetMarketAnalytics():
                return self.get_market_analytics()
            case GetCurrentOHLCV(coin_id, interval):
                return self.get_current_ohlcv(coin_id, interval)
            case GetLatestOHLCV(coin_ids, timeframe):
                return self.get_latest_ohlcv(coin_ids, timeframe)
            case GetPriceHistory(coin_id, days, vs_currency):
                return self.get_price_history(coin_id, days, vs_currency)
            case GetOHLCVByDateRange(query):
                return self.get_ohlcv_by_date_range(query)
            case GetLevel1Data(query):
                return self.get_level1_data(query)
            case _:
                assert_never(operation)

    def _get_latest(self, kind: Kind, keys: Sequence[str]) -> Answer[list[Any]]:
        """Answer the latest record of each key, in the order asked; those the source lacks are absent.

        Fails with `not_found` when it has none of them.
        """
        if error := checks.keys(f"{kind.message_key}s", keys):
            return Failure(error)
        once = list(dict.fromkeys(keys))
        return self._answer_with(
            None, lambda: self._latest_records(kind, once), partial(latest_of_kind, kind, once, self.name)
        )

    # How it works

    def _answer_with(
        self,
        error: PlatformError | None,
        planned: Callable[[], Result[Plan[S]]],
        finish: Callable[[Result[S]], Result[T]],
    ) -> Answer[T]:
        """Answer what `finish` makes of what the plan brings; at once where arguments or plan are refused."""
        if error is not None:
            return Failure(error)
        if refusal := self._operations.refusal():
            return refusal
        plan = planned()
        return plan if isinstance(plan, Failure) else self._operations.carry_out(plan.data, finish)

    def _answer_about(
        self,
        coins: Sequence[str],
        planned: Callable[[list[str]], Result[Plan[S]]],
        finish: Callable[[list[str], Result[S]], Result[T]],
    ) -> Answer[T]:
        """Answer a question about coins as `_answer_with` does, once their ids are known; each coin counts once."""
        once = list(dict.fromkeys(coins))
        meant = self._ids_meant(once)
        if meant is None:
            return self._answer_with(None, lambda: planned(once), partial(finish, once))
        return self._operations.refusal() or self._operations.carry_out_after(meant, planned, finish)

    def _one_of(self, answer: Result[list[OfCoin]]) -> Result[OfCoin]:
        return answer if isinstance(answer, Failure) else Success(answer.data[0], answer.notes)

    def _prices_of(
        self, coin_ids: Sequence[str], answer: Result[list[CryptoPriceData]]
    ) -> Result[list[CryptoPriceData]]:
        if isinstance(answer, Failure):
            return answer
        wanted = frozenset(coin_ids)
        fitting = asked_for(answer, named_coins(coin_ids), lambda one: one.coin_id in wanted, self.name)
        return self._in_order(coin_ids, fitting)

    def _candles_of(
        self, coin_ids: Sequence[str], timeframe: str, answer: Result[list[CryptoOHLCVData]]
    ) -> Result[list[CryptoOHLCVData]]:
        if isinstance(answer, Failure):
            return answer
        wanted = frozenset((coin_id, timeframe) for coin_id in coin_ids)
        asked = f"candles of {timeframe} of {named_coins(coin_ids)}"
        return asked_for(answer, asked, lambda one: (one.coin_id, one.timeframe) in wanted, self.name)

    def _in_order(self, coin_ids: Sequence[str], answer: Result[list[OfCoin]]) -> Result[list[OfCoin]]:
        if isinstance(answer, Failure):
            return answer
        if not answer.data:
            return Failure(unknown_coin(", ".join(coin_ids[:SHOWN]), self.name))
        place = {coin_id: number for number, coin_id in enumerate(coin_ids)}
        return Success(sorted(answer.data, key=lambda record: place[record.coin_id]), answer.notes)

    def _history_of(
        self, coin_id: str, days: int, answer: Result[list[CryptoPriceData]]
    ) -> Result[list[CryptoPriceData]]:
        if isinstance(answer, Failure):
            return answer
        if not answer.data:
            text = f"{self.name} has no prices of {coin_id!r} (days = {days})"
            return Failure(Permanent("not_found", text, remedy="see get_available_tickers, or ask for more days"))
        return asked_for(answer, repr(coin_id), lambda price: price.coin_id == coin_id, self.name)

    def _series_of(self, query: DateRangeOHLCVQuery, answer: Result[list[CryptoOHLCVData]]) -> Result[OHLCVSeries]:
        candles = self._candles_of([query.ticker], query.interval, answer)
        if isinstance(candles, Failure):
            return candles
        found = series(candles.data, query, self.clock.now())
        nothing = f"{self.name} has no candles of {query.interval} of {query.ticker!r} in that range"
        return Success(found, candles.notes if found.candles else (*candles.notes, nothing))

    def _level1_of(self, query: Level1Query, answer: Result[Level1Data]) -> Result[Level1Data]:
        return answer if isinstance(answer, Failure) else level1_asked_for(answer, query, self.name)

    def _unsupported(self, operation: str) -> Failure:
        return Failure(unsupported(operation, self.technology))


def _each_once(answer: Result[list[str]], limit: int | None) -> Result[list[str]]:
    return answer if isinstance(answer, Failure) else Success([*dict.fromkeys(answer.data)][:limit], answer.notes)
