"""A rate limit of our own slows an operation of many requests down, and makes it fail only where it would take long."""

from __future__ import annotations

from dataplatform.result import get_data
from dataplatform.simulator import Simulator
from tests.sources.coingecko.transports import clocked, over, rest
from tests.support.solo import PATIENCE, failure, solo

FAST = 40.0  # requests a minute, so that a turn comes in 1.5 s, which is longer than an answer takes
SLOW = 1.0


def test_an_operation_of_more_requests_than_may_follow_at_once_is_answered_whole(market: Simulator) -> None:
    with solo() as agents:
        reader = over(agents, "coingecko", rest(market, rate_per_minute=FAST, burst=1))
        candles = get_data(reader.get_latest_ohlcv(["bitcoin", "ethereum", "solana"], "4h").get(timeout=PATIENCE))
        assert len(candles) == 3
        client = agents.runtime.directory.status("coingecko-client")
        assert client is not None
        assert client.counters["throttled"] >= 1


def test_an_operation_that_would_wait_longer_than_the_patience_fails_at_once_and_says_when(market: Simulator) -> None:
    with clocked() as (agents, _):
        reader = over(agents, "coingecko", rest(market, rate_per_minute=SLOW, burst=1), patience=5.0)
        answer = reader.get_available_tickers(260).get(timeout=PATIENCE)
        assert failure(answer) == "throttled"
        assert len(market.requests) == 1
