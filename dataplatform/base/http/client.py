"""The agent that asks one HTTP server: at its pace, obeying its pauses, never longer than it was told to wait."""

from __future__ import annotations

import time
from typing import Any, ClassVar, TypeAlias, assert_never

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_result,
    sleep_using_event,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from dataplatform.base.agent import Agent, Context
from dataplatform.base.http.bucket import TokenBucket
from dataplatform.base.http.budget import Budget, SetBudget
from dataplatform.base.http.errand import Busy, Errands, Interrupted, Overdue
from dataplatform.base.http.exchange import Exchange
from dataplatform.base.http.messages import Get, Response
from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.http.shown import origin
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["HttpClient"]

QUICKLY_RETRIED = {"unreachable", "cut", "server_error"}
GRACE = 0.25  # seconds that an exchange gets to report its own time-out

Message: TypeAlias = Get | SetBudget


class HttpClient(Agent):
    """Answers `Get` with `Result[Response]`; the codes of its failures are listed in `failures`.

    It asks one request at a time and sleeps only between the quick retries inside a request's `timeout`. When its
    own rate is used up, or a budget that it was told runs short (both `throttled`), or the server has asked for a pause
    (`rate_limited`), nothing is sent, and `retry_after` tells when to come back. A budget that runs short is shown as
    degraded. Its counters: requests sent, errors answered, bytes received, and throttled requests, which were not sent;
    its gauge where there is a budget, `budget_left`: what is left of it.

        HttpClient.child("coingecko-http", HttpSettings(base_url="https://api.coingecko.com/api/v3"))
        ...
        self.address("coingecko-http").ask(Get("/ping"), timeout=6.0)
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: HttpSettings) -> None:
        super().__init__(context)
        self._settings = settings
        self._host = origin(settings.base_url)
        rate = settings.rate_per_minute
        self._bucket = TokenBucket(self.clock, rate, settings.burst) if rate else None
        self._budget: Budget | None = None
        self._paused_until = 0.0
        self._exchange = Exchange(settings, self.clock)
        self._errands: Errands[Result[Response]] = Errands(context.name, context.stopping)

    def receive(self, message: Message) -> Result[Response] | None:
        match message:
            case Get():
                return self._refuse_unsent(message) or self._get(message)
            case SetBudget():
                self._budget = self._budget.renewed(message) if self._budget else Budget(self.clock, message)
                self._show_budget()
                return None
            case _:
                assert_never(message)

    def _close(self) -> None:
        self._exchange.close()

    def _refuse_unsent(self, get: Get) -> Failure | None:
        """Refuse what must not be sent now: the server's pause lasts, or our own rate or the budget is used up."""
        pause, wait = self._paused_until - self.clock.monotonic(), self._bucket.wait() if self._bucket else 0.0
        saving = self._budget.wait() if self._budget and not get.of_budget else 0.0
        longest = max(pause, wait, saving)
        if longest <= 0:
            return None
        self.count("throttled")
        if pause > 0:
            return Failure(Transient("rate_limited", f"{self._host} has asked for a pause", retry_after=longest))
        if self._budget and self._budget.scarcity and saving == longest:
            why = self._budget.scarcity
            return Failure(Transient("throttled", why.message, remedy=why.remedy, retry_after=longest))
        message = f"{self._settings.rate_per_minute:g} requests a minute to {self._host} are used up"
        return Failure(Transient("throttled", message, retry_after=longest))

    def _get(self, get: Get) -> Result[Response]:
        due = time.monotonic() + self._settings.timeout  # of the real clock: sockets know no other
        result: Result[Response] = self._retrying()(self._attempt, get, due)
        self._show(result)
        return result

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_result(self._is_worth_retrying),
            stop=stop_after_attempt(self._settings.attempts) | stop_before_delay(self._settings.timeout),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            sleep=sleep_using_event(self.context.stopping),
            retry_error_callback=_last_result,
        )

    def _attempt(self, get: Get, due: float) -> Result[Response]:
        if self._bucket:
            self._bucket.take()
        if self._budget:
            self._budget.spend(of_budget=get.of_budget)
        left = due - time.monotonic()
        try:
            self.count("requests")
            return self._errands.run(lambda: self._exchange.get(get, due), left + GRACE)
        except Interrupted:
            return Failure(Transient("stopping", f"{self.name} is stopping"))
        except Overdue:
            message = f"{self._host} gave no complete answer in {self._settings.timeout:g} s"
            return Failure(Transient("timeout", message))
        except Busy:
            message = f"{self._host} has still not answered the request before"
            return Failure(Transient("timeout", message))

    def _is_worth_retrying(self, result: Result[Response]) -> bool:
        match result:
            case Failure(Transient(code=code, retry_after=None)) if code in QUICKLY_RETRIED:
                waits = [limit.wait() for limit in (self._bucket, self._budget) if limit is not None]
                return not any(waits)
            case _:
                return False

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
                self._paused_until = self.clock.monotonic() + (pause or 0.0)
                self.degrade(error, pause)
        self.count("errors")

    def _show_budget(self) -> None:
        """Show, of a client that gets answers, what is left; one that runs short is degraded until that has changed."""
        if self._budget is None:
            self.recover()
            return
        wait, scarcity = self._budget.wait(), self._budget.scarcity
        self.gauge("budget_left", self._budget.left)
        if scarcity is None:
            self.recover()
        else:
            self.degrade(scarcity, wait)


def _last_result(state: RetryCallState) -> Any:
    return state.outcome.result() if state.outcome else None
