"""CoinGecko's own MCP server, as npm has it, between the source and the simulated CoinGecko."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psutil
import pytest

from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.result import get_data
from dataplatform.simulator import Simulator
from tests.sources.coingecko.transports import clocked, over, rest
from tests.support.coingecko_mcp import official_server
from tests.support.solo import failure

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
SLOW = 150.0  # seconds; each question has a Deno started


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture(scope="module")
def official(simulator: Simulator) -> Iterator[ReaderProxy]:
    with clocked(datetime.now(UTC)) as (agents, _):
        yield over(agents, "official", official_server(simulator.base_url))


def test_current_prices_come_through_it(official: ReaderProxy, simulator: Simulator) -> None:
    simulator.requests.clear()
    prices = get_data(official.get_current_prices(["solana", "no-such-coin", "bitcoin"]).get(timeout=SLOW))
    assert [price.coin_id for price in prices] == ["solana", "bitcoin"]
    for price in prices:
        market = simulator.market.price(price.coin_id, "usd", price.last_updated)
        assert price.usd_price == pytest.approx(market, rel=1e-3)
    assert [request.path for request in simulator.requests] == ["/api/v3/coins/markets"]


def test_candles_come_through_it_as_they_do_over_rest(official: ReaderProxy, simulator: Simulator) -> None:
    coins = ["bitcoin", "tulip"]
    candles = get_data(official.get_latest_ohlcv(coins, "4d").get(timeout=SLOW))
    with clocked(datetime.now(UTC)) as (agents, _):
        expected = get_data(over(agents, "rest", rest(simulator)).get_latest_ohlcv(coins, "4d").get(timeout=SLOW))
    assert [(one.coin_id, one.timestamp, one.close) for one in candles] == [
        (one.coin_id, one.timestamp, one.close) for one in expected
    ]


def test_an_unknown_coin_is_not_found_through_it(official: ReaderProxy) -> None:
    assert failure(official.get_current_ohlcv("no-such-coin").get(timeout=SLOW)) == "not_found"
    assert failure(official.get_current_price('");x("').get(timeout=SLOW)) == "not_found"


def test_nothing_is_left_of_a_question_that_was_answered(official: ReaderProxy) -> None:
    """It starts a Deno for each; one of 220 MB stayed for each when it was told of a wrapper around it."""
    get_data(official.get_current_price("bitcoin").get(timeout=SLOW))
    denos = [one for one in psutil.Process().children(recursive=True) if "deno" in one.name()]
    _, alive = psutil.wait_procs(denos, timeout=SLOW)
    assert alive == []
