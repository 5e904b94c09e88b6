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
from dataplatform.dsl.proxy import ReaderProxy
from dataplatform.dsl.queries import DateRangeOHLCVQuery, Level1Query
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, get_data
from dataplatform.simulator import Fault, Simulator, SimulatorSettings
from tests.base.http.scripted_server import ScriptedServer, answer
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
    assert get_data(ask(reader, "BTC").get(timeout=PATIENCE)) == by_id


def test_symbols_and_ids_may_stand_together_and_each_coin_comes_once_in_the_order_asked(reader: ReaderProxy) -> None:
    prices = get_data(reader.get_current_prices(["SOL", "bitcoin", "BTC", "Eth"]).get(timeout=PATIENCE))
    assert [price.coin_id for price in prices] == ["solana", "bitcoin", "ethereum"]


def test_an_id_may_be_written_large(reader: ReaderProxy) -> None:
    prices = get_data(reader.get_current_prices(["Bitcoin", "USD-Coin", "ETH"]).get(timeout=PATIENCE))
    assert [price.coin_id for price in prices] == ["bitcoin", "usd-coin", "ethereum"]


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


@pytest.mark.parametrize(("count", "more"), [(2, ""), (5, ""), (7, " and 2 more")])
def test_a_symbol_of_several_coins_is_refused_with_their_ids_by_market_cap(count: int, more: str) -> None:
    server = ScriptedServer(answer(200, [{"id": f"pepe-{number}", "symbol": "pepe"} for number in range(count)]))
    with clocked() as (agents, _):
        refused = (
            over(agents, "reader", HttpSettings(base_url=server.url)).get_current_price("PEPE").get(timeout=PATIENCE)
        )
    server.close()
    ids = ", ".join(f"pepe-{number}" for number in range(min(count, 5)))
    assert refused == Failure(
        Permanent(
            "ambiguous_symbol",
            f"'PEPE' is the symbol of several coins; by market cap: {ids}{more}",
            remedy="ask by the id",
        )
    )
    (path,) = server.paths
    asked = parse_qs(urlsplit(path).query)
    assert (asked["symbols"], asked["include_tokens"], asked["order"]) == (["pepe"], ["top"], ["market_cap_desc"])
