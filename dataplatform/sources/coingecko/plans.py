"""CoinGecko's plans: what each allows, what the codes of its refusals mean, and the credits that are left.

What CoinGecko's plans allow, and what it means by the codes of its refusals. The credits of a paid plan: asked for now
and then, and told to the client, which spreads requests before they end.

CoinGecko tells them at `/key` (https://docs.coingecko.com/reference/api-usage), to the keys of paid plans and over REST
alone. Each answer costs a credit, this one as well, and each month begins anew on its first day, in UTC.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

import msgspec
from attrs import define, field

from dataplatform.base.agent import Address, Agent
from dataplatform.base.http import Get, HttpSettings, Response, SetBudget
from dataplatform.base.mcp import McpSettings
from dataplatform.base.net.failures import Meaning
from dataplatform.dsl.flow.plan import Plan, PlanRun
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["MEANINGS", "PRICING", "Credits", "budget_of", "is_paid", "pause_after"]

PRICING = "https://www.coingecko.com/en/api/pricing"
PRO_HOSTS = {"pro-api.coingecko.com", "mcp.pro-api.coingecko.com"}
PRO_HEADER, PRO_VARIABLE = "x-cg-pro-api-key", "COINGECKO_PRO_API_KEY"
PRO, PUBLIC = "https://pro-api.coingecko.com/api/v3", "https://api.coingecko.com/api/v3"

MEANINGS = (
    Meaning(10005, "paid_plan", f"this needs a paid plan: {PRICING}"),
    Meaning(10012, "paid_plan", f"ask for the last 365 days; older data needs a paid plan: {PRICING}"),
    Meaning(
        10010,
        "unauthorized",
        f"the key is of a paid plan: set base_url to {PRO} and api_key_header to x-cg-pro-api-key",
        of_question=False,
    ),
    Meaning(
        10011,
        "unauthorized",
        f"the key is of the demo plan: set base_url to {PUBLIC} and api_key_header to x-cg-demo-api-key",
        of_question=False,
    ),
)
"""CoinGecko's own codes, which it sends with 400, 401 or 403 (https://docs.coingecko.com/reference/common-errors)."""


def is_paid(settings: HttpSettings | McpSettings | None) -> bool:
    """Tell whether a client asks with the key of a paid plan: by its header, its variable, or whom it asks.

    >>> is_paid(HttpSettings(base_url="https://pro-api.coingecko.com/api/v3", api_key="CG-1"))
    True
    >>> is_paid(McpSettings(url="https://mcp.api.coingecko.com/mcp"))
    False
    """
    match settings:
        case HttpSettings():
            sent = {*settings.headers, *([settings.api_key_header] if settings.api_key else [])}
            url = settings.base_url
        case McpSettings():
            sent, url = {*settings.headers}, settings.url or ""
        case None:
            return False
    by_variable = isinstance(settings, McpSettings) and bool(settings.env.get(PRO_VARIABLE))
    return by_variable or PRO_HEADER in {name.lower() for name in sent} or urlsplit(url).hostname in PRO_HOSTS


USAGE = Get("/key", (), MEANINGS, of_budget=True)
SHARE = 0.01  # of the credits left, which asking for them takes at most while there are plenty
SOONEST, LATEST = 300.0, 86_400.0  # seconds between two questions
PATIENCE = 60.0  # seconds to wait for a turn under the client's own rate
REMEDY = "get credits, or set save_credits = false for this source where the plan bills what is beyond them"


class Usage(msgspec.Struct, frozen=True):
    """The fields used of `/key`: of the plan, and of the key where it has a smaller limit of its own."""

    monthly_call_credit: float
    current_remaining_monthly_calls: float
    api_key_monthly_call_credit: float | None = None
    api_key_current_total_monthly_calls: float | None = None


@define(eq=False)
class Credits:
    """Asks for the credits left on behalf of a source, one question at a time."""

    source: Agent
    client: Address
    timeout: float
    _asking: bool = field(default=False, init=False)
    _turn: int = field(default=0, init=False)

    def ask(self) -> None:
        """Ask now, unless that is under way; the next time comes by itself."""
        if not self._asking:
            self._asking, self._turn = True, self._turn + 1
            plan = Plan(self.client, [USAGE], self._read, self.timeout, PATIENCE)
            PlanRun(self.source, plan, of_route=True).go_on(self._told)

    def _read(self, answers: list[Response]) -> SetBudget | None:
        (answer,) = answers
        return budget_of(answer, self.source.clock.now())

    def _told(self, budget: Result[SetBudget | None]) -> None:
        self._asking = False
        self.source.wait(self._pause(budget), partial(self._again, self._turn))
        if isinstance(budget, Failure):
            self.source.log.warning("credits unknown", reason=str(budget.error))
        elif budget.data is not None:
            self.source.gauge("credits_left", budget.data.left)
            self.source.gauge("credits_a_month", budget.data.whole)
            self.client.tell(budget.data)

    def _again(self, turn: int) -> None:
        if turn == self._turn:
            self.ask()

    def _pause(self, budget: Result[SetBudget | None]) -> float:
        match budget:
            case Failure(Transient()):
                return SOONEST
            case Success(SetBudget() as told):
                return pause_after(told, self.source.clock.now())
            case _:
                return LATEST


def budget_of(answer: Response, now: datetime) -> SetBudget | None:
    """Return the budget that is told, the key's own where less is left of it; None for a plan without an end.

    Raises `PlatformError` for an answer that is of another shape.
    """
    usage = answer.json(Usage)
    limits = [(usage.current_remaining_monthly_calls, usage.monthly_call_credit)]
    if usage.api_key_monthly_call_credit and usage.api_key_current_total_monthly_calls is not None:
        whole = usage.api_key_monthly_call_credit
        limits.append((whole - usage.api_key_current_total_monthly_calls, whole))
    left, whole = min((limit for limit in limits if limit[1] >= 1), default=(0, 0))
    return SetBudget(max(0, int(left)), int(whole), _next_month(now), "credits", REMEDY) if whole else None


def pause_after(budget: SetBudget, now: datetime) -> float:
    """Return in how many seconds to ask again: seldom enough to cost little, and soon after the next month begins."""
    rest = (budget.until - now).total_seconds()
    spread = rest / (budget.left * SHARE) if budget.left else LATEST
    return max(SOONEST, min(spread, LATEST, rest + SOONEST))


def _next_month(now: datetime) -> datetime:
    """Return when the month after this one begins.

    >>> from datetime import UTC
    >>> _next_month(datetime(2026, 12, 31, 23, tzinfo=UTC)).isoformat()
    '2027-01-01T00:00:00+00:00'
    """
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)  # noqa: PLR2004  December
    return now.replace(year=year, month=month, day=1, hour=0, minute=0, second=0, microsecond=0)
