"""Putting a request again while an outage lasts, for so long and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from attrs import define, field

from dataplatform.base.agent import Backoff, BackoffPolicy
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result

__all__ = ["Patience"]

T = TypeVar("T")
RETRIES = BackoffPolicy(base=0.2, cap=10.0)
ASKED_TO_WAIT = {"throttled", "rate_limited"}  # no outage: it is known when to come back
MOST_LIMITS, MOST_SHARES = 30, 5


@define
class Patience:
    """Waits out an outage for `longest` seconds, and a rate limit for as long as it asks; `interrupted` ends it.

    >>> Patience(0.0, Event()).ask(lambda: Failure(Transient("database", "is away")))
    Failure(error=Transient('database: is away'))
    """

    longest: float
    interrupted: Event
    waiting: Callable[[float, str], None] = field(default=lambda _seconds, _why: None)

    def go_on(self) -> None:
        """Raise `Transient` once a signal has come; to be asked where work can end without leaving it half done."""
        if self.interrupted.is_set():
            raise Transient("interrupted", "a signal came", remedy="give the command again to go on")

    def ask(self, put: Callable[[], Result[T]]) -> Result[T]:
        """Answer the first answer that is not transient, or the last one that is."""
        since, backoff, limits = time.monotonic(), Backoff(RETRIES), 0
        while True:
            answer = put()
            if not isinstance(answer, Failure) or not isinstance(answer.error, Transient):
                return answer
            error = answer.error
            if error.code in ASKED_TO_WAIT:
                limits, since = limits + 1, time.monotonic()
                # An operation of several requests needs several requests' wait, which the first refusal does not tell.
                pause = (error.retry_after or 1.0) * min(limits, MOST_SHARES)
                if limits > MOST_LIMITS:
                    return answer
            else:
                pause = backoff.next(error.retry_after)
                if time.monotonic() + pause - since > self.longest:
                    return answer
            self.waiting(pause, str(error))
            if self.interrupted.wait(pause):
                return answer
