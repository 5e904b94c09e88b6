"""BaseReader: every reading operation, implemented once; a source adds hooks that plan requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar

from dataplatform.base.agent import Context
from dataplatform.dsl import checks
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.flow.source import FlowMessage, FlowSource
from dataplatform.dsl.operations import (
    GetAvailableTickers,
    GetCurrentPrice,
    GetCurrentPrices,
    GetMarketAnalytics,
    ReadingOperation,
)
from dataplatform.dsl.parts import Connection, Part, SourceOptions
from dataplatform.dsl.plan import Plan
from dataplatform.dsl.queries import CurrentPricesOptions
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["BaseReader", "unsupported"]

T = TypeVar("T")
ReaderMessage: TypeAlias = ReadingOperation | FlowMessage


class BaseReader(FlowSource):
    """A source of market data.

    An operation checks its arguments, asks the hook of the same name for a plan, carries it out, and answers a
    `Result`. A hook that is not overridden makes its operation fail as `unsupported`.
    """

    technology: ClassVar[str] = "this source"
    client_kind: ClassVar[str]
    Options: ClassVar[type[SourceOptions]]

    def __init__(self, context: Context, options: Any, client: str, outbox: Outbox | None = None) -> None:
        super().__init__(context, client, outbox)
        self.options = options

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection, outbox: Outbox | None) -> Part:
        """Return the agents of one source of this technology."""
        client = connection.agents[0]
        return Part((cls.child(name, options, client, outbox),), client)

    # Hooks

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

    # Operations

    def get_current_price(self, coin_id: str, vs_currency: str = "usd") -> Result[CryptoPriceData]:
        """Answer the latest price of one coin.

        `vs_currency` (`usd`, `btc` or `eth`) asks for the price in that currency besides the one in US dollars; it is
        None where the source does not know it. Fails with `not_found` for a coin the source does not know,
        `bad_argument`, or what the technology's plan fails with.
        """
        options = CurrentPricesOptions(vs_currencies=("usd", vs_currency))
        error = checks.coin_id(coin_id) or checks.currencies(options)
        answer = self._ask(error, lambda: self._current_prices([coin_id], options))
        if isinstance(answer, Failure):
            return answer
        if not answer.data:
            return Failure(unknown_coin(coin_id, self.name))
        return Success(answer.data[0])

    def get_current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions | None = None
    ) -> Result[list[CryptoPriceData]]:
        """Answer the latest prices of 1 to 10,000 coins, in the order asked; coins the source lacks are absent.

        Fails with `not_found` when it knows none of them, `bad_argument`, or what the technology's plan fails with.
        """
        options = CurrentPricesOptions() if options is None else options
        if error := checks.coin_ids(coin_ids) or checks.currencies(options):
            return Failure(error)
        once = list(dict.fromkeys(coin_ids))
        answer = self._ask(None, lambda: self._current_prices(once, options))
        if isinstance(answer, Failure):
            return answer
        if not answer.data:
            return Failure(unknown_coin(", ".join(once[:5]), self.name))
        order = {coin_id: place for place, coin_id in enumerate(once)}
        return Success(sorted(answer.data, key=lambda price: order.get(price.coin_id, len(order))))

    def get_available_tickers(self, limit: int | None = None) -> Result[list[str]]:
        """Answer the ids of the coins the source knows, the largest market cap first where it has one."""
        return self._ask(checks.limit(limit), lambda: self._available_tickers(limit))

    def get_market_analytics(self) -> Result[CryptoMarketAnalytics]:
        """Answer the state of the whole market: caps and volumes in US dollars, shares in percent."""
        return self._ask(None, self._market_analytics)

    # Messages

    def receive(self, message: ReaderMessage) -> Result[Any] | None:
        match message:
            case GetCurrentPrice(coin_id, vs_currency):
                return self.get_current_price(coin_id, vs_currency)
            case GetCurrentPrices(coin_ids, options):
                return self.get_current_prices(coin_ids, options)
            case GetAvailableTickers(limit):
                return self.get_available_tickers(limit)
            case GetMarketAnalytics():
                return self.get_market_analytics()
            case _:
                return super().receive(message)

    # How it works

    def _ask(self, error: PlatformError | None, planned: Callable[[], Result[Plan[T]]]) -> Result[T]:
        if error is not None:
            return Failure(error)
        plan = planned()
        if isinstance(plan, Failure):
            return plan
        answer = plan.data.ask(self.context.stopping)
        self.count("failed_operations" if isinstance(answer, Failure) else "operations")
        return answer

    def _unsupported(self, operation: str) -> Failure:
        return Failure(unsupported(operation, self.technology))


def unsupported(operation: str, technology: str) -> Permanent:
    """Return the error of an operation that a technology cannot answer."""
    return Permanent("unsupported", f"{technology} cannot answer {operation}", remedy="ask another source or target")


def unknown_coin(coin: str, source: str) -> Permanent:
    return Permanent("not_found", f"{source} knows no coin {coin!r}", remedy="see get_available_tickers")
