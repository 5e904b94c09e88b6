"""The rate of requests to one server: whose turn it is next and when, by a token bucket and by a budget.

A token bucket on the injected clock: says how long to wait, and never waits itself.

Not a library's, because `limits` reads the machine's time, and `pyrate-limiter` counts whole milliseconds and keeps a
thread of its own.

A budget of requests until a date: spent freely while there is plenty, then spread over the time left. It says how long
to wait, and never waits itself. Turns: which of the requests to one server is sent next, and when; the one place where
they wait for it. All that holds requests back meets here: how many may be under way, our own rate, and the budget that
the server gives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from math import inf
from typing import Any

from attrs import Attribute, define, field, frozen
from attrs.validators import ge, gt

from dataplatform.base.agent import Clock, Deferred
from dataplatform.base.http.messages import Get
from dataplatform.base.http.settings import HttpSettings
from dataplatform.errors import Transient
from dataplatform.result import Result

__all__ = ["Budget", "Job", "SetBudget", "TokenBucket", "Turns"]


@define(eq=False)
class TokenBucket:
    """Holds at most `burst` tokens and gains `per_minute` of them in a minute; it is full at first.

    >>> from dataplatform.base.agent import ManualClock
    >>> bucket = TokenBucket(ManualClock(), per_minute=30.0)
    >>> bucket.take(), bucket.wait()
    (True, 2.0)
    """

    clock: Clock
    per_minute: float
    burst: int = 1
    _tokens: float = field(init=False)
    _counted_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens, self._counted_at = float(self.burst), self.clock.monotonic()

    def take(self) -> bool:
        """Take a token if there is one."""
        if self.wait() > 0:
            return False
        self._tokens -= 1
        return True

    def wait(self, tokens: int = 1) -> float:
        """Return the seconds until so many tokens have come, though taken one by one; 0.0 when they are there now."""
        now = self.clock.monotonic()
        self._tokens = min(float(self.burst), self._tokens + (now - self._counted_at) * self.per_minute / 60)
        self._counted_at = now
        missing = tokens - self._tokens
        return 0.0 if missing < 1e-9 else missing * 60 / self.per_minute  # noqa: PLR2004  rounding, not a number to name


SCARCE = 0.1  # of the whole, below which requests are spread
MINUTE, HOUR, DAY = 60, 3600, 86_400


def _is_aware(_budget: SetBudget, _option: Attribute[datetime], value: datetime) -> None:
    if value.tzinfo is None:
        raise ValueError("until has no time zone")


@frozen
class SetBudget:
    """Tells a client how many requests the server still answers `until` a time, of how many in all.

    `unit` is what the server calls them; `remedy` what its owner can do when they run short.

    >>> from datetime import UTC, datetime
    >>> SetBudget(900, 10_000, datetime(2026, 12, 1, tzinfo=UTC), unit="credits").left
    900
    """

    left: int = field(validator=ge(0))
    whole: int = field(validator=gt(0))
    until: datetime = field(validator=_is_aware)
    unit: str = "requests"
    remedy: str = ""


@define(eq=False)
class Budget:
    """What is left of a budget as it is spent, on the injected clock. It is over when its time has come.

    When less than a tenth is left, the time left is divided among the requests left, so that the last one is not spent
    before the end; when nothing is left, nothing may be sent until then. `scarcity` says so, in the same words until
    the next budget is given.
    """

    clock: Clock
    given: SetBudget
    left: int = field(init=False)
    scarcity: Transient | None = field(default=None, init=False)
    _spent_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left, self._spent_at = self.given.left, self.clock.monotonic()
        self._look()

    def renewed(self, given: SetBudget) -> Budget:
        """Return the budget as it is given now; a request that waits is not to wait anew."""
        budget = Budget(self.clock, given)
        budget._spent_at = self._spent_at
        return budget

    def spend(self, *, of_budget: bool = False) -> None:
        """Count a request that is sent; one `of_budget` takes nobody's turn."""
        self.left = max(0, self.left - 1)
        if not of_budget:
            self._spent_at = self.clock.monotonic()
        self._look()

    def wait(self) -> float:
        """Return the seconds until the next request may be sent, 0.0 when it may now."""
        rest = self._rest()
        if rest <= 0:
            self.scarcity = None
        if self.scarcity is None:
            return 0.0
        if self.left == 0:
            return rest
        return max(0.0, self._spent_at + self._spacing() - self.clock.monotonic())

    def _rest(self) -> float:
        return (self.given.until - self.clock.now()).total_seconds()

    def _spacing(self) -> float:
        """Divide the time from the latest request on, so that waiting does not shorten itself."""
        since = self.clock.monotonic() - self._spent_at
        return (self._rest() + since) / self.left

    def _look(self) -> None:
        if self._rest() <= 0 or self.left >= self.given.whole * SCARCE:
            self.scarcity = None
        elif self.scarcity is None or self.left == 0:
            self.scarcity = Transient("saving", self._told(), remedy=self.given.remedy)

    def _told(self) -> str:
        until, unit = f"{self.given.until.day} {self.given.until:%B %Y, %H:%M %Z}", self.given.unit
        if self.left == 0:
            return f"none of {self.given.whole:,} {unit} is left until {until}; nothing is asked before"
        there = f"{self.left:,} of {self.given.whole:,} {unit} are left until {until}"
        return f"{there}; asking once in {_duration(self._spacing())}"


