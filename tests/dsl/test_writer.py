"""The writing operations: arguments checked once for all targets, records durable when they answer, or named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from dataplatform.base.agent import Drain, Drained, Ready
from dataplatform.base.agent.supervisor import StartDue
from dataplatform.dsl.flow import Batch, Deliver, Rejection
from dataplatform.dsl.flow.target import WriteDue
from dataplatform.dsl.operations.in_flight import MOST
from dataplatform.dsl.operations.operations import Flush, PublishAnalytics, PublishPrice, PublishPrices, TargetRequest
from dataplatform.dsl.operations.parts import TargetOptions
from dataplatform.dsl.operations.proxy import WriterProxy
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, PRICES, Kind
from dataplatform.dsl.records.queries import BatchPublishResult, PublishResult, Refused
from dataplatform.dsl.records.types import CryptoMarketAnalytics, Record
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success, get_data
from tests.dsl.doubles import Double, Write
from tests.dsl.flows import running
from tests.dsl.records import NOON, letter, price, prices, record
from tests.dsl.scripts import Stall, Store, failing, rejected
from tests.support.agents import DEADLINE, Stage

OUTAGE = Transient("database", "the server is restarting", retry_after=5.0)
OPTIONS = TargetOptions(client="client")


class Shelf(BaseWriter):
    """A target whose client answers how many records it took, or which ones it refused."""

    technology: ClassVar[str] = "Shelf"
    client_kind: ClassVar[str] = "shelf"
    Options = TargetOptions

    def _request(self, kind: Kind, records: list[Record]) -> Write:
        return Write(kind, records)

    def _rejections(self, answer: Any) -> list[Rejection]:
        return answer if isinstance(answer, list) else []


class PriceShelf(Shelf):
    """A target that takes prices alone."""

    takes: ClassVar[tuple[Kind, ...]] = (PRICES,)


class PairShelf(Shelf):
    """A target whose requests hold two records."""

    def _portions(self, kind: Kind, records: list[Record]) -> list[list[Record]]:
        return [records[start : start + 2] for start in range(0, len(records), 2)]


@pytest.fixture
def store() -> Store:
    return Store()


Start = Callable[..., WriterProxy]


@pytest.fixture
def writer(stage: Stage, store: Store) -> Start:
    """Start a target and its client, and return the target's proxy."""

    def start(cls: type[BaseWriter] = Shelf) -> WriterProxy:
        stage.start(Double, store.answer, name="client")
        stage.start(cls, OPTIONS, "client", name="shelf")
        stage.parent.expect(Ready)
        stage.parent.expect(Ready)
        return WriterProxy(stage.runtime.directory.address("shelf"))

    return start


def analytics() -> CryptoMarketAnalytics:
    made = record(ANALYTICS)
    assert isinstance(made, CryptoMarketAnalytics)
    return made


def error(answer: Result[Any]) -> PlatformError:
    assert isinstance(answer, Failure)
    return answer.error


# Answers


def test_a_price_that_was_published_is_written(writer: Start, store: Store) -> None:
    assert writer().publish_price(price()).get(timeout=DEADLINE) == Success(PublishResult("shelf", "prices"))
    assert store.rows == [price()]


@pytest.mark.parametrize("year", [1, 2007, 2027, 9999])
def test_a_record_of_an_impossible_time_is_refused_as_invalid_and_harms_no_other(
    writer: Start, store: Store, year: int
) -> None:
    """The latest wins: one of the year 9999 would hide all later prices of its coin."""
    shelf = writer()
    wrong = price("wrong", last_updated=NOON.replace(year=year))
    refusal = error(shelf.publish_price(wrong).get(timeout=DEADLINE))
    assert (refusal.code, refusal.message.partition(",")[0]) == (
        "invalid",
        "last_updated: expected a time from 2008 to a day from now",
    )
    state = record(ANALYTICS, timestamp=NOON.replace(year=year))
    mixed: list[Record] = [price("a"), wrong, analytics(), state, price("b")]
    answer = get_data(shelf.publish_batch(mixed).get(timeout=DEADLINE))
    assert answer.published == 3
    assert [(one.index, one.error.code) for one in answer.refused] == [(1, "invalid"), (3, "invalid")]
    assert store.rows == [price("a"), price("b"), analytics()]


