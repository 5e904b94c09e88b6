"""The laws of composition, as properties of pipes between real agents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from dataplatform.base.agent import Address, Agent, Context, Request
from dataplatform.dsl.operations.operations import GetCurrentPrice, GetCurrentPrices, PublishPrice, PublishPrices
from dataplatform.dsl.operations.pipe import Piped, pipe
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.records.queries import BatchPublishResult, PublishResult
from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success, get_data
from tests.support.solo import failure, solo

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


@define(eq=False)
class World:
    """What the source holds, which sides are broken, and everything that was asked, in order."""

    prices: dict[str, CryptoPriceData] = field(factory=dict)
    broken: dict[str, PlatformError] = field(factory=dict)
    asked: list[tuple[str, Request[Any]]] = field(factory=list)
    written: dict[str, list[CryptoPriceData]] = field(factory=dict)


class Side(Agent):
    """A source or a target of the world."""

    def __init__(self, context: Context, world: World) -> None:
        super().__init__(context)
        self._world = world

    def receive(self, message: Request[Any]) -> Result[Any]:
        self._world.asked.append((self.name, message))
        if self.name in self._world.broken:
            return Failure(self._world.broken[self.name])
        match message:
            case GetCurrentPrice(coin_id):
                return Success(self._world.prices[coin_id])
            case GetCurrentPrices(coin_ids):
                return Success([self._world.prices[coin_id] for coin_id in coin_ids])
            case PublishPrice(price):
                return self._write([price], PublishResult(self.name, "prices"))
            case PublishPrices(prices):
                return self._write(prices, BatchPublishResult(self.name, len(prices)))
            case _:
                raise AssertionError(message)

    def _write(self, prices: Sequence[CryptoPriceData], answer: Any) -> Result[Any]:
        self._world.written.setdefault(self.name, []).extend(prices)
        return Success(answer)


@define
class Cast:
    world: World
    source: ReaderProxy
    one: WriterProxy
    two: WriterProxy

    def set(self, coins: Sequence[str] = (), **broken: PlatformError) -> Cast:
        self.world.prices = {coin: price(coin) for coin in coins}
        self.world.broken, self.world.asked, self.world.written = broken, [], {}
        return self


def price(coin_id: str, usd: float = 1.0) -> CryptoPriceData:
    return CryptoPriceData(coin_id=coin_id, symbol="x", usd_price=usd, last_updated=WHEN, source="test")


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    world = World()
    with solo() as agents:
        addresses: list[Address] = [agents.start(name, Side, world) for name in ("source", "one", "two")]
        yield Cast(world, ReaderProxy(addresses[0]), WriterProxy(addresses[1]), WriterProxy(addresses[2]))


coins = st.lists(st.text("abc-", min_size=1, max_size=6), min_size=1, max_size=20, unique=True)
errors = st.sampled_from([Transient("unreachable", "the server is away"), Permanent("unauthorized", "no")])


@given(coins)
def test_what_is_read_is_what_every_target_writes(cast: Cast, names: list[str]) -> None:
    cast.set(names)

    piped = get_data(pipe(cast.source.get_current_prices, cast.one.publish_prices, cast.two.publish_prices)(names))

    assert cast.world.written == {"one": piped.records, "two": piped.records}
    assert [record.coin_id for record in piped.records] == names
    assert piped.answers == {name: Success(BatchPublishResult(name, len(names))) for name in ("one", "two")}


@given(coins, errors)
def test_a_failed_reading_is_the_answer_and_nothing_is_written(
    cast: Cast, names: list[str], error: PlatformError
) -> None:
    cast.set(names, source=error)

    answer = pipe(cast.source.get_current_prices, cast.one.publish_prices)(names)

    assert answer == Failure(error)
    assert cast.world.written == {}


@given(coins)
def test_nothing_is_written_before_it_was_read_and_nothing_flows_back(cast: Cast, names: list[str]) -> None:
    cast.set(names)

    pipe(cast.source.get_current_prices, cast.one.publish_prices, cast.two.publish_prices)(names)

    assert next(name for name, _ in cast.world.asked) == "source"
    assert sorted(name for name, _ in cast.world.asked) == ["one", "source", "two"]


@given(coins, errors)
def test_a_target_that_fails_keeps_no_other_from_writing(cast: Cast, names: list[str], error: PlatformError) -> None:
    cast.set(names, one=error)

    piped = get_data(pipe(cast.source.get_current_prices, cast.one.publish_prices, cast.two.publish_prices)(names))

    assert piped.failures == {"one": error}
    assert cast.world.written == {"two": piped.records}


@given(coins, errors)
def test_when_every_target_fails_the_pipe_does(cast: Cast, names: list[str], error: PlatformError) -> None:
    cast.set(names, one=error)

    assert pipe(cast.source.get_current_prices, cast.one.publish_prices)(names) == Failure(error)


@given(coins, st.floats(0.5, 3))
def test_steps_are_taken_in_their_order(cast: Cast, names: list[str], factor: float) -> None:
    cast.set(names)
    written = pipe(cast.source.get_current_prices, cast.one.publish_prices)

    piped = get_data(
        written.map(lambda one: evolve(one, usd_price=one.usd_price * factor)).filter(lambda one: one.usd_price > 1)(
            names
        )
    )

    assert piped.records == ([price(name, factor) for name in names] if factor > 1 else [])
    assert cast.world.written == ({"one": piped.records} if piped.records else {})


def test_a_single_record_goes_through_a_pipe_too(cast: Cast) -> None:
    cast.set(["bitcoin"])

    piped = get_data(pipe(cast.source.get_current_price, cast.one.publish_price)("bitcoin"))

    assert piped == Piped([price("bitcoin")], {"one": Success(PublishResult("one", "prices"))})


def test_a_step_that_makes_another_type_is_incoherent_and_nothing_is_written(cast: Cast) -> None:
    cast.set(["bitcoin"])
    wrong: Any = lambda one: one.usd_price  # noqa: E731  a type checker refuses it as it is

    assert (
        failure(pipe(cast.source.get_current_prices, cast.one.publish_prices).map(wrong)(["bitcoin"])) == "incoherent"
    )
    assert cast.world.written == {}


def test_types_that_do_not_fit_are_refused_when_a_pipe_is_made(cast: Cast) -> None:
    read: Any = cast.source.get_current_prices
    for write in (cast.one.publish_ohlcv_batch, cast.one.publish_analytics, cast.one.publish_level1):
        with pytest.raises(TypeError, match=r"source\.get_current_prices reads CryptoPriceData, one\.publish"):
            pipe(read, write)


@pytest.mark.parametrize("stranger", [len, print, lambda coins: coins, None])
def test_only_operations_of_the_language_are_composed(cast: Cast, stranger: Any) -> None:
    with pytest.raises(TypeError, match="no reading operation"):
        pipe(stranger, cast.one.publish_prices)
    read: Any = cast.source.get_current_prices
    with pytest.raises(TypeError, match="no writing operation"):
        pipe(read, stranger)


def test_what_reads_or_writes_no_records_is_refused(cast: Cast) -> None:
    read: Any = cast.source.get_current_prices
    with pytest.raises(TypeError, match="not about records"):
        pipe(cast.source.get_available_tickers, cast.one.publish_prices)  # type: ignore[type-var, arg-type]
    with pytest.raises(TypeError, match="writes no records"):
        pipe(read, cast.one.flush)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="stands twice"):
        pipe(read, cast.one.publish_prices, cast.one.publish_prices)
