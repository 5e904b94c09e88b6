"""What a CoinGecko source is told."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, frozen, validators

from dataplatform.dsl.parts import SourceOptions
from dataplatform.dsl.polling import FeedOptions
from dataplatform.sources.coingecko.symbols import is_symbol

__all__ = ["CoinGeckoOptions", "FeedOptions"]


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
