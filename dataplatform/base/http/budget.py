"""A budget of requests until a date: spent freely while there is plenty, then spread over the time left.

It says how long to wait, and never waits itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from attrs.validators import ge, gt

from dataplatform.base.agent import Clock
from dataplatform.errors import Transient

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Budget", "SetBudget"]

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