def _duration(seconds: float) -> str:
    """Write a time roughly, as people say it.

    >>> _duration(1200.0), _duration(8.64)
    ('20 min', '9 s')
    """
    for unit, name in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


@define(eq=False)
class Job:
    """A request, from when it is asked until it is answered; `due` is when, by the real clock, it must have ended."""

    get: Get
    answer: Deferred[Any] = field(factory=Deferred)
    attempts: int = 0
    due: float = 0.0

    def settle(self, result: Result[Any]) -> None:
        self.answer.settle(result)


@define(eq=False)
class Turns:
    """The requests that wait, and those under way. Used in the client's own thread; never waits itself.

    Requests of routes come first. From the first of them on, questions have what the routes' share leaves of the rate,
    and leave one place among those under way: so questions wait for routes, and routes for no more than one token.
    """

    settings: HttpSettings
    clock: Clock
    budget: Budget | None = None
    _rate: TokenBucket | None = field(init=False)
    _of_questions: TokenBucket | None = field(init=False)
    _routes_ask: bool = field(default=False, init=False)
    _routes: deque[Job] = field(factory=deque, init=False)
    _questions: deque[Job] = field(factory=deque, init=False)
    _under_way: set[Job] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        rate, burst, share = self.settings.rate_per_minute, self.settings.burst, 1 - self.settings.route_share
        self._rate = TokenBucket(self.clock, rate, burst) if rate else None
        self._of_questions = TokenBucket(self.clock, rate * share, max(1, int(burst * share))) if rate else None

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._routes) + len(self._questions)

    @property
    def is_full(self) -> bool:
        """Whether so many questions wait that another one is refused."""
        return len(self._questions) >= self.settings.max_waiting

    def put(self, job: Job) -> None:
        """Have a request wait for its turn."""
        self._routes_ask = self._routes_ask or job.get.of_route
        (self._routes if job.get.of_route else self._questions).append(job)

    def take_back(self, job: Job) -> bool:
        """Have a request wait no more; tells whether it still did."""
        queue = self._routes if job.get.of_route else self._questions
        if job not in queue:
            return False
        queue.remove(job)
        return True

    def take_all_back(self) -> list[Job]:
        """Have nobody wait any more, and return those who did."""
        jobs = [*self._routes, *self._questions]
        self._routes.clear()
        self._questions.clear()
        return jobs

    def next(self) -> Job | None:
        """Return the request whose turn it is; it is under way until it has `ended`."""
        for queue in (self._routes, self._questions):
            if queue and self._has_place(queue[0].get) and not self.wait(queue[0].get):
                job = queue.popleft()
                self.spend(job.get)
                self._under_way.add(job)
                return job
        return None

    def next_in(self) -> float:
        """Return in how many seconds there will be a turn, if nothing else changes."""
        heads = [queue[0].get for queue in (self._routes, self._questions) if queue]
        return min((self.wait(get) for get in heads if self._has_place(get)), default=inf)

    def ended(self, job: Job) -> None:
        """Give the place of a request to the next."""
        self._under_way.discard(job)

    def spend(self, get: Get) -> None:
        """Count a request that is sent, for the first time or again."""
        for bucket in self._buckets(get):
            bucket.take()
        if self.budget:
            self.budget.spend(of_budget=get.of_budget)

    def wait(self, get: Get, *, behind: bool = False) -> float:
        """Return the seconds until a request may be sent, on the next turn or `behind` those who wait."""
        ahead = self.waiting if behind and not get.of_route else len(self._routes) if behind else 0
        waits = [bucket.wait(ahead + 1) for bucket in self._buckets(get)]
        return max([*waits, self.saving(get)], default=0.0)

    def saving(self, get: Get) -> float:
        """Return the seconds for which the budget holds a request back."""
        return self.budget.wait() if self.budget and not get.of_budget else 0.0

    def _buckets(self, get: Get) -> Iterable[TokenBucket]:
        mine = self._of_questions if self._routes_ask and not get.of_route else None
        return [bucket for bucket in (self._rate, mine) if bucket]

    def _has_place(self, get: Get) -> bool:
        places = self.settings.concurrency
        if get.of_route or not self._routes_ask or places == 1:
            return len(self._under_way) < places
        questions = sum(not job.get.of_route for job in self._under_way)
        return questions < places - 1 and len(self._under_way) < places
