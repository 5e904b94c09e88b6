"""What the operations are asked with, and what the writing ones answer."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from dataplatform.dsl.records.rules import texts, utc
from dataplatform.dsl.records.types import CryptoOHLCVData
from dataplatform.errors import Permanent

__all__ = [
    "BatchPublishResult",
    "CurrentPricesOptions",
    "DateRangeOHLCVQuery",
    "Gap",
    "Level1Query",
    "OHLCVSeries",
    "PublishResult",
    "Refused",
]


@frozen
class CurrentPricesOptions:
    """What to ask of each coin besides its price in US dollars: its price in `btc`, in `eth`, its 7-day change.

    >>> CurrentPricesOptions(vs_currencies=("usd", "btc")).vs_currencies
    ('usd', 'btc')
    """

    vs_currencies: tuple[str, ...] = field(default=("usd",), converter=texts)
    include_change_7d: bool = True


@frozen
class DateRangeOHLCVQuery:
    """Candles of `ticker` whose open lies in [date_start, date_end), each `interval` long (`30m`, `4h`, `1d`, …)."""

    ticker: str
    date_start: datetime = field(converter=utc)
    date_end: datetime = field(converter=utc)
    interval: str
    market: str | None = None


@frozen
class Level1Query:
    """The best bid and ask of `ticker`, on one exchange and market where they are named."""

    ticker: str
    exchange: str | None = None
    market: str | None = None


@frozen
class PublishResult:
    """One record is durable in `target`: committed, or acknowledged by all replicas."""

    target: str
    kind: str


@frozen
class Refused:
    """The record at `index` of what was published can never be written, and why."""

    index: int
    error: Permanent


@frozen
class BatchPublishResult:
    """`published` records are durable in `target`; the `refused` ones never will be."""

    target: str
    published: int
    refused: tuple[Refused, ...] = ()


@frozen
class Gap:
    """A stretch of time [start, end) in which a source has no candle, though there should be `missing` ones."""

    start: datetime
    end: datetime
    missing: int


@frozen
class OHLCVSeries:
    """Candles in order of time, and the gaps among them: nothing is papered over."""

    candles: list[CryptoOHLCVData]
    gaps: tuple[Gap, ...] = ()
