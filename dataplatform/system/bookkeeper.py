"""The bookkeeper: an agent that counts what is in tables and topics, now and then and once more at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import define, field, frozen

from dataplatform.base.agent import Agent, Context, Request
from dataplatform.base.database import Query, Rows
from dataplatform.base.streaming import CountRecords
from dataplatform.dsl.kinds import KINDS, PRICES
from dataplatform.result import Failure, Result

__all__ = ["Bookkeeper", "Books", "LatestPrice"]

EVERY = 2.0
SHARE = 20.0  # counting may take a twentieth of the time
TIMEOUT = 2.0
SHOWN = 25
EXISTING = "SELECT table_name FROM information_schema.tables WHERE table_name = ANY(%(names)s)"
LATEST = f"""
    SELECT coin_id, usd_price, change_24h, last_updated, source FROM {PRICES.table}
    WHERE last_updated = (SELECT max(last_updated) FROM {PRICES.table})
    ORDER BY market_cap DESC NULLS LAST LIMIT {SHOWN}
"""  # noqa: S608  our own names


@frozen
class LatestPrice:
    """A row of the price table, as the live view shows it."""

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


Message: TypeAlias = CountDue


class Bookkeeper(Agent):
    """Asks the clients how much there is; on a drain, when sources and targets are done, once more."""

    kind: ClassVar[str] = "service"

    def __init__(
        self, context: Context, books: Books, databases: Sequence[str], producers: Mapping[str, tuple[str, ...]]
    ) -> None:
        super().__init__(context)
        self._books = books
        self._databases = databases
        self._producers = producers
        self._waiting = 0
        self._begun = 0.0
        self._draining = False

    def _open(self) -> None:
        self.after(EVERY, CountDue())

    def receive(self, message: Message) -> None:
        match message:
            case CountDue():
                self._count()
            case _:
                assert_never(message)

    def _drain(self) -> None:
        self._draining = True
        self._count()

    def _count(self) -> None:
        self._begun = self.clock.monotonic()
        self._waiting = 1
        for database in self._databases:
            names = [kind.table for kind in KINDS]
            self._ask(database, Query(EXISTING, {"names": names}), partial(self._count_tables, database))
        for producer, topics in self._producers.items():
            self._ask(producer, CountRecords(topics), self._counted_topics)
        self._done()

    def _ask(self, agent: str, request: Request[Any], then: Any) -> None:
        self._waiting += 1
        self.call(self.address(agent), request, partial(self._answered, then), timeout=TIMEOUT)

    def _answered(self, then: Any, answer: Result[Any]) -> None:
        """Keep the last count of what cannot be reached: its client shows the outage."""
        if not isinstance(answer, Failure):
            then(answer.data)
        self._done()

    def _done(self) -> None:
        self._waiting -= 1
        if self._waiting:
            return
        if self._draining:
            self.drained()
        else:
            taken = self.clock.monotonic() - self._begun
            self.after(max(EVERY, SHARE * taken), CountDue())

    def _count_tables(self, database: str, existing: Rows) -> None:
        names = [row[0] for row in existing.rows]
        if names:
            counts = [f"SELECT '{name}', count(*) FROM \"{name}\"" for name in names]  # noqa: S608  our own names
            self._ask(database, Query(" UNION ALL ".join(counts)), self._counted_tables)
        if PRICES.table in names:
            self._ask(database, Query(LATEST), self._read_prices)

    def _counted_tables(self, counts: Rows) -> None:
        self._books.tables |= dict(counts.rows)

    def _counted_topics(self, counts: dict[str, int]) -> None:
        self._books.topics |= counts

    def _read_prices(self, latest: Rows) -> None:
        self._books.prices = [LatestPrice(*row) for row in latest.rows]
