"""What every target does on its real server: what it has acknowledged is there, once more is no harm, and all of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve, frozen

from dataplatform import MarketDataReader, MarketDataWriter
from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES
from dataplatform.dsl.records.queries import BatchPublishResult, Level1Query, PublishResult
from dataplatform.dsl.records.timeframes import floor
from dataplatform.errors import Transient
from dataplatform.result import Success, get_data
from tests.contract.questions import TIMEFRAME
from tests.contract.registry import WRITERS
from tests.contract.rigs import PATIENCE, WRITER_RIGS, World, WriterRig, as_params, new_world
from tests.dsl.records import price, record
from tests.support.waiting import DEADLINE

MANY = 10_000
SIMULATED = {"source": "simulator"}

# What a target need not keep of this contract, and why; a waiver that is not needed fails.
WAIVERS: dict[tuple[str, str], str] = {}


@frozen
class Writing:
    """A target that was started, and a reader of what it writes."""

    rig: WriterRig
    writer: MarketDataWriter
    reader: MarketDataReader
    world: World

    def write(self, request: ops.TargetRequest[Any]) -> Any:
        """Put the request, and again while the servers are too slow for it: a busy machine is an outage that passes."""
        deadline = time.monotonic() + DEADLINE
        while True:
            answer = self.writer.ask(request, PATIENCE)
            if isinstance(answer, Success) or not isinstance(answer.error, Transient) or time.monotonic() > deadline:
                return get_data(answer)

    def read(self, request: ops.SourceRequest[Any]) -> Any:
        return get_data(self.reader.ask(request, PATIENCE))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


@pytest.fixture(scope="module", params=as_params(WRITER_RIGS))
def writing(request: pytest.FixtureRequest, world: World) -> Iterator[Writing]:
    rig: WriterRig = request.param
    with rig.start(world) as writer:
        writer.publish_prices([price("first", **SIMULATED)]).get(timeout=PATIENCE)  # else there is nothing to look at
        with rig.read(world) as reader:
            yield Writing(rig, writer, reader, world)


@pytest.fixture(autouse=True)
def waived(request: pytest.FixtureRequest) -> None:
    """Expect the failure of what is waived, and fail when there is none."""
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if "writing" in given and (reason := WAIVERS.get((given["writing"].name, request.node.originalname))):
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def test_every_installed_target_is_written_to_and_every_waiver_is_of_one_of_them() -> None:
    assert {rig.kind for rig in WRITER_RIGS} == set(WRITERS)
    rigs = {rig.name for rig in WRITER_RIGS}
    assert all(rig in rigs and what in globals() for rig, what in WAIVERS)
    assert all(cls.supported() == tuple(ops.writing()) for cls in WRITERS.values())


def test_prices_that_were_acknowledged_are_there(writing: Writing) -> None:
    one, two = (price(coin, last_updated=writing.world.now, **SIMULATED) for coin in ("w-one", "w-two"))

    assert writing.write(ops.PublishPrice(one)) == PublishResult("writer", PRICES.name)
    assert writing.write(ops.PublishPrices([two])) == BatchPublishResult("writer", 1)

    assert writing.read(ops.GetCurrentPrices(["w-one", "w-two"])) == [one, two]


def test_candles_that_were_acknowledged_are_there(writing: Writing) -> None:
    opened = floor(writing.world.now, TIMEFRAME) - timedelta(hours=4)
    one, two = (record(OHLCV, coin_id=coin, timestamp=opened, **SIMULATED) for coin in ("w-one", "w-two"))

    assert writing.write(ops.PublishOHLCV(one)) == PublishResult("writer", OHLCV.name)  # type: ignore[arg-type]
    assert writing.write(ops.PublishOHLCVBatch([two])) == BatchPublishResult("writer", 1)  # type: ignore[list-item]

    assert writing.read(ops.GetLatestOHLCV(["w-one", "w-two"], TIMEFRAME)) == [one, two]


def test_level1_that_was_acknowledged_is_there(writing: Writing) -> None:
    one, two = (record(LEVEL1, ticker=ticker, timestamp=writing.world.now, **SIMULATED) for ticker in ("w-1", "w-2"))

    assert writing.write(ops.PublishLevel1(one)) == PublishResult("writer", LEVEL1.name)  # type: ignore[arg-type]
    assert writing.write(ops.PublishLevel1Batch([two])) == BatchPublishResult("writer", 1)  # type: ignore[list-item]

    assert [writing.read(ops.GetLevel1Data(Level1Query(ticker))) for ticker in ("w-1", "w-2")] == [one, two]


def test_analytics_that_were_acknowledged_are_there(writing: Writing) -> None:
    state = record(ANALYTICS, timestamp=writing.world.now, **SIMULATED)

    assert writing.write(ops.PublishAnalytics(state)) == PublishResult("writer", ANALYTICS.name)  # type: ignore[arg-type]

    assert writing.read(ops.GetMarketAnalytics()) == state


def test_a_batch_of_several_kinds_is_there(writing: Writing) -> None:
    mixed = [
        price("w-mixed", last_updated=writing.world.now, **SIMULATED),
        record(LEVEL1, ticker="w-mixed", timestamp=writing.world.now, **SIMULATED),
    ]

    assert writing.write(ops.PublishBatch(mixed)) == BatchPublishResult("writer", 2)

    assert writing.read(ops.GetCurrentPrice("w-mixed")) == mixed[0]
    assert writing.read(ops.GetLevel1Data(Level1Query("w-mixed"))) == mixed[1]


def test_what_is_published_again_is_answered_as_the_latest(writing: Writing) -> None:
    first = price("w-again", last_updated=writing.world.now, **SIMULATED)
    later = evolve(first, usd_price=2.5, last_updated=writing.world.now + timedelta(seconds=1))

    for published in (first, first, later, later):
        writing.write(ops.PublishPrice(published))

    assert writing.read(ops.GetCurrentPrice("w-again")) == later


def test_many_records_at_once_are_written_whole(writing: Writing) -> None:
    many = [price(f"w-many-{number}", last_updated=writing.world.now, **SIMULATED) for number in range(MANY)]

    assert writing.write(ops.PublishPrices(many)) == BatchPublishResult("writer", MANY)

    assert writing.read(ops.GetCurrentPrices([one.coin_id for one in many])) == many


def test_nothing_is_written_and_flushed_with_success(writing: Writing) -> None:
    assert writing.write(ops.PublishPrices([])) == BatchPublishResult("writer", 0)
    assert writing.writer.flush().get(timeout=PATIENCE) == Success(None)
