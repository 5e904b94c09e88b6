"""CoinGecko's API, whatever carries it: its endpoints, what is asked of them, and what they answered.

What CoinGecko is asked, whatever carries the question: its endpoints, and asks of them, split as it needs.

An endpoint has a path in the REST API, a tool in the static generation of the MCP servers, and a method in the SDK that
the code generation runs code against. Parameters have the types that tools and methods want; a URL turns all to text.

What CoinGecko answered, whatever carried it: JSON, who really said it, and where it was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec
from attrs import field, frozen

from dataplatform.base.decoding import REPLACEMENT, Mended, decode_leniently, mended, misfit, require_json
from dataplatform.base.net.failures import not_json
from dataplatform.errors import Permanent
from dataplatform.result import Success

__all__ = [
    "ATTRIBUTION",
    "COIN",
    "COINS_LIST",
    "COINS_MARKETS",
    "EXCHANGE_TICKERS",
    "GLOBAL",
    "MARKET_CHART",
    "MARKET_CHART_RANGE",
    "OHLC",
    "OHLC_RANGE",
    "SIMPLE_PRICE",
    "TICKERS",
    "Amount",
    "Answer",
    "Ask",
    "Endpoint",
    "Parameters",
    "coin_list",
    "decode",
    "decode_known",
    "global_data",
    "id_of",
    "markets_of",
    "markets_of_symbols",
    "simple_prices",
    "source_named",
    "top_markets",
    "with_replacements",
]

PAGE = 250  # per_page's largest value
SYMBOLS = 25  # whose coins a page holds, though several have the same
LONGEST_IDS = 6_000  # characters of a URL that the ids may take safely, commas and escapes included

COMMA = quote(",", safe="")
Parameters: TypeAlias = Mapping[str, str | int | bool]


@frozen
class Endpoint:
    """One endpoint: its path, the tool of the static generation, and the SDK's method, below `client`."""

    path: str
    tool: str
    method: str


@frozen
class Ask:
    """One question to an endpoint, about the coin `coin_id` where its path is that of a coin (or of an exchange).

    `instead` holds asks of other endpoints that bring the same, for servers that have no tool for this one.

    >>> Ask(OHLC, {"vs_currency": "usd", "days": "1"}, "100%").path
    '/coins/100%25/ohlc'
    """

    endpoint: Endpoint
    parameters: Parameters = field(factory=dict)
    coin_id: str | None = None
    instead: tuple[Ask, ...] = ()

    @property
    def path(self) -> str:
        """The path of the question, whatever characters the coin's id holds."""
        return self.endpoint.path.replace("{id}", quote(self.coin_id or "", safe=""))


SIMPLE_PRICE = Endpoint("/simple/price", "get_simple_price", "simple.price.get")
GLOBAL = Endpoint("/global", "get_global", "global.get")
COINS_LIST = Endpoint("/coins/list", "get_coins_list", "coins.list.get")
COINS_MARKETS = Endpoint("/coins/markets", "get_coins_markets", "coins.markets.get")
COIN = Endpoint("/coins/{id}", "get_id_coins", "coins.getID")
OHLC = Endpoint("/coins/{id}/ohlc", "get_coins_ohlc", "coins.ohlc.get")
OHLC_RANGE = Endpoint("/coins/{id}/ohlc/range", "get_range_coins_ohlc", "coins.ohlc.getRange")
MARKET_CHART = Endpoint("/coins/{id}/market_chart", "get_coins_market_chart", "coins.marketChart.get")
MARKET_CHART_RANGE = Endpoint(
    "/coins/{id}/market_chart/range", "get_range_coins_market_chart", "coins.marketChart.getRange"
)
TICKERS = Endpoint("/coins/{id}/tickers", "get_coins_tickers", "coins.tickers.get")
EXCHANGE_TICKERS = Endpoint("/exchanges/{id}/tickers", "get_exchanges_tickers", "exchanges.tickers.get")


def markets_of(coin_ids: Sequence[str], *, change_7d: bool = True) -> list[Ask]:
    """Ask for the markets of these coins, 250 a page."""
    return [Ask(COINS_MARKETS, {**_markets(change_7d), "ids": ",".join(ids)}) for ids in _split(coin_ids)]


def markets_of_symbols(symbols: Sequence[str]) -> list[Ask]:
    """Ask for the markets of the coins with these symbols: the top-ranked ones, as CoinGecko sees it.

    With `include_tokens=all` each namesake of bitcoin would come as well, and nobody could say BTC.
    """
    asked = {**_markets(change_7d=False), "include_tokens": "top"}
    parts = [symbols[begin : begin + SYMBOLS] for begin in range(0, len(symbols), SYMBOLS)]
    return [Ask(COINS_MARKETS, {**asked, "symbols": ",".join(part).lower()}) for part in parts]


