"""Coins called by their symbols, over every transport and in every operation; a symbol of several coins is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dataplatform.base.agent import Future
from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery, Level1Query
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.simulator import Fault, Simulator, SimulatorSettings
from tests.base.http.scripted_server import ScriptedServer, answer
from tests.sources.coingecko.answers import row
from tests.sources.coingecko.transports import NOON, clocked, over, rest
from tests.support.solo import PATIENCE

RANGE = (NOON - timedelta(days=5), NOON, "4h")
OPERATIONS: dict[str, Callable[[ReaderProxy, str], Future[Result[Any]]]] = {
    "get_current_price": lambda reader, coin: reader.get_current_price(coin, "eth"),
    "get_current_prices": lambda reader, coin: reader.get_current_prices([coin]),
    "get_current_ohlcv": lambda reader, coin: reader.get_current_ohlcv(coin),
    "get_latest_ohlcv": lambda reader, coin: reader.get_latest_ohlcv([coin]),
    "get_price_history": lambda reader, coin: reader.get_price_history(coin, 1),
    "get_ohlcv_by_date_range": lambda reader, coin: reader.get_ohlcv_by_date_range(DateRangeOHLCVQuery(coin, *RANGE)),
    "get_level1_data": lambda reader, coin: reader.get_level1_data(Level1Query(coin)),
}
by_operation = pytest.mark.parametrize("ask", OPERATIONS.values(), ids=OPERATIONS)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7, now=lambda: NOON)) as running:
        yield running


@pytest.fixture(params=["rest", "static", "code"])
def reader(request: pytest.FixtureRequest, simulator: Simulator) -> Iterator[ReaderProxy]:
    url = None if request.param == "rest" else simulator.mcp_url(request.param)
    with clocked() as (agents, _):
        yield over(agents, "reader", rest(simulator) if url is None else McpSettings(url=url))
    simulator.clear_faults()


@by_operation
def test_a_coin_may_be_called_by_its_symbol_in_every_operation(
    reader: ReaderProxy, ask: Callable[[ReaderProxy, str], Future[Result[Any]]]
) -> None:
    by_id = get_data(ask(reader, "bitcoin").get(timeout=PATIENCE))
    by_symbol = ask(reader, "BTC").get(timeout=PATIENCE)
    assert isinstance(by_symbol, Success), by_symbol
    assert by_symbol.data == by_id
    assert by_symbol.notes[:1] == ("'BTC' was taken for bitcoin",)


def test_symbols_and_ids_may_stand_together_and_each_coin_comes_once_in_the_order_asked(reader: ReaderProxy) -> None:
    prices = get_data(reader.get_current_prices(["SOL", "bitcoin", "BTC", "Eth"]).get(timeout=PATIENCE))
    assert [price.coin_id for price in prices] == ["solana", "bitcoin", "ethereum"]


def test_an_id_may_be_written_large(reader: ReaderProxy) -> None:
    prices = reader.get_current_prices(["Bitcoin", "USD-Coin", "ETH"]).get(timeout=PATIENCE)
    assert isinstance(prices, Success), prices
    assert [price.coin_id for price in prices.data] == ["bitcoin", "usd-coin", "ethereum"]
    taken = "'Bitcoin' was taken for bitcoin, 'USD-Coin' was taken for usd-coin, 'ETH' was taken for ethereum"
    assert prices.notes == (taken,)


def test_a_symbol_that_no_coin_has_is_unknown_as_an_id_is(reader: ReaderProxy) -> None:
    prices = get_data(reader.get_current_prices(["TULIP", "BTC"]).get(timeout=PATIENCE))
    assert [price.coin_id for price in prices] == ["bitcoin"]
    unknown = reader.get_current_price("TULIP").get(timeout=PATIENCE)
    assert isinstance(unknown, Failure)
    assert (unknown.error.code, "'tulip'" in unknown.error.message) == ("not_found", True)


def test_ids_cost_no_further_question(reader: ReaderProxy, simulator: Simulator) -> None:
    simulator.requests.clear()
    get_data(reader.get_current_price("usd-coin").get(timeout=PATIENCE))
    assert len(simulator.requests) == 1


def test_when_symbols_cannot_be_looked_up_that_is_the_failure(reader: ReaderProxy, simulator: Simulator) -> None:
    simulator.inject(Fault("rate_limited", path="/coins/markets"))
    refused = reader.get_current_ohlcv("BTC").get(timeout=PATIENCE)
    assert isinstance(refused, Failure)
    assert refused.error.code == "rate_limited"


def test_many_symbols_are_looked_up_in_parts(simulator: Simulator) -> None:
    simulator.requests.clear()
    symbols = [coin.symbol.upper() for coin in simulator.market.coins if coin.symbol.isalpha()][:60]
    with clocked() as (agents, _):
        prices = get_data(over(agents, "reader", rest(simulator)).get_current_prices(symbols).get(timeout=PATIENCE))
    assert [price.symbol.upper() for price in prices] == symbols
    asked = [parse_qs(request.query).get("symbols", [""])[0] for request in simulator.requests]
    assert [len(part.split(",")) for part in asked if part] == [25, 25, 10]


# What several coins fit, and what is odd

Scripted = Callable[..., tuple[Result[Any], list[dict[str, list[str]]]]]
NAMESAKE = row("harrypotterobamasonic10inu", symbol="BITCOIN")


@pytest.fixture
def scripted() -> Scripted:
    """Ask for the prices of coins, of a server that gives these answers; return what came, and what it was asked."""

    def ask(coins: list[str], *bodies: object) -> tuple[Result[Any], list[dict[str, list[str]]]]:
        server = ScriptedServer(*[answer(200, body) for body in bodies])
        with clocked() as (agents, _):
            reader = over(agents, "reader", HttpSettings(base_url=server.url))
            came = reader.get_current_prices(coins).get(timeout=PATIENCE)
        server.close()
        return came, [parse_qs(urlsplit(path).query) for path in server.paths]

    return ask


@pytest.mark.parametrize(("count", "more"), [(2, ""), (5, ""), (7, " and 2 more")])
def test_a_symbol_of_several_coins_is_refused_with_their_ids_by_market_cap(
    scripted: Scripted, count: int, more: str
) -> None:
    refused, asked = scripted(["PEPE"], [row(f"pepe-{number}", symbol="pepe") for number in range(count)], [])
    ids = ", ".join(f"pepe-{number}" for number in range(min(count, 5)))
    text = f"'PEPE' may be any of several coins, by id or by symbol: {ids}{more}"
    assert refused == Failure(Permanent("ambiguous_symbol", text, remedy="ask by the id"))
    by_symbol, by_id = asked
    assert (by_symbol["symbols"], by_symbol["include_tokens"]) == (["pepe"], ["top"])
    assert (by_symbol["order"], by_id["ids"]) == (["market_cap_desc"], ["pepe"])


def test_an_id_written_large_is_never_another_coin_that_has_it_for_a_symbol(scripted: Scripted) -> None:
    refused, _ = scripted(["Bitcoin"], [NAMESAKE], [row("bitcoin", symbol="btc")], [NAMESAKE])
    text = "'Bitcoin' may be any of several coins, by id or by symbol: bitcoin, harrypotterobamasonic10inu"
    assert refused == Failure(Permanent("ambiguous_symbol", text, remedy="ask by the id"))


def test_a_coin_whose_id_is_its_symbol_leaves_no_doubt(scripted: Scripted) -> None:
    pepe = row("pepe", symbol="pepe", last_updated=NOON.isoformat())
    came, _ = scripted(["PEPE"], [pepe], [pepe], [pepe])
    assert isinstance(came, Success)
    assert [price.coin_id for price in came.data] == ["pepe"]


def test_a_symbol_among_what_was_looked_up_as_an_id_is_no_further_meaning(scripted: Scripted) -> None:
    """Of the coins with a symbol only the top-ranked count, whatever else is asked for beside it."""
    bitcoin, other = (row(coin, symbol="btc", last_updated=NOON.isoformat()) for coin in ("bitcoin", "batcat"))
    came, _ = scripted(["BTC", "BatCat"], [bitcoin], [other], [bitcoin, other])
    assert isinstance(came, Success)
    assert [price.coin_id for price in came.data] == ["bitcoin", "batcat"]


@pytest.mark.parametrize("odd", [{"symbol": None}, {"symbol": 7}, {"id": None}])
def test_an_odd_row_costs_no_other_symbol_and_is_noted(scripted: Scripted, odd: dict[str, Any]) -> None:
    bitcoin = row("bitcoin", symbol="btc", last_updated=NOON.isoformat())
    came, _ = scripted(["BTC"], [row("tulip") | odd, bitcoin], [], [bitcoin])
    assert isinstance(came, Success), came
    assert [price.coin_id for price in came.data] == ["bitcoin"]
    taken, left_out = came.notes
    assert taken == "'BTC' was taken for bitcoin"
    assert left_out.startswith("left out: /coins/markets")
    assert f"`$[0].{next(iter(odd))}`" in left_out


def test_symbols_of_which_all_rows_are_odd_are_of_another_shape(scripted: Scripted) -> None:
    came, _ = scripted(["BTC"], [row("bitcoin", symbol=None)], [])
    assert isinstance(came, Failure)
    assert came.error.code == "changed_shape"
