"""Filling gaps through real agents, from a simulator that fails as CoinGecko does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from attrs import evolve, frozen

from dataplatform.base.agent import SystemClock
from dataplatform.base.database import TimescaleClient, TimescaleSettings
from dataplatform.base.embedded import postgres_dsn
from dataplatform.base.http import HttpClient, HttpSettings
from dataplatform.dsl.operations.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.dsl.records.timeframes import floor
from dataplatform.errors import PlatformError
from dataplatform.result import get_data
from dataplatform.simulator import Fault, Simulator, SimulatorSettings
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource
from dataplatform.sources.timescale import TimescaleSource, TimescaleSourceOptions
from dataplatform.system.cli.data.filling import Backfill, Span
from dataplatform.system.cli.options import Patience
from dataplatform.system.platform.platform import Platform
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget
from tests.base.http.scripted_server import ScriptedServer, answer
from tests.sources.coingecko.answers import row
from tests.support.solo import Solo, solo
from tests.support.waiting import DEADLINE

HOURS = 10
END = floor(datetime.now(UTC), "1h")
BEGIN = END - HOURS * timedelta(hours=1)


@frozen
class Scene:
    """A simulator and the agents between it and the running platform's database."""

    agents: Solo
    simulator: Simulator
    coingecko: ReaderProxy
    stored: ReaderProxy
    database: AgentProxy
    writer: WriterProxy
    waits: list[str]

    def backfill(self, patience: float) -> Backfill:
        patient = Patience(patience, Event(), lambda _, why: self.waits.append(why))
        clock = SystemClock()
        return Backfill(self.coingecko, self.stored, self.database, self.writer, patient, clock, simulated=True)


@pytest.fixture
def scene(running: Platform) -> Iterator[Scene]:
    with Simulator(SimulatorSettings(seed=5)) as simulator, solo() as agents:
        agents.start("http", HttpClient, HttpSettings(base_url=simulator.base_url))
        agents.start("db", TimescaleClient, TimescaleSettings(postgres_dsn(running.data.path)))
        coingecko = agents.start("coingecko", CoinGeckoSource, CoinGeckoOptions(client="http"), "http")
        options: Any = TimescaleSourceOptions(client="db", simulated=True)
        stored = agents.start("stored", TimescaleSource, options, "db")
        writer = agents.start("writer", TimescaleTarget, TimescaleOptions(client="db"), "db")
        yield Scene(
            agents,
            simulator,
            ReaderProxy(coingecko),
            ReaderProxy(stored),
            AgentProxy(agents.runtime.directory.address("db")),
            WriterProxy(writer),
            [],
        )


def span(coin: str) -> Span:
    return Span(coin, BEGIN, END, "1h", candles=False, reach=BEGIN)


def test_a_rate_limit_is_waited_for_and_nothing_is_left(scene: Scene) -> None:
    scene.simulator.inject(Fault("rate_limited", path="/coins", times=1, retry_after=1))
    backfill = scene.backfill(patience=0.0)

    backfill.fill(backfill.find(span("avalanche-2")))

    assert scene.waits
    assert "429" in scene.waits[0]
    account = backfill.account
    assert (account.missing, account.filled, account.left) == (HOURS, HOURS, [])
    assert account.records == HOURS * 12  # of the last day, prices are five minutes apart


def test_an_outage_longer_than_the_patience_leaves_the_gap_with_its_reason(scene: Scene) -> None:
    scene.simulator.inject(Fault("server_error", path="/coins"))
    backfill = scene.backfill(patience=0.0)

    backfill.fill(backfill.find(span("shiba-inu")))
    (left,) = backfill.account.left

    assert (left.missing, backfill.account.records) == (HOURS, 0)
    assert "server_error" in left.reason


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([row("pepe-1", symbol="pepe"), row("pepe-2", symbol="pepe")], "ambiguous_symbol"),
        ([row("pepe-1", symbol="pepe", current_price=None)], "no_price"),
        ({"error": "none of it"}, "changed_shape"),
    ],
)
def test_a_coin_is_never_filled_by_another_name_than_it_is_found_by(scene: Scene, body: Any, code: str) -> None:
    bodies: list[Any] = [body, [], body]
    server = ScriptedServer(*[answer(200, one) for one in bodies])
    scene.agents.start("scripted", HttpClient, HttpSettings(base_url=server.url))
    coingecko = scene.agents.start("doubtful", CoinGeckoSource, CoinGeckoOptions(client="scripted"), "scripted")
    backfill = evolve(scene.backfill(patience=0.0), coingecko=ReaderProxy(coingecko))
    with pytest.raises(PlatformError) as refused:
        backfill.id_of("PEPE")
    server.close()
    assert refused.value.code == code


def test_coins_are_filled_by_their_ids_known_or_not(scene: Scene) -> None:
    backfill = scene.backfill(patience=0.0)
    assert [backfill.id_of(coin) for coin in ("SOL", "Solana", "solana", "NOPE")] == ["solana"] * 3 + ["nope"]


def test_the_history_of_a_coin_that_is_traded_no_more_is_filled(scene: Scene) -> None:
    moments = [1000 * int((BEGIN + hour * timedelta(hours=1)).timestamp()) for hour in range(HOURS)]
    line = [[moment, 1.5] for moment in moments]
    chart = {"prices": line, "market_caps": line[1:], "total_volumes": []}
    bodies: list[Any] = [[], chart]
    server = ScriptedServer(*[answer(200, body, "X-Simulator: 1") for body in bodies])
    scene.agents.start("scripted", HttpClient, HttpSettings(base_url=server.url))
    delisted = scene.agents.start("delisted", CoinGeckoSource, CoinGeckoOptions(client="scripted"), "scripted")
    backfill = evolve(scene.backfill(patience=0.0), coingecko=ReaderProxy(delisted))

    backfill.fill(backfill.find(span("old-coin")))
    server.close()

    account = backfill.account
    assert (account.missing, account.filled, account.records, account.left) == (HOURS, HOURS, HOURS, [])
    stored = get_data(scene.stored.get_price_history("old-coin", 1).get(timeout=DEADLINE))
    assert [price.market_cap for price in stored] == [None, *[1.5] * (HOURS - 1)]
