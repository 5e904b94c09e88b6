"""The status of a platform: one look, and every view of it says the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from dataplatform.base.agent import AgentStatus, Degraded, Incident, State
from dataplatform.dsl.flow import RouteAccount
from dataplatform.services.gateway.status import Overview, status_as_json
from dataplatform.services.service import Books, Phase, PlatformStatus, PlatformView
from dataplatform.system.console.view import LineView
from dataplatform.system.platform.report import make_report

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROUTE = RouteAccount("coingecko", "database", read=10, written=6, already_stored=2, dead_lettered=1)
INCIDENT = Incident(NOW, "topics.consumer", "gap", "prices", 0, 10, 15, "the topic lost its tail")


def agent(name: str, state: State = State.RUNNING, **changed: Any) -> AgentStatus:
    plain = AgentStatus(name, "source", state, NOW, 0, 1, 0.0, 0, None, None, {})
    return evolve(plain, **changed)


def status(*agents: AgentStatus, phase: Phase = Phase.RUNNING) -> PlatformStatus:
    return PlatformStatus(phase, 12.3456, agents, [ROUTE], Books({"crypto_prices": 6}), [INCIDENT])


def overview(one: PlatformStatus) -> Overview:
    return Overview(PlatformView(status=lambda: one, dead_letters="database", data_dir=Path(), stop=lambda: None))


def test_a_status_stays_as_it_was_whatever_is_counted_later() -> None:
    books = Books({"crypto_prices": 6})
    before = PlatformStatus(Phase.RUNNING, 1.0, [], [], books, [])
    books.tables = {"crypto_prices": 7}
    assert before.books.tables == {"crypto_prices": 6}
    assert overview(before).status().rows == {"crypto_prices": 6}


@pytest.mark.parametrize(
    ("phase", "state", "degraded", "is_troubled"),
    [
        (Phase.STARTING, State.STARTING, False, False),
        (Phase.RUNNING, State.STARTING, False, True),
        (Phase.RUNNING, State.RUNNING, False, False),
        (Phase.RUNNING, State.RUNNING, True, True),
        (Phase.RUNNING, State.PAUSED, False, True),
        (Phase.STARTING, State.FAILED, False, True),
    ],
)
def test_ai_agents_and_log_lines_are_told_of_the_same_troubles(
    logs: list[Any], phase: Phase, state: State, *, degraded: bool, is_troubled: bool
) -> None:
    outage = Degraded("cannot reach it", NOW) if degraded else None
    one = status(agent("coingecko", state, degraded=outage), agent("database"), phase=phase)
    names = [agent.name for agent in one.troubled]
    assert names == (["coingecko"] if is_troubled else [])
    asked = overview(one).status()
    assert (asked.well, list(asked.troubled)) == (not is_troubled, names)
    view = LineView()
    view.show(one)
    view.show(evolve(one, uptime=1_000.0))
    if phase is Phase.RUNNING:
        assert list(logs[-1]["troubled"]) == names


def test_status_and_report_hold_the_same_account() -> None:
    one = status(agent("coingecko", last_error="boom", restarts=2))
    shown, report = status_as_json(one), make_report(one, "signal", "SIGTERM")
    assert list(shown)[:3] == ["phase", "servers", "version"]
    assert list(report)[:4] == ["version", "outcome", "reason", "uptime_s"]
    common = shown.keys() & report.keys()
    assert common == {"version", "uptime_s", "agents", "routes", "tables", "topics", "incidents"}
    assert {key: shown[key] for key in common} == {key: report[key] for key in common}
    assert shown["agents"] == [
        {"name": "coingecko", "kind": "source", "state": "running", "restarts": 2, "last_error": "boom", "counters": {}}
    ]
    assert shown["routes"][0]["records_read"] == 10
    assert shown["incidents"][0]["records"] == 5


def test_what_ai_agents_ask_is_answered_out_of_the_one_status() -> None:
    behind = agent("topics.consumer", counters={"lag": 7})
    asked = overview(status(behind))
    assert (asked.lag().messages_behind, asked.lag().records_in_flight) == (7, 1)
    letters = asked.dead_letters()
    assert (letters.kept_by, letters.total, [one.kind for one in letters.incidents]) == ("database", 1, ["gap"])
