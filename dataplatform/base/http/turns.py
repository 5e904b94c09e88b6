"""Turns: which of the requests to one server is sent next, and when; the one place where they wait for it.

All that holds requests back meets here: how many may be under way, our own rate, and the budget that the server gives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Any

from attrs import define, field

from dataplatform.base.agent import Clock, Deferred
from dataplatform.base.http.bucket import TokenBucket
from dataplatform.base.http.budget import Budget
from dataplatform.base.http.messages import Get
from dataplatform.base.http.settings import HttpSettings
from dataplatform.result import Result

__all__ = ["Job", "Turns"]


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