def test_a_dead_letter_is_of_whatever_time_it_says(writer: Start, store: Store) -> None:
    odd = letter("1", time=NOON.replace(year=9999))
    assert get_data(writer().publish_batch([odd]).get(timeout=DEADLINE)).refused == ()
    assert store.rows == [odd]


def test_prices_that_were_published_are_written_in_one_piece(writer: Start, store: Store) -> None:
    given = [price("a"), price("b")]
    assert writer().publish_prices(given).get(timeout=DEADLINE) == Success(BatchPublishResult("shelf", 2))
    assert store.rows == given
    assert store.sizes == [2]


def test_a_state_of_the_market_that_was_published_is_written(writer: Start, store: Store) -> None:
    assert writer().publish_analytics(analytics()).get(timeout=DEADLINE) == Success(PublishResult("shelf", "analytics"))
    assert store.rows == [analytics()]


def test_records_of_several_kinds_are_written_kind_by_kind_and_named_by_their_place_when_refused(
    writer: Start, store: Store
) -> None:
    store.poison |= {"b", "d"}
    given: list[Record] = [price("a"), analytics(), price("b"), price("c"), record(LEVEL1), price("d")]
    answer = get_data(writer().publish_batch(given).get(timeout=DEADLINE))
    assert answer.published == 4
    assert [(refused.index, str(refused.error)) for refused in answer.refused] == [
        (2, "rejected: no row can hold b"),
        (5, "rejected: no row can hold d"),
    ]
    assert [one for one in given if one in store.rows] == [given[0], given[1], given[3], given[4]]


def test_publishing_nothing_asks_nobody(writer: Start, store: Store) -> None:
    assert writer().publish_prices([]).get(timeout=DEADLINE) == Success(BatchPublishResult("shelf", 0))
    assert store.asked == []


def test_operations_are_counted(writer: Start, store: Store) -> None:
    shelf = writer()
    shelf.publish_price(price()).get(timeout=DEADLINE)
    store.acts.append(failing(OUTAGE))
    shelf.publish_price(price()).get(timeout=DEADLINE)
    counters = get_data(shelf.get_status().get(timeout=DEADLINE)).counters
    assert (counters["operations"], counters["failed_operations"]) == (1, 1)


def test_what_one_request_cannot_hold_is_written_in_several(writer: Start, store: Store) -> None:
    store.poison |= {"d"}
    answer = get_data(writer(PairShelf).publish_prices([price(coin) for coin in "abcde"]).get(timeout=DEADLINE))
    assert answer.published == 4
    assert [(refused.index, str(refused.error)) for refused in answer.refused] == [(3, "rejected: no row can hold d")]
    assert store.coins == ["a", "b", "c", "e"]
    assert store.sizes == [2, 2, 1, 1, 1]


def test_an_outage_between_two_requests_is_the_answer(writer: Start, store: Store) -> None:
    store.acts += [lambda _: None, failing(OUTAGE)]
    answer = writer(PairShelf).publish_prices([price(coin) for coin in "abcde"]).get(timeout=DEADLINE)
    assert error(answer) == OUTAGE
    assert store.coins == ["a", "b"]


# Records that can never be written


def test_refused_prices_are_named_and_harm_no_other(writer: Start, store: Store) -> None:
    store.poison |= {"b", "d"}
    answer = get_data(writer().publish_prices([price(coin) for coin in "abcde"]).get(timeout=DEADLINE))
    assert answer.published == 3
    assert [(refused.index, str(refused.error)) for refused in answer.refused] == [
        (1, "rejected: no row can hold b"),
        (3, "rejected: no row can hold d"),
    ]
    assert store.coins == ["a", "c", "e"]


def test_a_refused_price_is_a_failure(writer: Start, store: Store) -> None:
    store.poison.add("bitcoin")
    assert writer().publish_price(price()).get(timeout=DEADLINE) == Failure(rejected("bitcoin"))


def test_what_the_client_itself_names_as_refused_is_refused(writer: Start, store: Store) -> None:
    too_long = Transient("broker", "message too large")
    store.acts.append(lambda _: Success([Rejection(1, too_long)]))
    answer = get_data(writer().publish_prices([price("a"), price("b")]).get(timeout=DEADLINE))
    assert answer == BatchPublishResult("shelf", 1, (Refused(1, Permanent("broker", "message too large")),))


def test_an_outage_in_the_middle_of_the_halving_is_the_answer(writer: Start, store: Store) -> None:
    store.poison.add("b")
    store.acts += [lambda _: None, failing(OUTAGE)]
    assert writer().publish_prices([price("a"), price("b")]).get(timeout=DEADLINE) == Failure(OUTAGE)


