"""The other sides of the flow's protocol: clients that answer as a test says, and bare sources and targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from attrs import define, field, frozen

from dataplatform.base.agent import Agent, Answer, Context, Request
from dataplatform.dsl.flow import Deliver, Outbox, Position
from dataplatform.dsl.flow.feeds import Feed, FeedResult
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.flow.source import FlowSource
from dataplatform.dsl.flow.target import FlowTarget
from dataplatform.dsl.records.kinds import Kind
from dataplatform.dsl.records.types import Record
from dataplatform.result import Result, Success


@frozen
class Read(Request[list[FeedResult]]):
    """What a bare source asks its client for: one page of a reading."""

    feed: str
    reader: str
    page: int = 0


@frozen
class Commit(Request[None]):
    """What a bare source that is replayable asks its client to remember."""

    positions: tuple[Position, ...]
    reader: str


@frozen(eq=False)
class Write(Request[int]):
    """What a bare target asks its client to make durable."""

    kind: Kind
    records: list[Record] = field(repr=lambda records: f"{len(records)} records")


@define(eq=False)
class Bomb:
    """Makes whoever handles a message of one of these types crash, once for each time the type is named.

    Messages of the types in `lost` never arrive, likewise.
    """

    planted: list[type[object]] = field(factory=list)
    lost: list[type[object]] = field(factory=list)

    def swallows(self, message: object) -> bool:
        """Tell whether the message is one that never arrives."""
        if type(message) in self.lost:
            self.lost.remove(type(message))
            return True
        return False

    def touch(self, message: object) -> None:
        if type(message) in self.planted:
            self.planted.remove(type(message))
            raise RuntimeError("planted")


class Double(Agent):
    """A client that answers each request as a function says."""

    kind: ClassVar[str] = "client"

    def __init__(
        self,
        context: Context,
        answer: Callable[[Any], Result[Any]],
        opened: Callable[[], None] = lambda: None,
        bomb: Bomb | None = None,
    ) -> None:
        super().__init__(context)
        self._answer_to = answer
        self._opened_by = opened
        self._bomb = bomb or Bomb()

    def _open(self) -> None:
        self._opened_by()

    def receive(self, message: Any) -> Result[Any]:
        self._bomb.touch(message)
        return self._answer_to(message)


@frozen
class FeedSpec:
    """A feed of a bare source."""

    name: str = "feed"
    every: float = 1.0
    greedy: bool = True
    pages: int = 1
    absent: frozenset[str] = frozenset()


class BareSource(FlowSource):
    """A source with feeds and nothing else; its client's answers to the pages of a reading are its results."""

    def __init__(self, context: Context, client: str, outbox: Outbox, feeds: Sequence[FeedSpec], bomb: Bomb) -> None:
        super().__init__(context, client, outbox)
        self._specs = feeds
        self._bomb = bomb

    def receive(self, message: Any) -> Answer[Any] | None:
        self._bomb.touch(message)
        return None if self._bomb.swallows(message) else super().receive(message)

    def _feeds(self) -> Sequence[Feed]:
        return [Feed(spec.name, partial(self._plan, spec), spec.every, spec.greedy) for spec in self._specs]

    def _plan(self, spec: FeedSpec) -> Result[Plan[list[FeedResult]]]:
        pages = [Read(spec.name, self.reader, page) for page in range(spec.pages)]
        return Success(Plan(self.client, pages, _feed_results, absent=spec.absent))


def _feed_results(answers: list[list[FeedResult] | None]) -> list[FeedResult]:
    return [feed_result for page in answers for feed_result in page or []]


class ReplayableSource(BareSource):
    """A bare source whose client can read again from the committed positions on."""

    replayable: ClassVar[bool] = True

    def _commit(self, positions: Sequence[Position]) -> Plan[Any]:
        return Plan(self.client, [Commit(tuple(positions), self.reader)], list)


class BareTarget(FlowTarget):
    """A target that hands the records of a batch to its client."""

    def __init__(self, context: Context, client: str, credit: int, bomb: Bomb) -> None:
        super().__init__(context, client, credit=credit)
        self._bomb = bomb

    def receive(self, message: Any) -> Answer[Any] | None:
        self._bomb.touch(message)
        self.count("delivered", isinstance(message, Deliver))
        return None if self._bomb.swallows(message) else super().receive(message)

    def _request(self, kind: Kind, records: list[Record]) -> Write:
        return Write(kind, records)
