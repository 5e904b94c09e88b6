"""The agent that asks one HTTP server: at its pace, obeying its pauses, and never waiting for it itself."""

from __future__ import annotations

import time
from functools import partial
from math import inf
from typing import ClassVar, TypeAlias, assert_never

from attrs import frozen

from dataplatform.base.agent import Agent, Answer, BackoffPolicy, Context
from dataplatform.base.http.lines import Lines, Outcome
from dataplatform.base.http.messages import Get, Response
from dataplatform.base.http.rate import Budget, Job, SetBudget, Turns
from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.net.shown import origin
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["HttpClient"]

QUICKLY_RETRIED = {"unreachable", "cut", "server_error"}
RETRY_PAUSES = BackoffPolicy(base=0.1, cap=1.0, floor=0.0)
BUSY_PAUSE = 1.0  # seconds after which to ask again, where no rate says more
OF_TIMEOUT = 0.5  # of the time for a request, that it waits for a place among those under way


@frozen
class _Tried:
    """A line has brought what came of a request."""

    job: Job
    outcome: Outcome


Message: TypeAlias = Get | SetBudget | _Tried


class HttpClient(Agent):
    """Answers `Get` with `Result[Response]`; the codes of its failures are listed in `failures`.

    Several requests are under way at a time (`concurrency`), and those beyond wait for a place. When its own rate is
    used up, or a budget that it was told runs short, a request waits for its turn where its patience suffices, and is
    refused (`throttled`) otherwise; when too many wait, likewise (`busy`). When the server has asked for a pause
    (`rate_limited`), nothing is sent. `retry_after` tells when to come back. Routes come before questions (`turns`). A
    budget that runs short is shown as degraded. Its counters: requests sent, errors answered, bytes received, and
    throttled requests, which were not sent, or later; its gauge where there is a budget, `budget_left`: what is left.

        HttpClient.child("coingecko-http", HttpSettings(base_url="https://api.coingecko.com/api/v3"))
        ...
        self.address("coingecko-http").ask(Get("/ping"), timeout=6.0)
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: HttpSettings) -> None:
        super().__init__(context)
        self._settings = settings
        self._host = origin(settings.base_url)
        self._turns = Turns(settings, self.clock)
        self._look_at = inf
        self._paused_until = 0.0
        self._lines = Lines(context.name, settings, self.clock, context.stopping)

    def receive(self, message: Message) -> Answer[Response] | None:
        match message:
            case Get():
                return self._ask(message)
            case _Tried(job, outcome):
                self._tried(job, outcome)
            case SetBudget():
                budget = self._turns.budget
                self._turns.budget = budget.renewed(message) if budget else Budget(self.clock, message)
                self._show_budget()
                self._send_next()
            case _:
                assert_never(message)
        return None

    def _close(self) -> None:
        self._lines.close()

    # Turns

    def _ask(self, get: Get) -> Answer[Response]:
        if error := self._refusal(get):
            self.count("throttled")
            return Failure(error)
        job = Job(get)
        self._turns.put(job)
        self._send_next()
        if self._turns.wait(get) and job.attempts == 0:
            self.count("throttled")
        if job.attempts == 0:
            self.wait(get.patience + OF_TIMEOUT * self._settings.timeout, partial(self._give_up, job))
        return job.answer

    def _refusal(self, get: Get) -> PlatformError | None:
        """Return why a request is neither sent nor has to wait, and when to ask again."""
        wait, pause = self._turns.wait(get, behind=True), self._pause()
        if pause > 0:
            return self._paused(max(pause, wait))
        if self._turns.is_full and not get.of_route:
            message = f"{self._turns.waiting} requests to {self._host} wait for their turn already"
            return Transient("busy", message, retry_after=max(wait, BUSY_PAUSE))
        return self._throttled(get, wait) if wait > get.patience else None

    def _throttled(self, get: Get, wait: float) -> PlatformError:
        budget = self._turns.budget
        if budget and budget.scarcity and self._turns.saving(get) == wait:
            why = budget.scarcity
            return Transient("throttled", why.message, remedy=why.remedy, retry_after=wait)
        message = f"{self._settings.rate_per_minute:g} requests a minute to {self._host} are used up"
        return Transient("throttled", message, retry_after=wait)

    def _pause(self) -> float:
        return self._paused_until - self.clock.monotonic()

    def _paused(self, seconds: float) -> PlatformError:
        return Transient("rate_limited", f"{self._host} has asked for a pause", retry_after=seconds)

    def _give_up(self, job: Job) -> None:
        """Refuse a request that was to have its turn by now: those before it took longer than they mostly do."""
        if self._turns.take_back(job):
            message = f"{self._settings.concurrency} requests to {self._host} are under way, and others were before"
            job.settle(Failure(Transient("busy", message, retry_after=max(self._turns.wait(job.get), BUSY_PAUSE))))

    def _send_next(self) -> None:
        """Send what has its turn, and look again when the next has."""
        if (pause := self._pause()) > 0:
            for job in self._turns.take_all_back():
                job.settle(Failure(self._paused(pause)))
        while (turn := self._turns.next()) is not None:
            turn.due = time.monotonic() + self._settings.timeout  # of the real clock: sockets know no other
            self._send(turn, 0.0)
        wait = self._turns.next_in()
        if (at := self.clock.monotonic() + wait) < self._look_at:
            self._look_at = at
            self.wait(wait, self._look)

    def _look(self) -> None:
        self._look_at = inf
        self._send_next()

    # Requests

    def _send(self, job: Job, pause: float) -> None:
        self.count("requests")
        job.attempts += 1
        self._lines.get(job.get, pause, job.due, partial(self._tell, job))

    def _tell(self, job: Job, outcome: Outcome) -> None:
        """Hand over what came of a request; runs in its line's thread, perhaps when nobody is there any more."""
        self.tell_self(_Tried(job, outcome))

    def _tried(self, job: Job, result: Outcome) -> None:
        if isinstance(result, Exception):
            raise result
        pause = RETRY_PAUSES.delay(job.attempts)
        if self._is_worth_retrying(job, result) and time.monotonic() + pause < job.due:
            self._turns.spend(job.get)
            self._send(job, pause)
            return
        self._turns.ended(job)
        self._show(result)
        job.settle(result)
        self._send_next()

    def _is_worth_retrying(self, job: Job, result: Result[Response]) -> bool:
        match result:
            case Failure(Transient(code=code, retry_after=None)) if code in QUICKLY_RETRIED:
                return job.attempts < self._settings.attempts and not self._turns.wait(job.get) and self._pause() <= 0
            case _:
                return False

    # What is shown

    def _show(self, result: Result[Response]) -> None:
        match result:
            case Success(response):
                self.count("bytes", len(response.body))
                self._show_budget()
                return
            case Failure(Transient(code="stopping")):
                return
            case Failure(error) if not error.of_question:
                pause = error.retry_after if isinstance(error, Transient) else None
                self._paused_until = max(self._paused_until, self.clock.monotonic() + (pause or 0.0))
                self.degrade(error, pause)
        self.count("errors")

    def _show_budget(self) -> None:
        """Show, of a client that gets answers, what is left; one that runs short is degraded until that has changed."""
        budget = self._turns.budget
        if budget is None:
            if self._pause() <= 0:
                self.recover()
            return
        wait, scarcity = budget.wait(), budget.scarcity
        self.gauge("budget_left", budget.left)
        if scarcity is not None:
            self.degrade(scarcity, wait)
        elif self._pause() <= 0:
            self.recover()
