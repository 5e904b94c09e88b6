"""From CoinGecko's JSON to records. Its numbers may be null; what is not the promised shape is refused by name.

Data is labelled by who really answered: a simulator says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import msgspec
from attrs import evolve, frozen

from dataplatform.dsl.flow import PolledRow
from dataplatform.dsl.operations.answers import ParsedRows, joined, read_rows
from dataplatform.dsl.records.rules import LONGEST_IDENTIFIER, market_time, printable, whole
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.errors import Permanent
from dataplatform.result import Success
from dataplatform.sources.coingecko.api import ATTRIBUTION, COINS_MARKETS, Amount, Answer, decode, decode_known, id_of

__all__ = ["Coin", "Markets", "analytics", "coin_ids", "markets", "price_of", "with_other_currencies"]

NO_PRICE = "get_price_history has what there was; a coin without a price is not traded at present"
SHOWN = 5  # coins that a message names
OPTIONAL = (
    "symbol",
    "name",
    "market_cap",
    "total_volume",
    "price_change_percentage_24h",
    "price_change_percentage_7d_in_currency",
)  # of a row of `/coins/markets`
OPTIONAL_OF_GLOBAL = (
    "data.market_cap_percentage.btc",
    "data.market_cap_percentage.eth",
    "data.market_cap_percentage",
    "data.market_cap_change_percentage_24h_usd",
)
UNKNOWN_OF_GLOBAL = ("btc_dominance", "market_cap_change_24h")


class MarketRow(msgspec.Struct, frozen=True, gc=False):
    """The fields used of one row of `/coins/markets`."""

    id: str
    symbol: str | None = None
    name: str | None = None
    current_price: float | None = None
    last_updated: datetime | None = None
    market_cap: Amount | None = None
    total_volume: Amount | None = None
    price_change_percentage_24h: float | None = None
    price_change_percentage_7d_in_currency: float | None = None


class CoinRow(msgspec.Struct, frozen=True):
    """The field used of one row of `/coins/list`."""

    id: str


class OtherPrices(msgspec.Struct, frozen=True):
    """The fields used of one coin in the answer of `/simple/price`."""

    btc: Amount | None = None
    eth: Amount | None = None


class Dollars(msgspec.Struct, frozen=True):
    """The one currency used of a map of them; the others may be null, or anything."""

    usd: Amount


class Shares(msgspec.Struct, frozen=True):
    """The two coins used of the shares of the market, in percent."""

    btc: Amount | None = None
    eth: Amount | None = None


class GlobalData(msgspec.Struct, frozen=True):
    """The fields used of `/global`."""

    active_cryptocurrencies: float
    markets: float
    total_market_cap: Dollars
    total_volume: Dollars
    updated_at: float
    market_cap_percentage: Shares | None = None
    market_cap_change_percentage_24h_usd: float | None = None


class Global(msgspec.Struct, frozen=True):
    data: GlobalData


@frozen
class Coin:
    """A coin as it is listed, and its price where it has one now."""

    coin_id: str
    symbol: str
    name: str | None = None
    price: CryptoPriceData | None = None

    def is_newer_than(self, other: Coin) -> bool:
        """Tell whether this coin has the newer price, or one at all; of the same time it is the one that came last."""
        if self.price is None or other.price is None:
            return self.price is not None
        return self.price.last_updated >= other.price.last_updated


@frozen
class Markets:
    """The coins of `/coins/markets`, all of its rows, with the odd ones among them, and who came with two prices."""

    coins: dict[str, Coin]
    rows: ParsedRows[Coin]
    repeated: list[str]

    @property
    def prices(self) -> list[CryptoPriceData]:
        return [coin.price for coin in self.coins.values() if coin.price is not None]

    @property
    def unpriced(self) -> list[str]:
        """The coins that are listed, and have no price now."""
        return [coin.coin_id for coin in self.coins.values() if coin.price is None]

    def answer(
        self, asked: Sequence[str], prices: Sequence[CryptoPriceData], *notes: str
    ) -> Success[list[CryptoPriceData]]:
        """Return the answer made of the prices, with what is to be said about the coins asked for that have none.

        Raises `Permanent("no_price")` where they are listed, and none of them has a price.
        """
        unpriced = [coin for coin in self.unpriced if coin in asked]
        if unpriced and not prices:
            raise Permanent("no_price", _no_price(unpriced), remedy=NO_PRICE)
        repeated = [coin for coin in self.repeated if coin in asked]
        told = [_no_price(unpriced)] if unpriced else []
        told += [f"several prices came of {_first(repeated)}; the newest was taken"] if repeated else []
        return self.rows.success(list(prices), *notes, *told)


def markets(answers: Sequence[Answer]) -> Markets:
    """Turn answers of `/coins/markets` into coins with their prices in US dollars, changes in percent.

    Each coin is there once, with its newest price: when the ranks move between two requests for pages, it can stand on
    both, and they need not be of the order in which they came. Raises
    `Permanent("changed_shape")` for answers that are no list of rows, and `Transient("not_json")` for what is no JSON.
    """
    rows = joined(
        read_rows(
            decode(answer, list[msgspec.Raw]), "/coins/markets", MarketRow, partial(_coin, answer), optional=OPTIONAL
        )
        for answer in answers
    )
    coins: dict[str, Coin] = {}
    repeated: dict[str, None] = {}
    for coin in rows.found:
        before = coins.setdefault(coin.coin_id, coin)
        if coin.is_newer_than(before):
            coins[coin.coin_id] = coin
        if before.price and coin.price and before.price != coin.price:
            repeated[coin.coin_id] = None
    return Markets(coins, rows, list(repeated))


def price_of(row: PolledRow) -> CryptoPriceData:
    """Return the price in one row of `/coins/markets`; raises `PlatformError` for an invalid one."""
    if row.source not in ATTRIBUTION:
        raise Permanent("unknown_source", f"who answered is not known: {row.source!r:.60}")
    found = markets([Answer(b"[%b]" % row.raw, row.source, row.endpoint, row.received_at, COINS_MARKETS)])
    found.rows.require_one()
    if not found.prices:
        raise Permanent("no_price", _no_price(found.unpriced), remedy=NO_PRICE)
    return found.prices[0]


def _coin(answer: Answer, row: MarketRow) -> Coin:
    coin_id = id_of(row.id)
    symbol, name = printable(row.symbol, LONGEST_IDENTIFIER) or coin_id, printable(row.name)
    if row.current_price is None or row.last_updated is None:
        return Coin(coin_id, symbol, name)
    price = CryptoPriceData(
        coin_id=coin_id,
        symbol=symbol,
        name=name,
        usd_price=row.current_price,
        market_cap=row.market_cap,
        volume_24h=row.total_volume,
        change_24h=row.price_change_percentage_24h,
        change_7d=row.price_change_percentage_7d_in_currency,
        last_updated=market_time("last_updated", row.last_updated, answer.received_at),
        source=answer.source,
        attribution=ATTRIBUTION[answer.source],
    )
    return Coin(coin_id, symbol, name, price)


def _no_price(coins: Sequence[str]) -> str:
    return f"CoinGecko has no price now of {_first(coins)}"


def _first(coins: Sequence[str]) -> str:
    more = f" and {len(coins) - SHOWN} more" if len(coins) > SHOWN else ""
    return f"{', '.join(map(repr, coins[:SHOWN]))}{more}"


def with_other_currencies(
    prices: Sequence[CryptoPriceData], answers: Sequence[Answer]
) -> tuple[list[CryptoPriceData], tuple[str, ...]]:
    """Add the prices in bitcoin and ether that `/simple/price` answered; unknown ones stay None.

    Notes tell of those that could not be read.
    """
    known = {price.coin_id: price for price in prices}
    notes: list[str] = []
    for answer in answers:
        asked = {coin: raw for coin, raw in decode(answer, dict[str, msgspec.Raw]).items() if coin in known}
        for coin, raw in asked.items():
            made = partial(_priced, known[coin])
            rows = read_rows({coin: raw}, "/simple/price", OtherPrices, made, optional=("btc", "eth"))
            known |= {price.coin_id: price for price in rows.found}
            notes += rows.notes
    return list(known.values()), tuple(notes)


def _priced(price: CryptoPriceData, other: OtherPrices) -> CryptoPriceData:
    return evolve(price, btc_price=other.btc, eth_price=other.eth)


def coin_ids(answers: Sequence[Answer], limit: int | None = None) -> Success[list[str]]:
    """Turn answers of `/coins/list` or `/coins/markets` into coin ids, each once, in their order."""
    rows = joined(
        read_rows(decode(answer, list[msgspec.Raw]), answer.endpoint.path, CoinRow, lambda row: id_of(row.id))
        for answer in answers
    )
    return rows.success(list(dict.fromkeys(rows.found))[:limit])


def analytics(answer: Answer) -> Success[CryptoMarketAnalytics]:
    """Turn the answer of `/global` into analytics: US dollars, shares and change in percent.

    Shares and change may be unknown; notes tell of those that are. The change of the total volume
    (`volume_change_percentage_24h_usd`) is left out: it follows from the volumes that are stored, and a record has no
    place for it. Raises `Permanent("changed_shape")` that names whichever other field is not valid.
    """
    found, notes = decode_known(answer, Global, OPTIONAL_OF_GLOBAL)
    data, source = found.data, answer.source
    shares = data.market_cap_percentage or Shares()
    try:
        made = CryptoMarketAnalytics(
            timestamp=market_time("updated_at", data.updated_at, answer.received_at),
            total_market_cap=data.total_market_cap.usd,
            total_volume=data.total_volume.usd,
            btc_dominance=shares.btc,
            eth_dominance=shares.eth,
            active_cryptocurrencies=whole("active_cryptocurrencies", data.active_cryptocurrencies),
            markets=whole("markets", data.markets),
            market_cap_change_24h=data.market_cap_change_percentage_24h_usd,
            source=source,
            attribution=ATTRIBUTION[source],
        )
    except (ValueError, TypeError) as error:
        raise Permanent("changed_shape", f"/global: {error}") from error
    unknown = [name for name in UNKNOWN_OF_GLOBAL if getattr(made, name) is None]
    return Success(made, (*notes, *([f"CoinGecko does not say {', '.join(unknown)} now"] if unknown else [])))
