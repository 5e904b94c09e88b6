"""The account of a paid plan: a credit for each answer over REST, every month anew; everybody with a key shares one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from attrs import define, field

from dataplatform.simulator.query import Query, key_missing

__all__ = ["CREDITS", "Account"]

CREDITS: Final = 500_000  # as CoinGecko's plan "Analyst" has
_PER_MINUTE: Final = 500


@define(eq=False)
class Account:
    """What of a month's credits is used, at the time that `now` tells."""

    now: Callable[[], datetime]
    credits: int = CREDITS
    _used: int = field(default=0, init=False)
    _month: tuple[int, int] = field(default=(0, 0), init=False)

    @property
    def used(self) -> int:
        """The credits that were used this month."""
        self._begin_month()
        return self._used

    def charge(self, credits_used: int = 1) -> None:
        self._begin_month()
        self._used += credits_used

    def usage(self, query: Query) -> dict[str, str | int]:
        """Answer `/key`, which only paying customers may ask."""
        if not query.paid:
            raise key_missing(self.now())
        return {
            "plan": "Analyst",
            "rate_limit_request_per_minute": _PER_MINUTE,
            "monthly_call_credit": self.credits,
            "current_total_monthly_calls": self.used,
            "current_remaining_monthly_calls": max(0, self.credits - self.used),
            "api_key_rate_limit_request_per_minute": _PER_MINUTE,
            "api_key_monthly_call_credit": self.credits,
            "api_key_current_total_monthly_calls": self.used,
        }

    def _begin_month(self) -> None:
        now = self.now()
        if self._month != (now.year, now.month):
            self._month, self._used = (now.year, now.month), 0
