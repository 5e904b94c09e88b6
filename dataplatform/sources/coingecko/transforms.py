"""From CoinGecko's JSON to records. Its numbers may be null; what is not the promised shape is refused by name.

Data is labelled by who really answered: a simulator says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from attrs import evolve, frozen

from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.errors import Permanent
from dataplatform.sources.coingecko.answers import ATTRIBUTION, Answer, decode

__all__ = ["Markets", "analytics", "coin_ids", "markets", "with_other_currencies"]


class MarketRow(msgspec.Struct, frozen=True, gc=False):
    """The fields used of one row of `/coins/markets`."""

    id: str
    symbol: str
    name: str | None
    current_price: float | None
    last_updated: datetime | None
    market_cap: float | None = None
    total_volume: float | None = None
    price_change_percentage_24h: float | None = None
    price_change_percentage_7d_in_currency: float | None = None


_DECODER = msgspec.json.Decoder(MarketRow)


class CoinRow(msgspec.Struct, frozen=True):
    """The field used of one row of `/coins/list`."""

    id: str


class GlobalData(msgspec.Struct, frozen=True):
    """The fields used of `/global`."""

    active_cryptocurrencies: int
    markets: int
    total_market_cap: dict[str, float | None]
    total_volume: dict[str, float | None]
    market_cap_percentage: dict[str, float | None]
    market_cap_change_percentage_24h_usd: float
    updated_at: int


class Global(msgspec.Struct, frozen=True):
    data: GlobalData


@frozen
class Markets:
    """The prices of `/coins/markets`, the rows that are none (raw, with the reason), and the coins without a price.

    Each coin has one price: when the ranks move between two requests for pages, it can stand on both.
    """

    prices: list[CryptoPriceData]
    broken: list[tuple[bytes, Permanent]]
    unpriced: list[str]


def markets(answers: Sequence[Answer]) -> Markets:
    """Turn answers of `/coins/markets` into prices in US dollars, changes in percent.

    Raises `Permanent("changed_shape")` for answers that are no list of rows, or have no valid row among them, and
    `Transient("not_json")` for what is no JSON.
    """
    prices: dict[str, CryptoPriceData] = {}
    broken: list[tuple[bytes, Permanent]] = []
    unpriced: list[str] = []
    for answer in answers:
        source = answer.source
        for raw in decode(answer, list[msgspec.Raw]):
            try:
                row = _DECODER.decode(raw)
                if row.current_price is None or row.last_updated is None:
                    unpriced.append(row.id)
                else:
                    prices[row.id] = _price(row, row.current_price, row.last_updated, source)
            except (msgspec.DecodeError, ValueError, TypeError) as error:
                broken.append((bytes(raw), Permanent("changed_shape", f"/coins/markets: {error}")))
    if broken and not prices and not unpriced:
        raise broken[0][1]
    return Markets(list(prices.values()), broken, unpriced)


def _price(row: MarketRow, usd_price: float, last_updated: datetime, source: str) -> CryptoPriceData:
    return CryptoPriceData(
        coin_id=row.id,
        symbol=row.symbol,
        name=_printable(row.name),
        usd_price=usd_price,
        market_cap=row.market_cap,
        volume_24h=row.total_volume,
        change_24h=row.price_change_percentage_24h,
        change_7d=row.price_change_percentage_7d_in_currency,
        last_updated=last_updated,
        source=source,
        attribution=ATTRIBUTION[source],
    )


def _printable(name: str | None) -> str | None:
    """Put spaces for the control, format and joining characters that some names hold; a price is not lost for them."""
    shown = "".join(character if character.isprintable() else " " for character in name or "").strip()
    return shown or None


def with_other_currencies(prices: Sequence[CryptoPriceData], answers: Sequence[Answer]) -> list[CryptoPriceData]:
    """Add the prices in bitcoin and ether that `/simple/price` answered; unknown ones stay None."""
    other: dict[str, dict[str, float | None]] = {}
    for answer in answers:
        other |= decode(answer, dict[str, dict[str, float | None]])
    try:
        return [
            evolve(
                price,
                btc_price=other.get(price.coin_id, {}).get("btc"),
                eth_price=other.get(price.coin_id, {}).get("eth"),
            )
            for price in prices
        ]
    except ValueError as error:
        raise Permanent("changed_shape", f"/simple/price: {error}") from error


def coin_ids(answers: Sequence[Answer]) -> list[str]:
    """Turn answers of `/coins/list` or `/coins/markets` into coin ids, each once, in their order."""
    return list(dict.fromkeys(row.id for answer in answers for row in decode(answer, list[CoinRow])))


def analytics(answer: Answer) -> CryptoMarketAnalytics:
    """Turn the answer of `/global` into analytics: US dollars, shares and change in percent."""
    data, source = decode(answer, Global).data, answer.source
    try:
        return CryptoMarketAnalytics(
            timestamp=datetime.fromtimestamp(data.updated_at, UTC),
            total_market_cap=_known(data.total_market_cap, "usd"),
            total_volume=_known(data.total_volume, "usd"),
            btc_dominance=_known(data.market_cap_percentage, "btc"),
            eth_dominance=data.market_cap_percentage.get("eth"),
            active_cryptocurrencies=data.active_cryptocurrencies,
            markets=data.markets,
            market_cap_change_24h=data.market_cap_change_percentage_24h_usd,
            source=source,
            attribution=ATTRIBUTION[source],
        )
    except (KeyError, ValueError, TypeError, OverflowError, OSError) as error:
        raise Permanent("changed_shape", f"/global: {type(error).__name__}: {error}") from error


def _known(numbers: dict[str, float | None], name: str) -> float:
    number = numbers[name]
    if number is None:
        raise ValueError(f"{name!r} is null")
    return number
