"""What a source reads by itself: its feeds, and what one reading brings in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from attrs import define, evolve, field, frozen

from dataplatform.base.agent import Backoff, BackoffPolicy
from dataplatform.dsl.flow import Position
from dataplatform.dsl.kinds import Kind
from dataplatform.dsl.plan import Plan, PlanRun, transformed
from dataplatform.dsl.types import DeadLetter, Record
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success, get_data

__all__ = ["Feed", "FeedResult", "FeedState"]

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