# Arguments


@pytest.mark.parametrize(
    "request_",
    [
        PublishPrice(None),  # type: ignore[arg-type]
        PublishPrice("bitcoin"),  # type: ignore[arg-type]
        PublishPrice(analytics()),  # type: ignore[arg-type]
        PublishPrices(None),  # type: ignore[arg-type]
        PublishPrices("bitcoin"),  # type: ignore[arg-type]
        PublishPrices(price()),  # type: ignore[arg-type]
        PublishPrices([price(), analytics()]),  # type: ignore[list-item]
        PublishPrices({"a": price()}),  # type: ignore[arg-type]
        PublishAnalytics(price()),  # type: ignore[arg-type]
        PublishAnalytics([analytics()]),  # type: ignore[arg-type]
    ],
    ids=lambda request: f"{request!s:.60}",
)
def test_bad_arguments_are_one_clear_permanent_failure_and_nothing_is_written(
    writer: Start, store: Store, request_: TargetRequest[Any]
) -> None:
    shelf = writer()
    refusal = error(shelf.ask(request_, DEADLINE))
    assert (type(refusal), refusal.code) == (Permanent, "bad_argument")
    assert "expected" in refusal.message
    assert store.asked == []
    assert get_data(shelf.get_status().get(timeout=DEADLINE)).state == "running"


