"""The one backoff of the platform: exponential, capped, with full jitter."""

from __future__ import annotations

from attrs import define, field, frozen
from tenacity import RetryCallState, Retrying, wait_exponential, wait_random_exponential

__all__ = ["Backoff", "BackoffPolicy"]


@frozen
class BackoffPolicy:
    """How many seconds to wait after the n-th failure: up to min(cap, base * 2**(n - 1)), and at least `floor`.

    `jitter` is the share of it that is random. By default all is; with a half, no wait is shorter than the one before
    it until the cap is reached.

    >>> BackoffPolicy(base=1.0, cap=4.0).delay(10) <= 4.0
    True
    >>> 2.0 <= BackoffPolicy(base=1.0, cap=4.0, jitter=0.5).delay(10) <= 4.0
    True
    """

    base: float = 0.2
    cap: float = 30.0
    floor: float = 0.02
    jitter: float = 1.0

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after the `attempt`-th failure, counted from 1."""
        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = attempt
        fixed, random = (
            wait(self.base, self.cap, min=0)(state) for wait in (wait_exponential, wait_random_exponential)
        )
        return max(self.floor, (1 - self.jitter) * fixed + self.jitter * random)


@define
class Backoff:
    """A policy and the count of failures in a row.

    >>> backoff = Backoff(BackoffPolicy())
    >>> backoff.next(retry_after=7.0) >= 7.0
    True
    """

    policy: BackoffPolicy = field(factory=BackoffPolicy)
    failures: int = 0

    def next(self, retry_after: float | None = None) -> float:
        """Count a failure and return the seconds to wait; at least what the other side asked for."""
        self.failures += 1
        return max(self.policy.delay(self.failures), retry_after or 0.0)

    def reset(self) -> None:
        """Forget the failures, after a success."""
        self.failures = 0
