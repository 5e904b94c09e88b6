"""What every source answers on its real server: the same questions, and the same refusals of what it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen

from dataplatform import MarketDataReader
from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.operations.operations import reading
from dataplatform.dsl.operations.registry import supporters
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Success, get_data
from tests.contract.questions import QUESTIONS, UNKNOWN
from tests.contract.registry import READERS
from tests.contract.rigs import PATIENCE, READER_RIGS, ReaderRig, World, as_params, fill, new_world

MANY = 10_000

# What a source need not keep of this contract, and why; a waiver that is not needed fails.
NO_TOOL = (
    "the static tools that CoinGecko's server has kept give candles to paid plans alone; it says so (`unsupported`)"
)
NOT_ALL = (
    "the static tools that CoinGecko's server has kept show 100 tickers of a coin where no exchange is named; where"
    " there may be more it says so (`unsupported`)"
)
CANDLES = ("get_current_ohlcv", "get_latest_ohlcv", "get_ohlcv_by_date_range")
WAIVERS: dict[tuple[str, str], str] = {
    **{("coingecko-late-static-mcp", operation): NO_TOOL for operation in CANDLES},
    **{("coingecko-late-static-mcp", f"unknown {operation}"): NO_TOOL for operation in CANDLES},
    ("coingecko-late-static-mcp", "get_level1_data"): NOT_ALL,
    ("coingecko-late-static-mcp", "unknown get_level1_data on a market"): NOT_ALL,
}


@frozen
class Asked:
    """A source that was started and filled."""

    rig: ReaderRig
    reader: MarketDataReader
    world: World

    @property
    def supported(self) -> tuple[str, ...]:
        return READERS[self.rig.kind].supported()

    def __call__(self, request: ops.SourceRequest[Any]) -> Any:
        return self.reader.ask(request, PATIENCE)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


@pytest.fixture(scope="module", params=as_params(READER_RIGS))
def asked(request: pytest.FixtureRequest, world: World) -> Iterator[Asked]:
    rig: ReaderRig = request.param
    fill(world, rig)
    with rig.start(world) as reader:
        yield Asked(rig, reader, world)


@pytest.fixture(autouse=True)
def waived(request: pytest.FixtureRequest) -> None:
    """Expect the failure of what is waived, and fail when there is none."""
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if "asked" in given:
        what = (
            f"unknown {given['unknown']}" if "unknown" in given else given.get("operation", request.node.originalname)
        )
        _expect_failure_of_waived(request, given["asked"].name, what)


def _expect_failure_of_waived(request: pytest.FixtureRequest, rig: str, what: str) -> None:
    if reason := WAIVERS.get((rig, what)):
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def test_every_installed_source_is_asked_and_every_waiver_is_of_one_of_them() -> None:
    assert {rig.kind for rig in READER_RIGS} == set(READERS)
    rigs = {rig.name for rig in READER_RIGS}
    known = {*QUESTIONS, *(f"unknown {what}" for what in UNKNOWN), *globals()}
    assert all(rig in rigs and what in known for rig, what in WAIVERS)


@pytest.mark.parametrize("operation", reading())
def test_an_operation_is_answered_or_refused_with_the_names_of_those_who_answer_it(
    asked: Asked, operation: str
) -> None:
    question, now = QUESTIONS[operation], asked.world.now

    answer = asked(question.ask(now))

    if operation in asked.supported:
        assert question.is_answered_by(get_data(answer), now), answer.data
        return
    assert isinstance(answer, Failure)
    assert (type(answer.error), answer.error.code) == (Permanent, "unsupported")
    assert all(name in answer.error.message for name in supporters(operation))


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_what_a_source_does_not_know_is_not_found(asked: Asked, unknown: str) -> None:
    if unknown.partition(" ")[0] in asked.supported:
        answer = asked(UNKNOWN[unknown](asked.world.now))

        assert isinstance(answer, Failure), answer
        assert (type(answer.error), answer.error.code) == (Permanent, "not_found")
        assert answer.error.message


@pytest.mark.parametrize("timeframe", ["1m", "30m", "1h", "1d", "4d", "1w"])
def test_a_timeframe_that_a_source_lacks_is_unsupported_or_not_found(asked: Asked, timeframe: str) -> None:
    answer = asked(ops.GetLatestOHLCV(["bitcoin"], timeframe))

    if isinstance(answer, Success):
        assert [candle.timeframe for candle in answer.data] == [timeframe]
    else:
        assert isinstance(answer.error, Permanent)
        assert answer.error.code in {"unsupported", "not_found"}


def test_many_coins_at_once_are_asked_for_in_parts_and_answered_whole(asked: Asked) -> None:
    known = get_data(asked(ops.GetAvailableTickers(300)))
    unknown = [f"no-such-coin-{number}" for number in range(MANY - len(known))]
    coins = [*reversed(known), *unknown]

    found = get_data(asked(ops.GetCurrentPrices(coins)))

    assert [price.coin_id for price in found] == list(reversed(known))
    assert len(known) >= 250
