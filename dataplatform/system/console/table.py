"""What a person sees of a running platform on a terminal: a live table of agents, routes and prices."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from typing import Any, Self, TypeAlias

from attrs import define, field
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dataplatform.base.agent import AgentStatus
from dataplatform.dsl.flow import RouteAccount
from dataplatform.services.service import LatestPrice, Phase, PlatformStatus
from dataplatform.system.console.view import account, amount, elapsed, next_try, tables

__all__ = ["TableView", "overview"]

COLOURS = {"running": "green", "degraded": "yellow", "failed": "red", "stopped": "dim"}
STUCK_AFTER = 30.0  # seconds
RATE_OVER = 10.0
PRICE_WIDTH, PRICE_GAP = 35, 3
FEWEST_PRICES = 5
WIDE = 100

Look: TypeAlias = tuple[float, int]  # at a route: after how many seconds, and how many records written


@define(eq=False)
class TableView:
    """A live table that stays at the bottom of the terminal; it is also the stream whose lines appear above it.

    What a small terminal has no room for is left out: first the agents that are well, then prices.
    """

    console: Console
    _rates: dict[tuple[str, str], deque[Look]] = field(factory=dict)
    _ready: dict[tuple[str, str], Look] = field(factory=dict)  # the first look when all were ready
    _live: Live = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock)  # a refresh and a log line move the same cursor

    def __attrs_post_init__(self) -> None:
        self._live = Live(console=self.console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def show(self, status: PlatformStatus) -> None:
        with self._lock, suppress(OSError):  # a terminal that has gone
            self._live.update(self._rendered(status), refresh=True)

    def write(self, text: str) -> None:
        """Print log lines above the table."""
        with self._lock:
            self.console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True, highlight=False)

    def flush(self) -> None:
        """Do nothing: what is printed is there."""

    def isatty(self) -> bool:
        return True

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._live.stop()

    def _rendered(self, status: PlatformStatus) -> Group:
        size = self.console.size
        routes = self._routes(status)
        if status.phase is Phase.STOPPED:
            return Group(_head(status), "", routes, Text("; ".join(account(status)[len(status.routes) :])))
        left = size.height - 1 - 2 - (routes.row_count + 2)
        prices = status.books.prices
        wanted = min(FEWEST_PRICES, _lines(prices, size.width)) + 2 if prices else 0
        agents, note = list(status.agents), []
        if len(agents) + 2 + wanted > left:
            left -= 1
            agents = status.troubled[: max(0, left - wanted - 2)]
            note = [_no_room_for(len(status.agents) - len(agents))]
        parts: list[Any] = [_head(status), *note, "", *([_agents(agents, size.width), ""] if agents else []), routes]
        left -= len(agents) + 2 if agents else 0
        if prices and left > 2:  # noqa: PLR2004  its title, and the empty line before
            parts += ["", *_prices(status, size.width, left - 2)]
        return Group(*parts)

    def _routes(self, status: PlatformStatus) -> Table:
        table = _route_table()
        table.add_column("records/s", justify="right")
        for route in status.routes:
            table.add_row(*_route(route), f"{self._rate(route, status):,.0f}")
        return table

    def _rate(self, route: RouteAccount, status: PlatformStatus) -> float:
        """Return records written a second: over the last ten seconds and, at the end, since the platform was ready."""
        key, look = (route.source, route.target), (status.uptime, route.written)
        if status.phase is Phase.STOPPED:
            return _between(self._ready.get(key, look), look)
        if status.ready:
            self._ready.setdefault(key, look)
        seen = self._rates.setdefault(key, deque())
        seen.append(look)
        while look[0] - seen[0][0] > RATE_OVER and len(seen) > 2:  # noqa: PLR2004
            seen.popleft()
        return _between(seen[0], look)


def overview(status: PlatformStatus, width: int) -> Group:
    """Return one look at everything, all agents included, however long that gets."""
    routes = _route_table()
    for route in status.routes:
        routes.add_row(*_route(route))
    rest = [Text("; ".join(line)) for line in [account(status)[len(status.routes) :]] if line]
    servers = [Text(f"{name} at {address}", overflow="fold") for name, address in sorted(status.servers.items())]
    return Group(_head(status), "", _agents(status.agents, width), "", routes, *rest, *servers)


def _between(before: Look, after: Look) -> float:
    """Return records written a second between two looks, 0 where they are too close to tell."""
    span = after[0] - before[0]
    return (after[1] - before[1]) / span if span > 1.0 else 0.0


def _no_room_for(agents: int) -> Text:
    return Text(f"{amount(agents, 'agent')} not shown for want of room", style="dim", no_wrap=True, overflow="ellipsis")


def _route_table() -> Table:
    table = _table("route")
    for name in ("read", "written", "already stored", "dead letters", "in flight"):
        table.add_column(name, justify="right")
    return table


def _route(route: RouteAccount) -> list[str | Text]:
    return [
        f"{route.source} → {route.target}",
        f"{route.read:,}",
        f"{route.written:,}",
        f"{route.already_stored:,}",
        Text(f"{route.dead_lettered:,}", style="red" if route.dead_lettered else ""),
        f"{route.in_flight:,}",
    ]


def _head(status: PlatformStatus) -> Text:
    """Say in one line how the platform is."""
    text = Text(no_wrap=True, overflow="ellipsis")
    match status.phase:
        case Phase.STARTING:
            text.append("starting", style="bold cyan")
        case Phase.RUNNING:
            text.append("running", style="bold green")
        case Phase.DRAINING:
            text.append("draining what is in flight, Ctrl-C stops at once", style="bold yellow")
        case Phase.STOPPED:
            text.append("stopped", style="bold")
    text.append(
        f" after {elapsed(status.uptime)}" if status.phase is Phase.STOPPED else f", up {elapsed(status.uptime)}"
    )
    if status.phase is not Phase.STOPPED:
        states = Counter(agent.shown for agent in status.agents)
        text.append(": " + ", ".join(f"{count} {state}" for state, count in states.most_common()))
    if restarts := sum(agent.restarts for agent in status.agents):
        text.append(f", {amount(restarts, 'restart')}", style="yellow")
    if status.incidents:
        text.append(f", {amount(len(status.incidents), 'incident')}", style="red")
    return text


def _agents(agents: Sequence[AgentStatus], width: int) -> Table:
    """Return a row an agent; where the room is short, what an agent says is worth more than its kind."""
    with_kind, with_restarts = width >= WIDE, any(agent.restarts for agent in agents)
    table = _table("agent", *(["kind"] if with_kind else []), "state", *(["restarts"] if with_restarts else []))
    table.add_column("", ratio=1, no_wrap=True, overflow="ellipsis")
    table.expand = True
    for agent in agents:
        state = Text(agent.shown, style=COLOURS.get(agent.shown, "cyan"))
        kind, restarts = [agent.kind] if with_kind else [], [str(agent.restarts or "")] if with_restarts else []
        table.add_row(agent.name, *kind, state, *restarts, _says(agent))
    return table


def _says(agent: AgentStatus) -> str:
    """Say why an agent is not well, or what a well one has done."""
    if agent.degraded is not None:
        return "; ".join(filter(None, [next_try(agent), agent.degraded.reason]))
    if agent.busy_s > STUCK_AFTER:
        return f"busy with one message for {elapsed(agent.busy_s)}: stuck?"
    if agent.restarts and agent.last_error:
        return f"restarted after {agent.last_error}"
    return ", ".join(_counted(name, value) for name, value in sorted(agent.counters.items()) if value)


def _counted(name: str, value: int) -> str:
    what = name.replace("_", " ")
    return f"{value:,} {what.removesuffix('s') if value == 1 else what}"


def _prices(status: PlatformStatus, width: int, lines: int) -> list[Any]:
    """Return a title and the latest prices of the largest coins, in as many columns as there is room for."""
    prices = status.books.prices
    sources = ", ".join(sorted({price.source for price in prices}))
    latest = max(price.last_updated for price in prices)
    title = f"latest prices in USD, {sources}, {latest:%H:%M:%S} UTC; {'; '.join(tables(status.books))}"
    lines = min(lines, _lines(prices, width))
    grid = Table.grid(padding=(0, 1))
    columns = [prices[first : first + lines] for first in range(0, len(prices), lines)][: _columns(width)]
    for number in range(len(columns)):
        grid.add_column(width=13, no_wrap=True, overflow="ellipsis")
        grid.add_column(width=11, justify="right", no_wrap=True)
        grid.add_column(width=9, justify="right", no_wrap=True)
        if number < len(columns) - 1:
            grid.add_column(width=PRICE_GAP - 2)
    for line in range(lines):
        cells: list[Text | str] = []
        for column in columns:
            cells += [*(_price(column[line]) if line < len(column) else ("", "", "")), ""]
        grid.add_row(*cells[:-1])
    return [Text(title, style="bold", no_wrap=True, overflow="ellipsis"), grid]


def _price(price: LatestPrice) -> tuple[str, str, Text]:
    change = "" if price.change_24h is None else f"{price.change_24h:+.2f} %"
    return price.coin_id, f"{price.usd_price:,.6g}", Text(change, style="red" if change.startswith("-") else "green")


def _columns(width: int) -> int:
    return max(1, (width + PRICE_GAP) // (PRICE_WIDTH + PRICE_GAP))


def _lines(prices: Sequence[LatestPrice], width: int) -> int:
    return ceil(len(prices) / _columns(width))


def _table(*names: str) -> Table:
    """Return a table without lines: its rows are what matters, and the room is short."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    return table
