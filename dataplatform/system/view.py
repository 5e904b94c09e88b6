"""What a person sees of a running platform: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol, Self

import structlog
from attrs import define, field
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dataplatform.base.agent import AgentStatus
from dataplatform.dsl.flow import RouteAccount
from dataplatform.system.bookkeeper import LatestPrice
from dataplatform.system.platform import PlatformStatus

__all__ = ["LineView", "TableView", "View"]

PRICES_IN_TABLE = 10
LINE_EVERY = 5.0
STUCK_AFTER = 30.0
COLOURS = {"running": "green", "degraded": "yellow", "failed": "red", "stopped": "dim"}


class View(Protocol):
    """Shows a status each time it is given one, and closes what it opened."""

    def show(self, status: PlatformStatus) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@define(eq=False)
class LineView:
    """Logs a line every five seconds: for pipes, files and services."""

    _last: float = -LINE_EVERY
    _log: Any = field(factory=lambda: structlog.get_logger().bind(agent="platform"))

    def show(self, status: PlatformStatus) -> None:
        if not status.ready or status.uptime - self._last < LINE_EVERY:
            return
        self._last = status.uptime
        troubled = {agent.name: agent.shown for agent in status.agents if agent.shown != "running"}
        routes = {f"{r.source}->{r.target}": f"{r.written}/{r.read}" for r in status.routes}
        self._log.info(
            "status", written_of_read=routes, rows=status.books.tables, latest=_latest(status.books.prices), **troubled
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


@define(eq=False)
class TableView:
    """A live table of agents, routes and prices, below the log lines."""

    console: Console
    _rates: dict[tuple[str, str], tuple[float, int, float]] = field(factory=dict)
    _live: Live = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._live = Live(console=self.console, auto_refresh=False, transient=False)

    def show(self, status: PlatformStatus) -> None:
        parts: list[Any] = [_agents(status), self._routes(status)]
        if status.books.prices:
            parts.append(_prices(status))
        self._live.update(Group(*parts), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _routes(self, status: PlatformStatus) -> Table:
        table = Table("route", title="Routes", title_justify="left", expand=False)
        for name in ("read", "written", "dead letters", "in flight", "records/s"):
            table.add_column(name, justify="right")
        for route in status.routes:
            table.add_row(
                f"{route.source} → {route.target}",
                f"{route.read:,}",
                f"{route.written:,}",
                Text(f"{route.dead_lettered:,}", style="red" if route.dead_lettered else ""),
                str(route.batches_in_flight),
                f"{self._rate(route, status.uptime):,.0f}",
            )
        return table

    def _rate(self, route: RouteAccount, now: float) -> float:
        """Return records written a second, averaged over about five seconds."""
        key = (route.source, route.target)
        then, written, rate = self._rates.get(key, (now, route.written, 0.0))
        if now - then >= LINE_EVERY:
            rate = (route.written - written) / (now - then)
            then, written = now, route.written
        self._rates[key] = (then, written, rate)
        return rate


def _agents(status: PlatformStatus) -> Table:
    title = f"Agents, up {status.uptime:.0f} s" + ("" if status.ready else ", starting")
    table = Table("agent", "kind", "state", title=title, title_justify="left", expand=False)
    table.add_column("restarts", justify="right")
    table.add_column("what it says", overflow="fold", max_width=80)
    for agent in status.agents:
        table.add_row(
            agent.name, agent.kind, Text(agent.shown, style=COLOURS.get(agent.shown, "cyan")), str(agent.restarts),
            _says(agent),
        )  # fmt: skip
    return table


def _says(agent: AgentStatus) -> str:
    if agent.degraded is not None:
        due = agent.degraded.next_try
        wait = f"; next try in {max(0.0, (due - datetime.now(UTC)).total_seconds()):.0f} s" if due else ""
        return agent.degraded.reason + wait
    if agent.busy_s > STUCK_AFTER:
        return f"busy with one message for {agent.busy_s:.0f} s: stuck?"
    return ", ".join(f"{name} {value:,}" for name, value in sorted(agent.counters.items()))


def _prices(status: PlatformStatus) -> Table:
    prices = status.books.prices
    rows = ", ".join(f"{name} {count:,} rows" for name, count in sorted(status.books.tables.items()))
    title = f"Arrived in the database: {rows}; the largest of the latest {len(prices)} prices"
    table = Table("coin", title=title, title_justify="left", expand=False)
    for name in ("price in USD", "24 h"):
        table.add_column(name, justify="right")
    table.add_column("last updated (UTC)")
    table.add_column("source")
    for price in prices[:PRICES_IN_TABLE]:
        change = "" if price.change_24h is None else f"{price.change_24h:+.2f} %"
        table.add_row(
            price.coin_id, f"{price.usd_price:,.6g}", change, f"{price.last_updated:%Y-%m-%d %H:%M:%S}", price.source
        )
    return table


def _latest(prices: list[LatestPrice]) -> str:
    shown = ", ".join(f"{price.coin_id} {price.usd_price:,.6g}" for price in prices[:3])
    return f"{shown}, … {len(prices)} coins ({prices[0].source})" if prices else "nothing yet"
