"""What a CoinGecko source is told."""

from __future__ import annotations

from attrs import field, frozen, validators

from dataplatform.dsl.parts import SourceOptions
from dataplatform.dsl.polling import FeedOptions

__all__ = ["CoinGeckoOptions", "FeedOptions"]


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
    save_credits: bool = field(
        default=True,
        validator=validators.instance_of(bool),
        metadata={
            "help": "with the key of a paid plan, over REST: ask for the credits left, and spread requests over the "
            "rest of the month when less than a tenth is left"
        },
    )
