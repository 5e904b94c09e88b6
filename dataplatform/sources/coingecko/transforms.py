"""From CoinGecko's JSON to records. Its numbers may be null; what is not the promised shape is refused by name.

Data is labelled by who really answered: a simulator says so in a header of every answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from attrs import evolve, frozen

from dataplatform.base.http import Response
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.errors import Permanent, Transient

__all__ = ["Markets", "analytics", "coin_ids", "label", "markets", "with_other_currencies"]

T = TypeVar("T")
ATTRIBUTION = {"coingecko": "Data provided by CoinGecko (https://www.coingecko.com)", "simulator": "Simulated data"}


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


class CoinRow(msgspec.Struct, frozen=True):
    """The field used of one row of `/coins/list`."""

    id: str


class GlobalData(msgspec.Struct, frozen=True):
    """The fields used of `/global`."""

    active_cryptocurrencies: int
    markets: int
    total_market_cap: dict[str, float]
    total_volume: dict[str, float]
    market_cap_percentage: dict[str, float]
    market_cap_change_percentage_24h_usd: float
    updated_at: int


class Global(msgspec.Struct, frozen=True):
    data: GlobalData


@frozen
class Markets:
    """The prices of `/coins/markets`, the rows that are none (raw, with the reason), and the coins without a price."""

    prices: list[CryptoPriceData]
    broken: list[tuple[bytes, Permanent]]
    unpriced: list[str]


def label(response: Response) -> str:
    """Return who answered: `coingecko`, or `simulator` where the answer says so itself."""
    return "simulator" if "x-simulator" in response.headers else "coingecko"


def markets(responses: Sequence[Response]) -> Markets:
    """Turn answers of `/coins/markets` into prices in US dollars, changes in percent."""
    found = Markets([], [], [])
    for response in responses:
        source = label(response)
        for raw in _decode(response, list[msgspec.Raw]):
            try:
                row = msgspec.json.decode(raw, type=MarketRow)
                _add(found, row, source)
            except (msgspec.DecodeError, ValueError, TypeError) as error:
                found.broken.append((bytes(raw), Permanent("changed_shape", f"/coins/markets: {error}")))
    if found.broken and not found.prices and not found.unpriced:
        raise found.broken[0][1]
    return found


def _add(found: Markets, row: MarketRow, source: str) -> None:
    if row.current_price is None or row.last_updated is None:
        found.unpriced.append(row.id)
        return
    price = CryptoPriceData(
        coin_id=row.id,
        symbol=row.symbol,
        name=row.name,
        usd_price=row.current_price,
        market_cap=row.market_cap,
        volume_24h=row.total_volume,
        change_24h=row.price_change_percentage_24h,
        change_7d=row.price_change_percentage_7d_in_currency,
        last_updated=row.last_updated,
        source=source,
        attribution=ATTRIBUTION[source],
    )
    found.prices.append(price)


def with_other_currencies(prices: Sequence[CryptoPriceData], responses: Sequence[Response]) -> list[CryptoPriceData]:
    """Add the prices in bitcoin and ether that `/simple/price` answered; unknown ones stay None."""
    other: dict[str, dict[str, float | None]] = {}
    for response in responses:
        other |= _decode(response, dict[str, dict[str, float | None]])
    return [
        evolve(
            price,
            btc_price=other.get(price.coin_id, {}).get("btc"),
            eth_price=other.get(price.coin_id, {}).get("eth"),
        )
        for price in prices
    ]


def coin_ids(responses: Sequence[Response]) -> list[str]:
    """Turn answers of `/coins/list` or `/coins/markets` into coin ids, in their order."""
    return [row.id for response in responses for row in _decode(response, list[CoinRow])]


def analytics(response: Response) -> CryptoMarketAnalytics:
    """Turn the answer of `/global` into analytics: US dollars, shares and change in percent."""
    data, source = _decode(response, Global).data, label(response)
    try:
        return CryptoMarketAnalytics(
            timestamp=datetime.fromtimestamp(data.updated_at, UTC),
            total_market_cap=data.total_market_cap["usd"],
            total_volume=data.total_volume["usd"],
            btc_dominance=data.market_cap_percentage["btc"],
            eth_dominance=data.market_cap_percentage.get("eth"),
            active_cryptocurrencies=data.active_cryptocurrencies,
            markets=data.markets,
            market_cap_change_24h=data.market_cap_change_percentage_24h_usd,
            source=source,
            attribution=ATTRIBUTION[source],
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise Permanent("changed_shape", f"/global: {type(error).__name__}: {error}") from error


def _decode(response: Response, type_: type[T]) -> T:
    """Decode an answer as the type; anything else is refused with the path of what is wrong in it."""
    try:
        return msgspec.json.decode(response.body, type=type_)
    except msgspec.ValidationError as error:
        where = response.url_without_secrets.split("?", 1)[0]
        raise Permanent(
            "changed_shape",
            f"the answer of {where} is not what CoinGecko promises: {error}",
            remedy="see whether its API has changed, or base_url points elsewhere",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(response, error) from error


def not_json(response: Response, error: Any) -> Transient:
    """Return the error of an answer that is no JSON: mostly a page of something that stands in between."""
    where, start = response.url_without_secrets.split("?", 1)[0], response.body[:60]
    return Transient("not_json", f"the answer of {where} is no JSON ({error}): it begins with {start!r}")
