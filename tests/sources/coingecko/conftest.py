"""A simulated CoinGecko at a time that tests move, and clients and sources on clocks that tests move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from attrs import define

from dataplatform.base.agent import Ready
from dataplatform.base.http import HttpClient, HttpSettings
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.simulator import Simulator, SimulatorSettings
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource
from tests.support.agents import Stage


@define(eq=False)
class Moment:
    """What time it is at the simulated CoinGecko."""

    now: datetime = datetime(2026, 1, 1, 12, 49, 21, tzinfo=UTC)  # the day of the clocks of stages

    def pass_(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@pytest.fixture(scope="session")
def moment() -> Moment:
    return Moment()


@pytest.fixture(scope="session")
def running_market(moment: Moment) -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7, now=lambda: moment.now)) as simulator:
        yield simulator


@pytest.fixture
def market(running_market: Simulator) -> Iterator[Simulator]:
    running_market.requests.clear()
    yield running_market
    running_market.clear_faults()


Start = Callable[..., ReaderProxy]


@pytest.fixture
def coingecko(stage: Stage, market: Simulator) -> Start:
    """Start a source of the simulated CoinGecko, or of another server."""

    def start(url: str = "", **settings: object) -> ReaderProxy:
        made = HttpSettings(**{"base_url": url or market.base_url, "attempts": 1, **settings})  # type: ignore[arg-type]
        stage.start(HttpClient, made, name="http")
        stage.start(CoinGeckoSource, CoinGeckoOptions(client="http"), "http", name="coingecko")
        stage.parent.expect(Ready)
        stage.parent.expect(Ready)
        return ReaderProxy(stage.runtime.directory.address("coingecko"))

    return start
