"""What a source reads by itself: its feeds, how often and for which coins, and what one reading brings in.

What a source polls: which operation, for which coins, how often; and which of it is new, or never comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, Self, TypeVar

from attrs import Attribute, define, evolve, field, frozen, validators

from dataplatform.base.agent import Backoff, BackoffPolicy
from dataplatform.dsl.flow import Position
from dataplatform.dsl.flow.plan import Plan, PlanRun, transformed
from dataplatform.dsl.records import checks
from dataplatform.dsl.records.kinds import Kind
from dataplatform.dsl.records.rules import texts
from dataplatform.dsl.records.types import DeadLetter, Record
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success, get_data

__all__ = ["Absent", "Feed", "FeedOptions", "FeedResult", "FeedState", "Seen"]

HELD_BACK = "throttled"
FEED_BACKOFF = BackoffPolicy(base=0.5, cap=60.0)


@frozen
class FeedResult:
    """Records of one kind, where they came from, and dead letters of the input that was not a valid record."""

    kind: Kind
    records: list[Record]
    positions: tuple[Position, ...] = ()
    letters: list[DeadLetter] = field(factory=list)


@frozen
class Feed:
    """Read by `plan` every `every` seconds; at once again after a reading that brought something when `greedy`.

    A feed of a topic is greedy and `every` is its pause after an empty reading; a poll of an API is not.
    """

    name: str
    plan: Callable[[], Result[Plan[list[FeedResult]]]]
    every: float
    greedy: bool = False

    @classmethod
    def polling(cls, name: str, kind: Kind, plan: Callable[[], Result[Plan[Any]]], every: float) -> Self:
        """Return a feed of a reading operation's plan, whose answer is a list of records of the kind."""

        def planned_reading() -> Result[Plan[list[FeedResult]]]:
            planned = plan()
            if isinstance(planned, Failure):
                return planned
            return Success(evolve(planned.data, transform=partial(_as_feed_results, kind, planned.data)))

        return cls(name, planned_reading, every)


def _as_feed_results(kind: Kind, plan: Plan[Any], answers: list[Any]) -> Success[list[FeedResult]]:
    made = transformed(plan, answers)
    return Success([FeedResult(kind, get_data(made))], () if isinstance(made, Failure) else made.notes)


@define(eq=False)
class FeedState:
    """A feed at work. Times are those of the monotonic clock, in seconds.

    `due` is when its next turn is, `next_try` when it is tried again after a failure. `blocked` says that its time has
    come while the targets had no credit, or the source was paused. `failing` is why it fails; to be held back by the
    client's own rate limit is no reason of its own. `run` is the reading under way, or one that an outage broke off
    between two requests: the next try goes on with it, so that a rate limit slows a reading of many pages down and does
    not make it begin anew for ever. `attempt` counts the times
    that it was gone on with; `seen` is how far it was when that was last looked at.
    """

    feed: Feed
    backoff: Backoff = field(factory=lambda: Backoff(FEED_BACKOFF))
    due: float = 0.0
    next_try: float = 0.0
    blocked: bool = False
    reading: bool = False
    run: PlanRun[list[FeedResult]] | None = None
    failing: PlatformError | None = None
    attempt: int = 0
    seen: tuple[int, int] = (0, 0)
    seen_at: float = 0.0

    def is_lost(self, now: float, grace: float) -> bool:
        """Tell whether an answer, or its next turn, was to come by now and `grace` seconds ago at the latest."""
        if not self.reading:
            return not self.blocked and now > max(self.due, self.next_try) + grace
        far = self.attempt, len(self.run.answers) if self.run else 0
        if far != self.seen:
            self.seen, self.seen_at = far, now
        return now > self.seen_at + (self.run.plan.timeout + self.run.plan.patience if self.run else 0.0) + grace

    def succeeded(self) -> None:
        self.reading, self.run, self.failing = False, None, None
        self.backoff.reset()

    def failed(self, error: PlatformError) -> float:
        """Return in how many seconds to try again: after an outage by its backoff, else not before the next turn."""
        self.reading = False
        if self.failing is None or error.code != HELD_BACK:
            self.failing = error
        if isinstance(error, Transient):
            if self.run is not None and not self.run.answers:
                self.run = None
            return self.backoff.next(error.retry_after)
        self.run = None
        return max(self.backoff.next(), self.feed.every)


AnyRecord = TypeVar("AnyRecord", bound=Record)
OPERATIONS = ("get_current_prices", "get_market_analytics")


def _coins(feed: FeedOptions, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    del attribute
    if feed.operation == "get_current_prices":
        if bool(value) == (feed.top is not None):
            raise ValueError("get_current_prices needs either coins = ['bitcoin', …] or top = 100")
        if value and (error := checks.coin_ids(value)):
            raise ValueError(error.message)
    elif value or feed.top is not None:
        raise ValueError(f"{feed.operation} takes neither coins nor top")


@frozen(kw_only=True)
class FeedOptions:
    """One thing to poll: an operation, for which coins, how often (seconds)."""

    operation: str = field(validator=validators.in_(OPERATIONS), metadata={"help": "the operation to poll"})
    top: int | None = field(
        default=None,
        validator=validators.optional([validators.ge(1), validators.le(5_000)]),
        metadata={"help": "the so many coins with the largest market cap"},
    )
    coins: tuple[str, ...] = field(default=(), converter=texts, validator=_coins, metadata={"help": "ids of the coins"})
    every: float = field(default=60.0, validator=validators.ge(0.1), metadata={"help": "how often to poll"})


@define(eq=False)
class Seen:
    """Remembers the time of what was polled last, by kind and coin, so that only what has changed is sent on."""

    _times: dict[tuple[str, str], datetime] = field(factory=dict, init=False)

    def new(self, kind: Kind, records: Sequence[AnyRecord]) -> list[Record]:
        """Return the records that are of another time than the last ones of their coins, and remember them."""
        of, time = attrgetter(kind.message_key), attrgetter(kind.time)
        new: list[Record] = [record for record in records if self._times.get((kind.name, of(record))) != time(record)]
        self._times |= {(kind.name, of(record)): time(record) for record in new}
        return new


@define(eq=False)
class Absent:
    """Remembers, by feed, the coins that it names and that did not come last, so that each change is told once."""

    _coins: dict[str, list[str]] = field(factory=dict, init=False)

    def changed(self, feed: str, coins: Sequence[str]) -> bool:
        """Tell whether these are others than last time, and remember them."""
        before, self._coins[feed] = self._coins.get(feed, []), list(coins)
        return before != self._coins[feed]

    def __len__(self) -> int:
        return sum(map(len, self._coins.values()))