def test_arguments_that_do_not_fit_raise_in_the_caller_and_harm_nobody(writer: Start) -> None:
    shelf: Any = writer()
    calls: list[Callable[[], object]] = [
        shelf.publish_price,
        lambda: shelf.publish_prices([], []),
        lambda: shelf.publish_analytics(kind="analytics"),
        lambda: shelf.flush(True),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    assert get_data(shelf.get_status().get(timeout=DEADLINE)).handled == 0


def test_a_kind_that_a_target_does_not_take_is_refused_with_its_technology(writer: Start, store: Store) -> None:
    refusal = error(writer(PriceShelf).publish_analytics(analytics()).get(timeout=DEADLINE))
    assert (type(refusal), refusal.code) == (Permanent, "unsupported")
    assert refusal.message == "Shelf cannot take analytics; mcp, redpanda and timescale can"
    assert store.asked == []


# Failures


@pytest.mark.parametrize("failure", [OUTAGE, Permanent("database", "permission denied", remedy="grant the right")])
def test_a_failure_of_the_client_is_the_answer(writer: Start, store: Store, failure: PlatformError) -> None:
    store.acts += [failing(failure)] * 2
    shelf = writer()
    assert shelf.publish_prices([price("a"), price("b")]).get(timeout=DEADLINE) == Failure(failure)
    assert shelf.publish_price(price()).get(timeout=DEADLINE) == Failure(failure)
    assert store.sizes == [2, 1], "what is not about the records is not halved"


def test_a_stop_ends_the_halving(stage: Stage, writer: Start, store: Store) -> None:
    store.poison |= {"a", "b", "c", "d"}
    shelf = writer()
    context, ref = stage._started[-1]

    def stop(_: Any) -> None:
        context.stopping.set()
        ref.stop(block=False)

    store.acts.append(stop)
    assert error(shelf.publish_prices([price(coin) for coin in "abcd"]).get(timeout=DEADLINE)).code == "stopping"
    assert store.sizes == [4]


def test_a_target_is_there_for_others_while_an_operation_is_under_way(writer: Start, store: Store) -> None:
    stall: Stall = store.stall()
    shelf = writer()
    future = shelf.publish_price(price("a"))
    stall.reached()
    assert get_data(shelf.get_status().get(timeout=DEADLINE)).busy_s == 0.0
    stall.open()
    assert future.get(timeout=DEADLINE) == Success(PublishResult("shelf", "prices"))


def test_beyond_a_number_of_operations_in_flight_a_target_is_busy(writer: Start, store: Store) -> None:
    stall: Stall = store.stall()
    shelf = writer()
    futures = [shelf.publish_price(price("a")) for _ in range(MOST + 1)]
    assert error(futures[-1].get(timeout=DEADLINE)).code == "busy"
    stall.open()
    assert {future.get(timeout=DEADLINE) for future in futures[:-1]} == {Success(PublishResult("shelf", "prices"))}


def test_a_drain_waits_for_the_operation_under_way_and_lets_no_other_begin(
    stage: Stage, writer: Start, store: Store
) -> None:
    stall: Stall = store.stall()
    shelf = writer()
    under_way = shelf.publish_price(price("a"))
    stall.reached()
    stage.runtime.directory.address("shelf").tell(Drain())
    assert error(shelf.publish_price(price("b")).get(timeout=DEADLINE)).code == "stopping"
    assert stage.parent.rest() == []
    stall.open()
    assert under_way.get(timeout=DEADLINE) == Success(PublishResult("shelf", "prices"))
    stage.parent.expect(Drained)
    assert store.coins == ["a"]


def test_an_operation_over_a_restarting_target_is_transient(stage: Stage, store: Store) -> None:
    stage.supervise(Double.child("client", store.answer), Shelf.child("shelf", OPTIONS, "client", stage=1))
    stage.parent.expect(Ready)
    shelf = WriterProxy(stage.runtime.directory.address("shelf"))
    stage.strike("shelf")
    timer = stage.scheduler.expect(StartDue)
    away = error(shelf.publish_price(price()).get(timeout=DEADLINE))
    assert (type(away), away.code, "is restarting" in away.message) == (Transient, "absent", True)
    stage.pass_timer(timer)
    running(stage, "shelf", 2)
    assert shelf.publish_price(price()).get(timeout=DEADLINE) == Success(PublishResult("shelf", "prices"))


# Flush


def test_a_flush_succeeds_when_nothing_is_on_its_way(stage: Stage, writer: Start, store: Store) -> None:
    shelf = writer()
    assert shelf.flush().get(timeout=DEADLINE) == Success(None)
    stall = store.stall()
    stage.runtime.directory.address("shelf").tell(Deliver(Batch("source-1-1", PRICES, prices("a")), "source", 1))
    stall.reached()
    busy = error(shelf.flush().get(timeout=DEADLINE))
    assert isinstance(busy, Transient)
    assert (busy.code, busy.retry_after) == ("busy", 0.1)
    assert "1 batches" in busy.message
    stall.open()
    assert flushed(shelf)
    assert store.coins == ["a"]


def test_a_flush_is_busy_while_an_operation_is_under_way(writer: Start, store: Store) -> None:
    stall: Stall = store.stall()
    shelf = writer()
    publishing = shelf.publish_price(price("a"))
    stall.reached()
    assert "0 batches and 1 operations" in error(shelf.flush().get(timeout=DEADLINE)).message
    stall.open()
    assert publishing.get(timeout=DEADLINE) == Success(PublishResult("shelf", "prices"))
    assert flushed(shelf)


def test_positions_without_records_that_are_refused_are_tried_again_as_in_an_outage(
    stage: Stage, writer: Start, store: Store
) -> None:
    writer()
    store.acts.append(failing(rejected("no such reader")))
    address = stage.runtime.directory.address("shelf")
    address.tell(Deliver(Batch("source-1-1", PRICES, []), "source", 1))
    stage.pass_timer(stage.scheduler.expect(WriteDue))
    assert flushed(WriterProxy(address))
    assert store.sizes == [0, 0]


class FencedShelf(Shelf):
    """A target whose client has written nothing."""

    def _is_abandoned(self, answer: Any) -> bool:
        return True


def test_a_drain_is_over_when_the_last_batch_was_abandoned(stage: Stage, writer: Start, store: Store) -> None:
    stall: Stall = store.stall()
    writer(FencedShelf)
    address = stage.runtime.directory.address("shelf")
    address.tell(Deliver(Batch("source-1-1", PRICES, prices("a")), "source", 1))
    stall.reached()
    address.tell(Drain())
    stall.open()
    stage.parent.expect(Drained)


def flushed(shelf: WriterProxy) -> bool:
    return any(shelf.ask(Flush(), DEADLINE) == Success(None) for _ in range(10_000))


def test_an_operation_waits_behind_the_batch_being_written_and_overtakes_none(
    stage: Stage, writer: Start, store: Store
) -> None:
    stall: Stall = store.stall()
    shelf = writer()
    stage.runtime.directory.address("shelf").tell(Deliver(Batch("source-1-1", PRICES, prices("a")), "source", 1))
    stall.reached()
    future = shelf.publish_price(price("b"))
    stall.open()
    assert future.get(timeout=DEADLINE) == Success(PublishResult("shelf", "prices"))
    assert store.coins == ["a", "b"]
