"""The bookkeeper: an agent that counts what is in tables and topics, now and then and once more at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from math import inf
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import define, field, frozen

from dataplatform.base.agent import Agent, Context, Request
from dataplatform.base.database import Query, Rows
from dataplatform.base.streaming import CountRecords
from dataplatform.dsl.kinds import PRICES
from dataplatform.result import Failure, Result

__all__ = ["Bookkeeper", "Books", "LatestPrice"]

EVERY = 2.0  # seconds
TOPICS_EVERY = 30.0  # their counts are shown at the end only, and the producer that is asked has better things to do
SHARE = 20.0  # counting may take a twentieth of the time
TIMEOUT = 5.0
SHOWN = 25
RECENT = 2_000  # rows among which the latest price of each coin is looked for
MANY = 5_000_000  # rows that PostgreSQL knows of, from which on its estimate stands for a count
EXISTING = """
    SELECT relname, reltuples::bigint FROM pg_class
    WHERE relname = ANY(%(names)s) AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)
"""
LATEST = f"""
    SELECT * FROM (
        SELECT DISTINCT ON (coin_id) coin_id, usd_price, change_24h, last_updated, source, market_cap
        FROM (SELECT * FROM {PRICES.table} ORDER BY last_updated DESC LIMIT {RECENT}) AS recent
        ORDER BY coin_id, last_updated DESC
    ) AS latest ORDER BY market_cap DESC NULLS LAST LIMIT {SHOWN}
"""  # noqa: S608  our own names


@frozen
class LatestPrice:
    """The latest price of a coin in the price table, as the live view shows it."""

    coin_id: str
    usd_price: float
    change_24h: float | None
    last_updated: datetime
    source: str


@define(eq=False)
class Books:
    """What was counted last: rows per table, records per topic, the latest prices. Replaced whole, read by anybody."""

    tables: dict[str, int] = field(factory=dict)
    topics: dict[str, int] = field(factory=dict)
    prices: list[LatestPrice] = field(factory=list)


@frozen
class CountDue:
    """It is time to count again."""


@define(eq=False)
class Count:
    """One round of questions, and how many of them are open."""

    begun: float
    final: bool
    open: int = 0


Message: TypeAlias = CountDue


class Bookkeeper(Agent):
    """Asks the clients how much there is; on a drain, when sources and targets are done, once more.

    It is told the tables of each database client and the topics of each producer. Of a table with more than five
    million rows it takes PostgreSQL's own estimate. What cannot be reached keeps its last count: its client shows the
    outage.
    """

    kind: ClassVar[str] = "service"

    def __init__(
        self,
        context: Context,
        books: Books,
        databases: Mapping[str, tuple[str, ...]],
        producers: Mapping[str, tuple[str, ...]],
    ) -> None:
        super().__init__(context)
        self._books = books
        self._databases = databases
        self._producers = producers
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
        for database, tables in self._databases.items():
            existing = Query(EXISTING, {"names": list(tables)})
            self._ask(count, database, existing, partial(self._count_tables, count, database))
        if final or count.begun - self._topics_counted >= TOPICS_EVERY:
            self._topics_counted = count.begun
            for producer, topics in self._producers.items():
                self._ask(count, producer, CountRecords(topics), self._note_topics)
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

    def _count_tables(self, count: Count, database: str, existing: Rows) -> None:
        sizes: dict[str, int] = dict(existing.rows)
        self._note_tables({name: rows for name, rows in sizes.items() if rows > MANY})
        counts = [f"SELECT '{name}', count(*) FROM \"{name}\"" for name, rows in sizes.items() if rows <= MANY]  # noqa: S608  our own names
        if counts:
            question = Query(" UNION ALL ".join(counts))
            self._ask(count, database, question, lambda counted: self._note_tables(dict(counted.rows)))
        if PRICES.table in sizes:
            self._ask(count, database, Query(LATEST), self._read_prices)

    def _note_tables(self, rows: dict[str, int]) -> None:
        self._books.tables = self._books.tables | rows

    def _note_topics(self, records: dict[str, int]) -> None:
        self._books.topics = self._books.topics | records

    def _read_prices(self, latest: Rows) -> None:
        self._books.prices = [LatestPrice(*row[:-1]) for row in latest.rows]
