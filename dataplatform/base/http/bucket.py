"""A token bucket on the injected clock: says how long to wait, and never waits itself.

Not a library's, because `limits` reads the machine's time, and `pyrate-limiter` counts whole milliseconds and keeps
a thread of its own.
"""

from __future__ import annotations

from attrs import define, field

from dataplatform.base.agent import Clock

__all__ = ["TokenBucket"]


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
