"""How the clients of a flow answer: an API that is polled, a log that is read, a table that is written to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from threading import Event
from typing import Any

from attrs import define, field

from dataplatform.dsl.flow import Position
from dataplatform.dsl.flow.feeds import FeedResult
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.dsl.records.types import CryptoPriceData, DeadLetter, Record
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success
from tests.dsl.doubles import Commit, Read, Write
from tests.dsl.records import prices
from tests.support.agents import DEADLINE


@define(eq=False)
class Stall:
    """Holds a client up in the middle of a request, until it is told to go on."""

    _reached: Event = field(factory=Event)
    _opened: Event = field(factory=Event)

    def __call__(self, _: object) -> None:
        self._reached.set()
        assert self._opened.wait(2 * DEADLINE)

    def reached(self) -> None:
        assert self._reached.wait(DEADLINE)

    def open(self) -> None:
        self._opened.set()


Act = Callable[[Any], "Result[Any] | None"]


def failing(error: PlatformError) -> Act:
    return lambda _: Failure(error)


@define(eq=False)
class Script(ABC):
    """How a client answers: by its next act, which may do nothing but hold it up, and else as it should."""

    acts: deque[Act] = field(factory=deque)
    asked: list[Any] = field(factory=list)

    def answer(self, request: Any) -> Result[Any]:
        self.asked.append(request)
        act = self.acts.popleft() if self.acts else None
        result = act(request) if act else None
        return self._answer(request) if result is None else result

    def opened(self) -> None:  # noqa: B027  may be left out
        """Take note that the client's agent has started."""

    @abstractmethod
    def _answer(self, request: Any) -> Result[Any]:
        """Answer as the client should."""

    def stall(self) -> Stall:
        stall = Stall()
        self.acts.append(stall)
        return stall


@define(eq=False)
class Poll(Script):
    """An API: each reading brings the next results, and when they are used up nothing."""

    feed_results: deque[list[FeedResult]] = field(factory=deque)

    def bring(self, *coin_ids: str) -> None:
        """Have the next reading bring a batch of prices."""
        self.feed_results.append([FeedResult(PRICES, prices(*coin_ids))])

    def _answer(self, request: Read) -> Result[list[FeedResult]]:
        return Success(self.feed_results.popleft() if self.feed_results else [])


@define(eq=False)
class Log(Script):
    """A partition of a topic, read `size` records at a time from the committed offset on, by one reader at a time."""

    coin_ids: list[str] = field(factory=list)
    size: int = 2
    committed: int = 0
    commits: list[int] = field(factory=list)
    _cursor: int = 0
    _reader: str = ""

    def opened(self) -> None:
        self._reader = ""

    def _answer(self, request: Read | Commit) -> Result[Any]:
        if isinstance(request, Commit):
            (position,) = request.positions
            self.committed = position.next
            self.commits.append(position.next)
            return Success(None)
        if request.reader != self._reader:
            self._reader, self._cursor = request.reader, self.committed
        first = self._cursor
        taken = self.coin_ids[first : first + self.size]
        self._cursor += len(taken)
        where = Position("log", 0, first, self._cursor)
        return Success([FeedResult(PRICES, prices(*taken), (where,))] if taken else [])

    @property
    def readers(self) -> list[str]:
        """The readers that asked, each once."""
        return list(dict.fromkeys(request.reader for request in self.asked if isinstance(request, Read)))


@define(eq=False)
class Store(Script):
    """A table: takes rows, except those of the poisonous coins, which it refuses with the whole batch."""

    poison: set[str] = field(factory=set)
    rows: list[Record] = field(factory=list)

    def _answer(self, request: Write) -> Result[int]:
        bad = [one for one in request.records if isinstance(one, CryptoPriceData) and one.coin_id in self.poison]
        if bad:
            return Failure(rejected(bad[0].coin_id))
        self.rows += request.records
        return Success(len(request.records))

    @property
    def coins(self) -> list[str]:
        return [row.coin_id for row in self.rows if isinstance(row, CryptoPriceData)]

    @property
    def letters(self) -> list[DeadLetter]:
        return [row for row in self.rows if isinstance(row, DeadLetter)]

    @property
    def sizes(self) -> list[int]:
        return [len(request.records) for request in self.asked]


def rejected(coin_id: str) -> PlatformError:
    return Permanent("rejected", f"no row can hold {coin_id}")
