"""The records of market data: frozen attrs classes, from which tables, topics, codecs and schemas are derived.

Numbers are floats, as the sources send them. Prices and volumes are in US dollars unless the name says otherwise,
changes are in percent, times are aware and in UTC. `source` says where the data comes from (`coingecko`,
`simulator`, …), so that simulated data is never taken for real data.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from attrs import field, frozen

from dataplatform.dsl.records.rules import (
    change,
    content,
    count,
    flag,
    identifier,
    money,
    number,
    optional,
    optional_number,
    prose,
    text,
    utc,
)

__all__ = ["CryptoMarketAnalytics", "CryptoOHLCVData", "CryptoPriceData", "DeadLetter", "Level1Data", "Record"]

AGGREGATE = "aggregate"
SINGLE = {"sql": "real"}  # columns of single precision: sources know no more than seven digits


@frozen(kw_only=True)
class CryptoPriceData:
    """The price of one coin at one time, over all exchanges unless `exchange_id` names one.

    >>> from datetime import UTC
    >>> when = datetime(2026, 1, 1, tzinfo=UTC)
    >>> price = CryptoPriceData(coin_id="bitcoin", symbol="btc", usd_price=77e3, last_updated=when, source="coingecko")
    >>> price.usd_price
    77000.0
    """

    coin_id: str = field(validator=identifier)
    symbol: str = field(validator=identifier)
    name: str | None = field(default=None, validator=optional(text))
    exchange_id: str = field(default=AGGREGATE, validator=identifier)
    usd_price: float = field(converter=number, validator=money)
    btc_price: float | None = field(default=None, converter=optional_number, validator=optional(money))
    eth_price: float | None = field(default=None, converter=optional_number, validator=optional(money))
    market_cap: float | None = field(default=None, converter=optional_number, validator=optional(money))
    volume_24h: float | None = field(default=None, converter=optional_number, validator=optional(money))
    change_24h: float | None = field(
        default=None, converter=optional_number, validator=optional(change), metadata=SINGLE
    )
    change_7d: float | None = field(
        default=None, converter=optional_number, validator=optional(change), metadata=SINGLE
    )
    last_updated: datetime = field(converter=utc)
    source: str = field(validator=identifier)
    attribution: str = field(default="", validator=text)


@frozen(kw_only=True)
class CryptoOHLCVData:
    """One candle. `timestamp` is its open, `timeframe` its length (`30m`, `4h`, …); an unknown volume is None."""

    coin_id: str = field(validator=identifier)
    symbol: str | None = field(default=None, validator=optional(text))
    exchange_id: str = field(default=AGGREGATE, validator=identifier)
    timestamp: datetime = field(converter=utc)
    open: float = field(converter=number, validator=money)
    high: float = field(converter=number, validator=money)
    low: float = field(converter=number, validator=money)
    close: float = field(converter=number, validator=money)
    volume: float | None = field(default=None, converter=optional_number, validator=optional(money))
    timeframe: str = field(validator=identifier)
    source: str = field(validator=identifier)
    attribution: str = field(default="", validator=text)

    def __attrs_post_init__(self) -> None:
        if not self.low <= min(self.open, self.close) <= max(self.open, self.close) <= self.high:
            raise ValueError(
                "expected low <= open, close <= high,"
                f" got low {self.low}, open {self.open}, close {self.close}, high {self.high}"
            )


@frozen(kw_only=True)
class CryptoMarketAnalytics:
    """The whole market at one time. Dominances are shares of the total market cap in percent."""

    timestamp: datetime = field(converter=utc)
    exchange_id: str = field(default=AGGREGATE, validator=identifier)
    total_market_cap: float = field(converter=number, validator=money)
    total_volume: float = field(converter=number, validator=money)
    btc_dominance: float | None = field(default=None, converter=optional_number, validator=optional(money))
    eth_dominance: float | None = field(default=None, converter=optional_number, validator=optional(money))
    active_cryptocurrencies: int = field(validator=count)
    markets: int = field(validator=count)
    market_cap_change_24h: float | None = field(default=None, converter=optional_number, validator=optional(change))
    source: str = field(validator=identifier)
    attribution: str = field(default="", validator=text)


@frozen(kw_only=True)
class Level1Data:
    """The best bid and ask of one market; `estimated` when they were derived from a last price and a spread."""

    ticker: str = field(validator=identifier)
    timestamp: datetime = field(converter=utc)
    best_bid: float = field(converter=number, validator=money)
    best_ask: float = field(converter=number, validator=money)
    spread: float = field(converter=number, validator=money)
    spread_percent: float = field(converter=number, validator=money)
    exchange: str = field(validator=identifier)
    market: str = field(validator=identifier)
    estimated: bool = field(default=False, validator=flag)
    source: str = field(validator=identifier)
    attribution: str = field(default="", validator=text)

    def __attrs_post_init__(self) -> None:
        if self.best_bid > self.best_ask:
            raise ValueError(f"expected best_bid <= best_ask, got {self.best_bid} and {self.best_ask}")


@frozen(kw_only=True)
class DeadLetter:
    """Input that could not be decoded, or a record that a target can never write: its bytes, origin, and the error.

    `id` is the same each time the same input fails for the same target, so that it is stored once. Input longer than
    a message may be is cut, and `error` says so. `stream` is the topic, the endpoint that was polled, or for a record
    its kind. Of polled input, `record_kind` says what it should have been, `source_kind` which kind of source can
    decode it, and `source` who answered, as records are labelled.
    """

    id: str = field(validator=identifier)
    time: datetime = field(converter=utc)
    origin: str = field(validator=identifier)
    stream: str = field(validator=text)
    partition: int | None = field(default=None, validator=optional(count))
    offset: int | None = field(default=None, validator=optional(count))
    target: str = field(default="", validator=text)
    error: str = field(validator=prose)
    raw: bytes = field(validator=content)
    record_kind: str = field(default="", validator=text)
    source_kind: str = field(default="", validator=text)
    source: str = field(default="", validator=text)


Record: TypeAlias = CryptoPriceData | CryptoOHLCVData | CryptoMarketAnalytics | Level1Data | DeadLetter
