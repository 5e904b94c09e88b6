"""The source: each line of the feed is a price; a line that is none becomes a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from attrs import field, frozen, validators

from dataplatform import (
    PRICES,
    BaseReader,
    CryptoPriceData,
    CurrentPricesOptions,
    DeadLetter,
    Feed,
    Permanent,
    Plan,
    Result,
    SourceOptions,
    Success,
)
from dataplatform.base.agent import Context
from dataplatform.dsl.flow import Outbox, letter_for_input
from dataplatform.dsl.flow.feeds import FeedResult

from .technology import TakeTicks

__all__ = ["TickSource"]

EVERY = 0.02  # seconds between two takes when nothing came


@frozen(kw_only=True)
class TickOptions(SourceOptions):
    """Options of `kind = "ticks"` under `[sources.NAME]`."""

    coins: tuple[str, ...] = field(validator=validators.min_len(1), metadata={"help": "ids of the coins to follow"})


class Tick(msgspec.Struct):
    """A line of the feed."""

    coin: str
    price: float
    at: datetime


class TickSource(BaseReader):
    """Prices of each trade, as they are pushed; asked for prices, it answers the last that it was told."""

    technology: ClassVar[str] = "Ticks"
    client_kind: ClassVar[str] = "ticks"
    Options = TickOptions
    options: TickOptions

    def __init__(self, context: Context, options: Any, client: str, outbox: Outbox | None = None) -> None:
        super().__init__(context, options, client, outbox)
        self._latest: dict[str, CryptoPriceData] = {}

    def _feeds(self) -> Sequence[Feed]:
        return [Feed("ticks", self._take, EVERY, greedy=True)]

    def _take(self) -> Result[Plan[list[FeedResult]]]:
        return Success(Plan(self.client, [TakeTicks(self.options.coins)], self._feed_results))

    def _feed_results(self, answers: list[Any]) -> list[FeedResult]:
        prices: list[Any] = []
        letters: list[DeadLetter] = []
        for line in answers[0]:
            try:
                prices.append(_price(msgspec.json.decode(line, type=Tick)))
            except (msgspec.DecodeError, ValueError) as error:
                refused = Permanent("undecodable", str(error))
                letters.append(letter_for_input(line, refused, origin=self.name, at=self.clock.now()))
        self._latest |= {price.coin_id: price for price in prices}
        return [FeedResult(PRICES, prices, letters=letters)]

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        del options
        known = [self._latest[coin] for coin in coin_ids if coin in self._latest]
        return Success(Plan(self.client, [], lambda _: known))


def _price(tick: Tick) -> CryptoPriceData:
    return CryptoPriceData(
        coin_id=tick.coin, symbol=tick.coin[:3], usd_price=tick.price, source="ticks", last_updated=tick.at
    )
