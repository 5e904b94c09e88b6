"""What a CoinGecko source is told."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, frozen, validators

from dataplatform.dsl import checks
from dataplatform.dsl.parts import SourceOptions
from dataplatform.dsl.validators import texts

__all__ = ["CoinGeckoOptions", "FeedOptions"]

OPERATIONS = ("get_current_prices", "get_market_analytics")


def _coins(feed: FeedOptions, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    del attribute
    if feed.operation == "get_current_prices":
        if bool(value) == (feed.top is not None):
            raise ValueError("get_current_prices needs either coins = ['bitcoin', …] or top = 100")
        if value and (error := checks.coin_ids(value)):
            raise ValueError(error.message)
    elif value or feed.top is not None:
        raise ValueError(f"{feed.operation} takes neither coins nor top")


@frozen(kw_only=True)
class FeedOptions:
    """One thing to poll: an operation, for which coins, how often (seconds)."""

    operation: str = field(validator=validators.in_(OPERATIONS), metadata={"help": "the operation to poll"})
    top: int | None = field(
        default=None,
        validator=validators.optional([validators.ge(1), validators.le(5_000)]),
        metadata={"help": "the so many coins with the largest market cap"},
    )
    coins: tuple[str, ...] = field(default=(), converter=texts, validator=_coins, metadata={"help": "ids of the coins"})
    every: float = field(default=60.0, validator=validators.ge(0.1), metadata={"help": "how often to poll"})


@frozen(kw_only=True)
class CoinGeckoOptions(SourceOptions):
    """Options of `kind = "coingecko"` under `[sources.NAME]`."""

    feeds: tuple[FeedOptions, ...] = field(default=(), metadata={"help": "what to poll, and how often"})
    patience: float = field(
        default=8.0,
        validator=[validators.ge(0.0), validators.le(600.0)],
        metadata={
            "help": "how long an operation may wait for its turn under rate_per_minute; its caller waits as long"
        },
    )
