"""What a person sees: a live table that fits its terminal, and short lines where there is none."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from dataplatform.base.agent import AgentStatus, Degraded, Incident, State
from dataplatform.dsl.flow import RouteAccount
from dataplatform.services.service import Books, LatestPrice, Phase, PlatformStatus
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.console.shown import on_screen
from dataplatform.system.console.table import TableView
from dataplatform.system.console.view import LineView

NOW = datetime.now(UTC)
NAMES = ("supervisor", "broker", "postgres", "coingecko-http", "redpanda.producer", "timescale.1", "timescale.2",
         "topics.consumer", "bookkeeper", "stream", "database", "coingecko", "topics")  # fmt: skip
PRICES = [
    LatestPrice(f"coin-{n}", 75_000 / n**3, None if n == 3 else 1.0 - n, NOW - timedelta(seconds=n), "simulator")
    for n in range(1, 26)
]


def agent(name: str, **changed: Any) -> AgentStatus:
    plain = AgentStatus(name, "client", State.RUNNING, NOW, 0, 1, 0.0, 0, None, None, {"records": 1200, "failed": 0})
    return evolve(plain, **changed)


def status(phase: Phase = Phase.RUNNING, uptime: float = 12.0, **changed: Any) -> PlatformStatus:
    route = RouteAccount("coingecko", "stream", read=1562, written=1500, already_stored=60, dead_lettered=1)
    route.batches_in_flight = 1
    books = Books({"crypto_prices": 1500, "market_analytics": 1}, {"crypto-prices": 1500}, PRICES)
    plain = PlatformStatus(phase, uptime, [agent(name) for name in NAMES], [route], books, [])
    return evolve(plain, **changed)


OUTAGE = Degraded("unreachable: cannot reach https://api.example: Connection refused", NOW, NOW + timedelta(seconds=30))
TROUBLED = [agent("coingecko", degraded=OUTAGE), agent("coingecko-http", degraded=evolve(OUTAGE, next_try=None))]


# On a terminal


def shown(width: int, height: int, *statuses: PlatformStatus) -> list[str]:
    """Return the lines of the table for the last of the statuses."""
    file = io.StringIO()
    view = TableView(Console(file=file, width=width, height=height, force_terminal=True, color_system=None))
    for one in statuses:
        view.show(one)
    file.seek(0)
    file.truncate()
    console = Console(file=file, width=width, height=height)
    console.print(view._rendered(statuses[-1]))
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("width", "height"), [(160, 50), (120, 40), (80, 24), (80, 50), (60, 16), (40, 10), (200, 100)]
)
def test_the_table_fits_its_terminal_and_shows_routes_and_prices(width: int, height: int) -> None:
    lines = shown(width, height, status())
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("running, up 12 s")
    text = "\n".join(lines)
    assert "coingecko" in text
    assert "latest prices in USD" in text or height < 12


@pytest.mark.parametrize(("width", "height"), [(160, 50), (80, 50)])
def test_where_there_is_room_every_agent_has_a_row(width: int, height: int) -> None:
    lines = shown(width, height, status())
    rows = {line.split()[0] for line in lines if line}
    assert set(NAMES) <= rows
    assert "for want of room" not in "\n".join(lines)


def test_a_small_terminal_shows_twenty_prices_and_only_the_agents_that_are_not_well() -> None:
    lines = shown(80, 24, status(agents=[agent("broker"), agent("database", state=State.FAILED), *map(agent, NAMES)]))
    text = "\n".join(lines)
    assert "database" in text
    assert "bookkeeper" not in text
    assert lines[1] == "14 agents not shown for want of room"
    assert sum(text.count(price.coin_id + " ") for price in PRICES) >= 20


def test_the_largest_coins_come_first_in_as_many_columns_as_fit() -> None:
    lines = shown(120, 40, status())
    first = next(line for line in lines if line.startswith("coin-1 "))
    assert first.split()[0::4][:3] == ["coin-1", "coin-10", "coin-19"]
    assert "75,000" in first
    assert "+0.00 %" in first


def test_a_degraded_agent_says_when_it_tries_again_and_why() -> None:
    lines = shown(120, 50, status(agents=TROUBLED))
    line = next(line for line in lines if line.startswith("coingecko "))
    assert re.search(r"degraded +next try in [\d.]+ s; unreachable: cannot reach https://api.example", line)
    assert lines[0].endswith("2 degraded")


def test_restarts_stuck_agents_and_incidents_are_seen() -> None:
    agents = [
        agent("stream", restarts=2, last_error="RuntimeError: a bug"),
        agent("database", busy_s=90.0),
    ]
    lost = Incident(NOW, "topics", "log_truncated", "prices", 0, 1, 3, "lost")
    text = "\n".join(shown(120, 50, status(agents=agents, incidents=[lost])))
    assert "2 restarts, 1 incident" in text
    assert "restarted after RuntimeError: a bug" in text
    assert "busy with one message for 1 min 30 s: stuck?" in text


def test_counters_that_are_zero_are_not_shown() -> None:
    text = "\n".join(shown(120, 50, status()))
    assert "1,200 records" in text
    assert "failed" not in text


def test_dead_letters_records_in_flight_and_the_rate_are_in_the_table_of_routes() -> None:
    later = status(uptime=22.0)
    later.routes[0].written += 1000
    lines = shown(120, 50, status(), later)
    head = next(line for line in lines if line.startswith("route"))
    (line,) = [line for line in lines if line.startswith("coingecko → stream")]
    assert head.split("  ")[-1].strip() == "records/s"
    assert line.split()[3:] == ["1,562", "2,500", "60", "1", "-999", "100"]


def test_at_the_end_the_rate_is_the_average_since_all_were_ready() -> None:
    ready, later, last = status(uptime=12.0), status(uptime=22.0), status(Phase.STOPPED, uptime=32.0)
    later.routes[0].written += 1000
    last.routes[0].written += 1200
    (line,) = [line for line in shown(120, 50, ready, later, last) if line.startswith("coingecko → stream")]
    assert line.split()[-1] == "60"


def test_a_look_at_everything_says_where_the_embedded_servers_are() -> None:
    servers = {"broker": "127.0.0.1:29092", "postgres": "postgresql://postgres@/postgres?host=/srv/run&port=5432"}
    lines = on_screen(status(servers=servers), 120, colour=False).splitlines()
    assert lines[-2:] == [f"{name} at {address}" for name, address in servers.items()]


def test_a_drain_says_what_it_waits_for_and_what_ctrl_c_does() -> None:
    assert shown(120, 50, status(Phase.DRAINING))[0].startswith("draining what is in flight, Ctrl-C stops at once, up")


def test_what_remains_at_the_end_is_the_account_and_no_list_of_stopped_agents() -> None:
    stopped = [agent(name, state=State.STOPPED) for name in NAMES]
    lines = shown(120, 50, status(Phase.STOPPED, agents=stopped))
    assert lines[0] == "stopped after 12 s"
    assert lines[-1] == "crypto_prices 1,500 rows, market_analytics 1 row"
    assert not any("bookkeeper" in line or "coin-1" in line for line in lines)


def test_a_terminal_that_has_gone_is_no_reason_to_fail() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    view = TableView(Console(file=Gone(), width=80, height=24, force_terminal=True))
    view.show(status())
    view.__exit__()


# Elsewhere


@pytest.fixture
def written() -> io.StringIO:
    """Return what the log writes for people."""
    stream = io.StringIO()
    configure_logs("console", "info", (), stream)
    return stream


def lines_of(written: io.StringIO, *statuses: PlatformStatus) -> Sequence[str]:
    view = LineView()
    for one in statuses:
        view.show(one)
    return [line.partition(" platform: ")[2] for line in written.getvalue().splitlines()]


def test_nothing_is_said_before_it_is_ready(written: io.StringIO) -> None:
    assert lines_of(written, status(Phase.STARTING, 0.0), status(Phase.STARTING, 7.0)) == []


def test_a_run_says_ready_then_how_it_goes_and_at_last_what_became_of_it(written: io.StringIO) -> None:
    route = "coingecko → stream 1,500 of 1,562 records, 60 already stored, 1 dead letter"
    tables = "crypto_prices 1,500 rows, market_analytics 1 row"
    stopped = [agent(name, state=State.STOPPED) for name in NAMES]
    assert lines_of(
        written,
        status(uptime=1.26),
        status(uptime=3.0),
        status(uptime=6.3),
        status(Phase.DRAINING, 7.0),
        status(Phase.DRAINING, 7.1),
        status(Phase.STOPPED, 7.5, agents=stopped),
    ) == [
        "ready in 1.3 s: 13 agents",
        f"{route}; {tables}; 25 coins such as coin-1 75,000, coin-2 9,375, coin-3 2,777.78 USD (simulator)",
        "draining: waiting for what is in flight; a signal now stops at once",
        f"stopped after 7.5 s; {route}; {tables}",
    ]


def test_a_line_comes_every_five_seconds_and_after_a_minute_once_a_minute(written: io.StringIO) -> None:
    lines = lines_of(written, *[status(uptime=float(second)) for second in range(1, 301)])
    assert len(lines) == 1 + len(range(6, 61, 5)) + len(range(61, 301, 60))


def test_agents_with_one_trouble_share_one_remark(written: io.StringIO) -> None:
    lines = lines_of(written, status(uptime=1.0), status(uptime=6.0, agents=[agent("stream"), *TROUBLED]))
    remark = lines[-1].rpartition("; ")[2]
    assert remark.startswith("coingecko and coingecko-http degraded, next try in ")
    assert remark.endswith(f" s ({OUTAGE.reason})")
