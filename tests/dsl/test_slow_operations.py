"""A slow operation under way, at a source and at a target: their status is told, and a stop loses nothing in flight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest
from attrs import define, frozen

from dataplatform.base.agent import Drain, Drained, GetStatus, Link, Ready, Request, State
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.flow.feeds import Feed, FeedResult
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.operations.parts import SourceOptions, TargetOptions
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import PRICES, Kind
from dataplatform.dsl.records.queries import PublishResult
from dataplatform.dsl.records.types import Record
from dataplatform.result import Result, Success, get_data
from tests.dsl.doubles import Double, Read, Write
from tests.dsl.records import price, prices
from tests.dsl.scripts import Stall, Store
from tests.support.agents import DEADLINE, Stage
from tests.support.waiting import until

COINS = [f"coin-{number}" for number in range(12)]


@frozen
class ListCoins(Request[list[str]]):
    """What the source asks its client for in its operation."""


class Source(BaseReader):
    """A source of twelve prices, read once, with one operation."""

    technology: ClassVar[str] = "Source"
    client_kind: ClassVar[str] = "shop"
    Options = SourceOptions

    def _feeds(self) -> Sequence[Feed]:
        plan = Plan(self.client, [Read("prices", self.reader)], lambda pages: pages[0])
        return [Feed("prices", lambda: Success(plan), every=3_600.0, greedy=False)]

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        return Success(Plan(self.client, [ListCoins()], lambda answers: answers[0][:limit]))


class Table(BaseWriter):
    """A target whose client answers how many records it took."""

    technology: ClassVar[str] = "Table"
    client_kind: ClassVar[str] = "shelf"
    Options = TargetOptions

    def _request(self, kind: Kind, records: list[Record]) -> Write:
        return Write(kind, records)


@define(eq=False)
class Platform:
    """A source, a target and their clients, of which the target's is held up over the twelve prices."""

    stage: Stage
    store: Store
    outbox: Outbox
    writing: Stall
    listing: Stall

    @property
    def source(self) -> ReaderProxy:
        return ReaderProxy(self.stage.runtime.directory.address("source"))

    @property
    def table(self) -> WriterProxy:
        return WriterProxy(self.stage.runtime.directory.address("table"))

    def state(self, agent: str) -> State:
        """Ask an agent for its status, which it answers only if it has its hands free."""
        return get_data(self.stage.runtime.directory.address(agent).ask(GetStatus(), DEADLINE)).state

    def drain(self) -> None:
        """Begin the orderly stop of everything."""
        self.stage.runtime.directory.address("root").tell(Drain())

    def until_draining(self, agent: str) -> None:
        until(lambda: self.state(agent) is State.DRAINING, f"{agent} drains")


@pytest.fixture
def platform(stage: Stage) -> Iterator[Platform]:
    store, listing = Store(), Stall()
    writing = store.stall()

    def answer(request: Any) -> Result[Any]:
        if isinstance(request, ListCoins):
            listing(request)
            return Success(COINS)
        return Success([FeedResult(PRICES, prices(*COINS))])

    outbox = Outbox("source", ("table",), "table")
    stage.supervise(
        Double.child("input", answer),
        Double.child("table.client", store.answer),
        Table.child("table", TargetOptions(client="table.client"), "table.client", stage=1),
        Source.child("source", SourceOptions(client="input"), "input", outbox, stage=2),
        links=[Link("input", "source"), Link("source", "table"), Link("table", "table.client")],
    )
    stage.parent.expect(Ready)
    writing.reached()
    yield Platform(stage, store, outbox, writing, listing)
    writing.open()
    listing.open()


def in_flight(platform: Platform) -> int:
    (route,) = platform.outbox.routes()
    return route.in_flight


def test_a_source_with_a_slow_operation_tells_its_status_and_loses_nothing_at_a_stop(platform: Platform) -> None:
    answer = platform.source.get_available_tickers()
    platform.listing.reached()
    assert platform.state("source") is State.RUNNING
    assert in_flight(platform) == len(COINS)
    platform.drain()
    platform.until_draining("source")
    platform.writing.open()
    platform.listing.open()
    platform.stage.parent.until_type(Drained)
    assert platform.store.coins == COINS
    assert in_flight(platform) == 0
    assert answer.get(timeout=DEADLINE) == Success(COINS)


def test_a_target_with_a_slow_operation_tells_its_status_and_loses_nothing_at_a_stop(platform: Platform) -> None:
    answer = platform.table.publish_price(price("published"))
    assert platform.state("table") is State.RUNNING
    assert in_flight(platform) == len(COINS)
    platform.drain()
    platform.until_draining("source")
    assert platform.state("table") is State.RUNNING
    platform.writing.open()
    platform.stage.parent.until_type(Drained)
    assert platform.store.coins == [*COINS, "published"]
    assert in_flight(platform) == 0
    assert answer.get(timeout=DEADLINE) == Success(PublishResult("table", "prices"))