def top_markets(count: int) -> list[Ask]:
    """Ask for the coins with the largest market cap."""
    pages = range(1, -(-count // PAGE) + 1)
    return [Ask(COINS_MARKETS, {**_markets(change_7d=True), "page": page}) for page in pages]


def simple_prices(coin_ids: Sequence[str], currencies: Sequence[str]) -> list[Ask]:
    """Ask for the prices of these coins in other currencies."""
    currency = ",".join(currencies)
    return [
        Ask(SIMPLE_PRICE, {"ids": ",".join(ids), "vs_currencies": currency, "precision": "full"})
        for ids in _split(coin_ids)
    ]


def coin_list() -> list[Ask]:
    """Ask for the ids of all coins that CoinGecko lists.

    Those that it lists no more (`status=inactive`, for paid plans) are not asked for: they have no price now. Whoever
    knows the id of one is answered its history by `get_price_history`, with the key of such a plan.
    """
    return [Ask(COINS_LIST)]


def global_data() -> list[Ask]:
    """Ask for the state of the whole market."""
    return [Ask(GLOBAL)]


def _markets(change_7d: bool) -> Parameters:  # noqa: FBT001  private, and named where it is called
    return {
        "vs_currency": "usd",
        "order": "market_cap_desc",
        "per_page": PAGE,
        **({"price_change_percentage": "7d"} if change_7d else {}),
        "precision": "full",
    }


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


T = TypeVar("T")
Amount: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
ATTRIBUTION = {"coingecko": "Data provided by CoinGecko (https://www.coingecko.com)", "simulator": "Simulated data"}


def _mended(body: bytes | Mended) -> Mended:
    return body if isinstance(body, Mended) else mended(body)


@frozen
class Answer:
    """One answer: its JSON text, `source` (`coingecko`, or `simulator`), where it came from, to be shown, and when.

    `endpoint` is the one that answered, which may be another than was asked first. Characters of the body that are no
    text are replaced, so that they cost nothing but themselves.
    """

    text: Mended = field(converter=_mended, alias="body")
    source: str
    where: str
    received_at: datetime
    endpoint: Endpoint

    @property
    def body(self) -> bytes:
        return self.text.raw


def source_named(*, simulated: bool) -> str:
    """Return how data is labelled: by who really answered."""
    return "simulator" if simulated else "coingecko"


def decode(answer: Answer, type_: type[T]) -> T:
    """Decode an answer as the type; anything else is refused with the path of what is wrong in it.

    Raises `Permanent("changed_shape")`, or `Transient("not_json")` for what is no JSON: mostly a page of something
    that stands in between.
    """
    return decode_known(answer, type_, ())[0]


def decode_known(answer: Answer, type_: type[T], optional: Collection[str]) -> tuple[T, tuple[str, ...]]:
    """Decode an answer as `decode` does, and its `optional` fields that are not valid as null, with a note for each."""
    decode = msgspec.json.Decoder(type_).decode
    try:
        require_json(answer.body)
        found, wrong = decode_leniently(answer.body, decode, optional)
        return found, tuple(f"taken for unknown: {answer.endpoint.path}: {what}" for what in wrong)
    except msgspec.ValidationError as error:
        what = misfit(error, answer.body, decode)
        raise Permanent(
            "changed_shape",
            f"the answer of {answer.where} is not what CoinGecko promises: {what}",
            remedy="see whether its API has changed, or the client leads elsewhere",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(answer.where, answer.body, error) from error


def id_of(text: str) -> str:
    """Return an id; raises `ValueError` for what cannot be one: nothing, or what is not printable or was replaced."""
    if not text or not text.isprintable() or REPLACEMENT in text:
        raise ValueError(f"expected an id, got {text!r:.80}")
    return text


def with_replacements(made: T | Success[T], answers: Sequence[Answer | None]) -> T | Success[T]:
    """Add notes of the characters that were replaced in the answers that something was made of."""
    notes = tuple(
        f"characters of the answer of {answer.endpoint.path} that are not valid text were replaced by {REPLACEMENT}: "
        f"{answer.text.replaced}"
        for answer in answers
        if answer is not None and answer.text.replaced
    )
    if not notes:
        return made
    return Success(made.data, (*made.notes, *notes)) if isinstance(made, Success) else Success(made, notes)
