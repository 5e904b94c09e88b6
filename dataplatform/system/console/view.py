"""What a person sees of a running platform where there is no terminal: a line now and then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from attrs import define, field

from dataplatform.base.agent import AgentStatus
from dataplatform.base.agent.logger import get_logger
from dataplatform.dsl.flow import RouteAccount
from dataplatform.services.service import Books, LatestPrice, Phase, PlatformStatus

__all__ = ["LineView", "View", "account", "amount", "elapsed", "next_try"]

OFTEN, SELDOM = 5.0, 60.0  # seconds between two lines, in the first minute and later
SHOWN = 3


class View(Protocol):
    """Shows a status each time it is given one, and closes what it opened."""

    def show(self, status: PlatformStatus) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@define(eq=False)
class LineView:
    """Logs how things stand when the platform is ready, every five seconds, from a minute on once a minute, and at
    the end: for pipes, files and services."""  # noqa: D205, D209  one sentence

    _due: float = 0.0
    _phase: Phase = Phase.STARTING
    _log: Any = field(factory=lambda: get_logger("platform"))

    def show(self, status: PlatformStatus) -> None:
        changed, self._phase = status.phase is not self._phase, status.phase
        match status.phase:
            case Phase.RUNNING if changed:
                self._due = status.uptime + OFTEN
                took, agents = elapsed(status.uptime), len(status.agents)
                self._log.info("ready", line=f"ready in {took}: {agents} agents", took_s=round(status.uptime, 3))
            case Phase.RUNNING if status.uptime >= self._due:
                self._due = status.uptime + (OFTEN if status.uptime < SELDOM else SELDOM)
                self._say("status", status, [*account(status), *_latest(status.books.prices), *_troubles(status)])
            case Phase.DRAINING if changed:
                line = "draining: waiting for what is in flight; a signal now stops at once"
                self._log.info("draining", line=line)
            case Phase.STOPPED if changed:
                self._say("stopped", status, [f"stopped after {elapsed(status.uptime)}", *account(status)])

    def _say(self, event: str, status: PlatformStatus, words: Iterable[str]) -> None:
        books = status.books
        self._log.info(
            event,
            line="; ".join(words),
            uptime_s=round(status.uptime, 3),
            routes=[_route(route) for route in status.routes],
            tables=books.tables,
            topics=books.topics,
            coins=len(books.prices),
            latest={price.coin_id: price.usd_price for price in books.prices[:SHOWN]},
            troubled={agent.name: _trouble(agent) for agent in status.troubled} if event == "status" else {},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def account(status: PlatformStatus) -> list[str]:
    """Say what was written on each route and is in each table."""
    routes = [
        f"{route.source} → {route.target} {route.written:,} of {amount(route.read, 'record')}"
        + (f", {route.already_stored:,} already stored" if route.already_stored else "")
        + (f", {amount(route.dead_lettered, 'dead letter')}" if route.dead_lettered else "")
        for route in status.routes
    ]
    incidents = [amount(len(status.incidents), "incident")] if status.incidents else []
    return [*routes, *tables(status.books), *incidents]


def tables(books: Books) -> list[str]:
    """Say how many rows the tables hold."""
    rows = ", ".join(f"{name} {amount(count, 'row')}" for name, count in sorted(books.tables.items()))
    return [rows] if rows else []


def next_try(agent: AgentStatus) -> str:
    """Say when a degraded agent tries again, nothing where that is not known."""
    due = agent.degraded.next_try if agent.degraded else None
    return f"next try in {elapsed(max(0.0, (due - datetime.now(UTC)).total_seconds()))}" if due else ""


def amount(number: int, what: str) -> str:
    """Return a number and what there is of it.

    >>> amount(1, "row"), amount(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def elapsed(seconds: float) -> str:
    """Return a duration in the two largest units that tell something.

    >>> elapsed(0.42), elapsed(75.2), elapsed(7500.0), elapsed(200_000.0)
    ('0.4 s', '1 min 15 s', '2 h 5 min', '2 d 7 h')
    """
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, part, part_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // part} {part_name}"
    return f"{whole} s"


def _route(route: RouteAccount) -> dict[str, Any]:
    return {
        "source": route.source,
        "target": route.target,
        "read": route.read,
        "written": route.written,
        "already_stored": route.already_stored,
        "dead_lettered": route.dead_lettered,
    }


def _trouble(agent: AgentStatus) -> dict[str, Any]:
    degraded = agent.degraded
    due = degraded.next_try if degraded else None
    reason = degraded.reason if degraded else agent.last_error
    return {"state": agent.shown, "reason": reason, "next_try": due.isoformat() if due else None}


def _latest(prices: Sequence[LatestPrice]) -> list[str]:
    if not prices:
        return []
    shown = ", ".join(f"{price.coin_id} {price.usd_price:,.6g}" for price in prices[:SHOWN])
    return [f"{len(prices)} coins such as {shown} USD ({', '.join(sorted({price.source for price in prices}))})"]


def _troubles(status: PlatformStatus) -> list[str]:
    """Say which agents are not well; those with the same reason, such as a client and its source, in one."""
    alike: dict[tuple[str, str], list[AgentStatus]] = {}
    for agent in status.troubled:
        alike.setdefault((agent.shown, agent.degraded.reason if agent.degraded else ""), []).append(agent)
    return [_in_words(state, reason, agents) for (state, reason), agents in alike.items()]


def _in_words(state: str, reason: str, agents: Sequence[AgentStatus]) -> str:
    when = next(filter(None, map(next_try, agents)), "")
    words = f"{' and '.join(agent.name for agent in agents)} {state}{f', {when}' if when else ''}"
    return f"{words} ({reason})" if reason else words
