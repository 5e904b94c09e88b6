"""The Spot market: the latest prices of its coins, a request per coin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec
from attrs import field, frozen, validators

from dataplatform import BaseReader, CryptoPriceData, CurrentPricesOptions, Plan, Result, Success
from dataplatform.base.http import Get
from dataplatform.dsl.flow.feeds import Feed
from dataplatform.dsl.operations.parts import SourceOptions
from dataplatform.dsl.records.kinds import PRICES

__all__ = ["SpotOptions", "SpotSource"]


@frozen(kw_only=True)
class SpotOptions(SourceOptions):
    """Options of `kind = "spot"` under `[sources.NAME]`."""

    coins: tuple[str, ...] = field(default=(), metadata={"help": "ids of the coins to poll"})
    every: float = field(default=10.0, validator=validators.ge(0.1), metadata={"help": "how often to poll"})


class SpotSource(BaseReader):
    """Prices of the Spot market, polled."""

    technology: ClassVar[str] = "Spot"
    client_kind: ClassVar[str] = "http"
    Options = SpotOptions
    options: SpotOptions

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        return Success(Plan(self.client, [Get(f"/spot/{coin}") for coin in coin_ids], self._prices))

    def _feeds(self) -> Sequence[Feed]:
        plan = partial(self._current_prices, self.options.coins, CurrentPricesOptions())
        return [Feed.polling("spot", PRICES, plan, self.options.every)]

    def _prices(self, answers: list[Any]) -> list[CryptoPriceData]:
        rows = [msgspec.json.decode(answer.body) for answer in answers]
        return [
            CryptoPriceData(
                coin_id=row["id"],
                symbol=row["symbol"],
                usd_price=row["price"],
                source="spot",
                last_updated=answer.received_at,
            )
            for row, answer in zip(rows, answers, strict=True)
        ]
