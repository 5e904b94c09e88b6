"""The credits that a paid key has left this month: shown as counters, and spread over the month before they end."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from attrs import frozen

from dataplatform.base.agent import Agent
from dataplatform.base.http import LimitRate
from dataplatform.dsl.plan import Plan, PlanRun
from dataplatform.result import Result, is_success

__all__ = ["CreditWatch", "Credits", "allowed_per_minute"]

EVERY = 600.0  # seconds between looks
RESERVE = 0.1  # of the month's credits: with less than that left, they are spread
SLOWEST = 1 / 60  # requests a minute, when nothing is left


class Credits(msgspec.Struct, frozen=True):
    """The fields used of the answer of `/key`."""

    monthly_call_credit: float
    current_remaining_monthly_calls: float


@frozen
class CreditWatch:
    """Looks at the credits now and then; where that fails, it looks again later and changes nothing."""

    agent: Agent
    plan: Plan[Credits]

    def look(self) -> None:
        PlanRun(self.agent, self.plan).go_on(self._seen)

    def _seen(self, answer: Result[Credits]) -> None:
        if is_success(answer):
            found = answer.data
            self.agent.gauge("credits_left", int(found.current_remaining_monthly_calls))
            self.agent.gauge("credits_a_month", int(found.monthly_call_credit))
            self.plan.client.tell(LimitRate(allowed_per_minute(found, self.agent.clock.now())))
        self.agent.wait(EVERY, self.look)


def allowed_per_minute(found: Credits, now: datetime) -> float | None:
    """Return the pace at which what is left lasts until the month ends (UTC); None while there is plenty.

    >>> from datetime import UTC
    >>> allowed_per_minute(Credits(100_000, 4_320), datetime(2026, 4, 28, tzinfo=UTC))
    1.0
    """
    left = max(0.0, found.current_remaining_monthly_calls)
    if left >= RESERVE * found.monthly_call_credit:
        return None
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    minutes = ((first + timedelta(days=32)).replace(day=1) - now) / timedelta(minutes=1)
    return max(left / minutes, SLOWEST)
