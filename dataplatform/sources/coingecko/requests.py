"""CoinGecko's REST requests: paths, parameters, and how large requests are split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from dataplatform.base.http import Get

__all__ = ["coin_list", "coin_path", "global_data", "markets_of", "simple_prices", "top_markets"]

PAGE = 250  # per_page's largest value
LONGEST_IDS = 6_000  # characters of a URL that the ids may take safely, commas and escapes included

COMMA = quote(",", safe="")


def markets_of(coin_ids: Sequence[str], *, change_7d: bool = True) -> list[Get]:
    """Ask for the markets of these coins, 250 a page."""
    return [Get("/coins/markets", (*_markets(change_7d), ("ids", ",".join(ids)))) for ids in _split(coin_ids)]


def top_markets(count: int) -> list[Get]:
    """Ask for the coins with the largest market cap."""
    pages = range(1, -(-count // PAGE) + 1)
    return [Get("/coins/markets", (*_markets(change_7d=True), ("page", str(page)))) for page in pages]


def simple_prices(coin_ids: Sequence[str], currencies: Sequence[str]) -> list[Get]:
    """Ask for the prices of these coins in other currencies."""
    currency = ",".join(currencies)
    return [
        Get("/simple/price", (("ids", ",".join(ids)), ("vs_currencies", currency), ("precision", "full")))
        for ids in _split(coin_ids)
    ]


def coin_path(coin_id: str, what: str) -> str:
    """Return the path of something of one coin, whatever characters its id holds.

    >>> coin_path("100%", "ohlc")
    '/coins/100%25/ohlc'
    """
    return f"/coins/{quote(coin_id, safe='')}/{what}"


def coin_list() -> list[Get]:
    """Ask for the ids of all coins."""
    return [Get("/coins/list")]


def global_data() -> list[Get]:
    """Ask for the state of the whole market."""
    return [Get("/global")]


def _markets(change_7d: bool) -> tuple[tuple[str, str], ...]:  # noqa: FBT001  private, and named where it is called
    return (
        ("vs_currency", "usd"),
        ("order", "market_cap_desc"),
        ("per_page", str(PAGE)),
        *((("price_change_percentage", "7d"),) if change_7d else ()),
        ("precision", "full"),
    )


def _split(coin_ids: Sequence[str]) -> Iterator[list[str]]:
    page: list[str] = []
    length = 0
    for coin_id in coin_ids:
        taken = len(quote(coin_id, safe="")) + len(COMMA)
        if page and (len(page) == PAGE or length + taken > LONGEST_IDS):
            yield page
            page, length = [], 0
        page.append(coin_id)
        length += taken
    if page:
        yield page
