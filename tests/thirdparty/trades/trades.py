"""Single trades: the type and its kind are all that there is to say."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve, field, frozen

from dataplatform import Kind
from dataplatform.dsl.records.rules import identifier, money, number, utc

__all__ = ["SECOND_PRICES", "TRADES", "Trade"]


@frozen(kw_only=True)
class Trade:
    """One trade; `price` and `amount` in the market's currencies."""

    coin_id: str = field(validator=identifier)
    trade_id: str = field(validator=identifier)
    timestamp: datetime = field(converter=utc)
    price: float = field(converter=number, validator=money)
    amount: float = field(converter=number, validator=money)
    source: str = field(validator=identifier)


TRADES = Kind(
    "trades",
    Trade,
    table="market_trades",
    topic="market-trades",
    key=("coin_id", "trade_id", "timestamp"),
    time="timestamp",
    message_key="coin_id",
    publish_one="publish_trade",
    publish_many="publish_trades",
    get_latest="get_latest_trades",
)
SECOND_PRICES = evolve(TRADES, name="prices")
