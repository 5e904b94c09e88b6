"""The bookkeeper: an agent that counts what is in tables and topics, now and then and once more at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import define, frozen

from dataplatform.base.agent import Agent, Context, Request
from dataplatform.base.database import Query, Rows
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.result import Failure, Result
from dataplatform.services.service import Books, LatestPrice

__all__ = ["Bookkeeper", "Counting"]

EVERY = 2.0  # seconds
TOPICS_EVERY = 30.0  # their counts are shown at the end only, and the producer that is asked has better things to do
SHARE = 20.0  # counting may take a twentieth of the time
TIMEOUT = 5.0
SHOWN = 25
RECENT = 2_000  # rows among which the latest price of each coin is looked for
LATEST = f"""
    SELECT * FROM (
        SELECT DISTINCT ON (coin_id) coin_id, usd_price, change_24h, last_updated, source, market_cap
        FROM (SELECT * FROM {PRICES.table} ORDER BY last_updated DESC LIMIT {RECENT}) AS recent
        ORDER BY coin_id, last_updated DESC
    ) AS latest ORDER BY market_cap DESC NULLS LAST LIMIT {SHOWN}
"""  # noqa: S608  our own names


@frozen
class CountDue:
    """It is time to count again."""


@frozen
class Counting:
    """Which agent is asked what, to learn how much its tables or topics hold."""

    agent: str
    request: Request[dict[str, int]]


@define(eq=False)
class Count:
    """One round of questions, and how many of them are open."""

    begun: float
    final: bool
    open: int = 0


Message: TypeAlias = CountDue


class Bookkeeper(Agent):
    """Asks the clients how much there is; on a drain, when sources and targets are done, once more.

    What cannot be reached keeps its last count: its client shows the outage.
    """

    kind: ClassVar[str] = "service"

    def __init__(
        self, context: Context, books: Books, databases: Iterable[Counting], streams: Iterable[Counting]
    ) -> None:
        super().__init__(context)
        self._books = books
        self._databases = tuple(databases)
        self._streams = tuple(streams)
        self._with_prices: set[str] = set()
        self._topics_counted = -inf

    def _open(self) -> None:
        self.after(EVERY, CountDue())

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case CountDue():
                self._count(final=False)
            case _:
                assert_never(message)
        return None

    def _drain(self) -> None:
        self._count(final=True)

    def _count(self, *, final: bool) -> None:
        count = Count(self.clock.monotonic(), final, open=1)
        for one in self._databases:
            self._ask(count, one.agent, one.request, partial(self._counted, count, one))
            if one.agent in self._with_prices:
                self._ask(count, one.agent, Query(LATEST), self._read_prices)
        if final or count.begun - self._topics_counted >= TOPICS_EVERY:
            self._topics_counted = count.begun
            for one in self._streams:
                self._ask(count, one.agent, one.request, self._note_topics)
        self._close_one(count)

    def _ask(self, count: Count, agent: str, request: Request[Any], then: Callable[[Any], None]) -> None:
        count.open += 1
        self.call(self.address(agent), request, partial(self._answered, count, then), timeout=TIMEOUT)

    def _answered(self, count: Count, then: Callable[[Any], None], answer: Result[Any]) -> None:
        if not isinstance(answer, Failure):
            then(answer.data)
        self._close_one(count)

    def _close_one(self, count: Count) -> None:
        count.open -= 1
        if count.open:
            return
        if count.final:
            self.drained()
        else:
            taken = self.clock.monotonic() - count.begun
            self.after(max(EVERY, SHARE * taken), CountDue())

    def _counted(self, count: Count, one: Counting, rows: dict[str, int]) -> None:
        self._note_tables(rows)
        if PRICES.table not in rows:
            self._with_prices.discard(one.agent)
        elif one.agent not in self._with_prices:
            self._with_prices.add(one.agent)
            self._ask(count, one.agent, Query(LATEST), self._read_prices)

    def _note_tables(self, rows: dict[str, int]) -> None:
        self._books.tables = self._books.tables | rows

    def _note_topics(self, records: dict[str, int]) -> None:
        self._books.topics = self._books.topics | records

    def _read_prices(self, latest: Rows) -> None:
        self._books.prices = [LatestPrice(*row[:-1]) for row in latest.rows]
