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
from dataplatform.base.http.errand import Busy, Errands, Interrupted, Overdue
from dataplatform.base.http.exchange import Exchange
from dataplatform.base.http.messages import Get, LimitRate, Response
from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.http.shown import origin
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["HttpClient"]

HttpMessage: TypeAlias = Get | LimitRate

QUICKLY_RETRIED = {"unreachable", "cut", "server_error"}
GRACE = 0.25  # seconds that an exchange gets to report its own time-out


class HttpClient(Agent):
    """Answers `Get` with `Result[Response]`, at the pace of its settings or of `LimitRate`; `failures` lists the codes.

    It asks one request at a time and sleeps only between the quick retries inside a request's `timeout`. When its
    own rate is used up (`throttled`), or the server has asked for a pause (`rate_limited`), nothing is sent, and
    `retry_after` tells when to come back. Its counters: requests sent, errors answered, bytes received, and throttled
    requests, which were not sent.

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
        self._paused_until = 0.0
        self._exchange = Exchange(settings, self.clock)
        self._errands: Errands[Result[Response]] = Errands(context.name, context.stopping)

    def receive(self, message: HttpMessage) -> Result[Response] | None:
        match message:
            case Get():
                return self._refuse_unsent() or self._get(message)
            case LimitRate(per_minute):
                self._limit(per_minute)
                return None
            case _:
                assert_never(message)

    def _close(self) -> None:
        self._exchange.close()

    def _refuse_unsent(self) -> Failure | None:
        """Refuse what must not be sent now: the server's pause lasts, or our own rate is used up."""
        pause, wait = self._paused_until - self.clock.monotonic(), self._bucket.wait() if self._bucket else 0.0
        if pause <= 0 and wait <= 0:
            return None
        self.count("throttled")
        if pause > 0:
            return Failure(
                Transient("rate_limited", f"{self._host} has asked for a pause", retry_after=max(pause, wait))
            )
        assert self._bucket is not None
        message = f"{self._bucket.per_minute:g} requests a minute to {self._host} are used up"
        return Failure(Transient("throttled", message, retry_after=wait))

    def _limit(self, per_minute: float | None) -> None:
        rates = [rate for rate in (per_minute, self._settings.rate_per_minute) if rate is not None]
        if not rates:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = TokenBucket(self.clock, min(rates), self._settings.burst)
        else:
            self._bucket.keep_to(min(rates))

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
                return self._bucket is None or self._bucket.wait() <= 0
            case _:
                return False

    def _show(self, result: Result[Response]) -> None:
        match result:
            case Success(response):
                self.count("bytes", len(response.body))
                self.recover()
                return
            case Failure(Transient(code="stopping")):
                return
            case Failure(error) if not error.of_question:
                pause = error.retry_after if isinstance(error, Transient) else None
                self._paused_until = self.clock.monotonic() + (pause or 0.0)
                self.degrade(error, pause)
        self.count("errors")


def _last_result(state: RetryCallState) -> Any:
    return state.outcome.result() if state.outcome else None
