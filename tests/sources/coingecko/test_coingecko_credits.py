"""The credits of a paid key are seen in the status, and the client slows down before they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from dataplatform.base.agent import ManualClock
from dataplatform.base.http import HttpSettings
from dataplatform.dsl.proxy import ReaderProxy
from dataplatform.result import Failure
from dataplatform.simulator import Simulator, SimulatorSettings
from dataplatform.sources.coingecko.credits import EVERY, SLOWEST, Credits, allowed_per_minute
from tests.base.http.scripted_server import Act, ScriptedServer, answer
from tests.sources.coingecko.transports import NOON, clocked, over, rest
from tests.support.solo import PATIENCE, Solo
from tests.support.waiting import until

KEY: dict[str, Any] = {"api_key": "CG-abcdef123456", "api_key_header": "x-cg-pro-api-key"}
FEW = 1_939  # credits, one for each 10 minutes that are left of May


def key(left: object, month: object = 100_000) -> Act:
    return answer(200, {"monthly_call_credit": month, "current_remaining_monthly_calls": left})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def clocked_agents() -> Iterator[tuple[Solo, ManualClock]]:
    with clocked() as both:
        yield both


def counters(agents: Solo, name: str = "reader") -> dict[str, int]:
    status = agents.runtime.directory.status(name)
    assert status is not None
    return status.counters


def code(reader: ReaderProxy) -> str:
    answered = reader.get_market_analytics().get(timeout=PATIENCE)
    assert isinstance(answered, Failure)  # the server knows no market
    return answered.error.code


@pytest.mark.parametrize(
    ("left", "now", "pace"),
    [
        (10_000, datetime(2026, 5, 18, tzinfo=UTC), None),
        (100_000, datetime(2026, 5, 18, tzinfo=UTC), None),
        (9_999, datetime(2026, 5, 25, tzinfo=UTC), 9_999 / (7 * 1440)),
        (1_440, datetime(2026, 2, 28, tzinfo=UTC), 1.0),
        (1_440, datetime(2026, 12, 31, tzinfo=UTC), 1.0),
        (0, datetime(2026, 5, 18, tzinfo=UTC), SLOWEST),
        (-7, datetime(2026, 5, 18, tzinfo=UTC), SLOWEST),
    ],
)
def test_the_last_tenth_of_the_credits_is_spread_over_the_rest_of_the_month(
    left: float, now: datetime, pace: float | None
) -> None:
    assert allowed_per_minute(Credits(100_000, left), now) == (None if pace is None else pytest.approx(pace))


def test_credits_are_counters_of_the_source_and_few_of_them_slow_the_client_down(
    server: ScriptedServer, clocked_agents: tuple[Solo, ManualClock]
) -> None:
    agents, _ = clocked_agents
    server.script.append(key(FEW))
    reader = over(agents, "reader", HttpSettings(base_url=server.url, **KEY))
    until(lambda: "credits_left" in counters(agents), "a look at the credits")
    assert (counters(agents)["credits_left"], counters(agents)["credits_a_month"]) == (FEW, 100_000)
    assert code(reader) == "changed_shape"
    answered = reader.get_market_analytics().get(timeout=PATIENCE)
    assert isinstance(answered, Failure)
    pace = allowed_per_minute(Credits(100_000, FEW), NOON)
    assert answered.error.message == f"{pace:g} requests a minute to {server.url} are used up"
    assert server.paths == ["/key", "/global"]


def test_the_credits_are_looked_at_again_and_the_pace_is_what_they_allow_then(
    server: ScriptedServer, clocked_agents: tuple[Solo, ManualClock]
) -> None:
    agents, clock = clocked_agents
    server.script.extend([key(FEW), key(50_000)])
    reader = over(agents, "reader", HttpSettings(base_url=server.url, **KEY))
    until(lambda: counters(agents).get("credits_left") == FEW, "a look at the credits")
    look_again(agents, clock)
    until(lambda: counters(agents).get("credits_left") == 50_000, "another look")
    assert [code(reader) for _ in range(3)] == ["changed_shape"] * 3


@pytest.mark.parametrize("act", [answer(404), answer(500), answer(200, "{"), key(None), key("many")])
def test_a_key_that_cannot_be_asked_about_changes_nothing(
    server: ScriptedServer, clocked_agents: tuple[Solo, ManualClock], act: Act
) -> None:
    agents, clock = clocked_agents
    server.script.extend([act, key(70_000)])
    over(agents, "reader", HttpSettings(base_url=server.url, attempts=1, **KEY))
    until(lambda: server.paths == ["/key"], "a look at the credits")
    for name in ("reader", "reader-client"):
        status = agents.runtime.directory.status(name)
        assert status is not None
        assert status.degraded is None
    look_again(agents, clock)
    until(lambda: counters(agents).get("credits_left") == 70_000, "another look")


def look_again(agents: Solo, clock: ManualClock) -> None:
    """Let the time come for the next look, once that is waited for."""
    waiting = agents.runtime.scheduler._heap
    until(lambda: any(due == clock.monotonic() + EVERY for due, _, _ in list(waiting)), "the next look is due some day")
    clock.advance(EVERY)


def test_nobody_asks_about_a_key_that_is_not_of_a_paid_plan(
    server: ScriptedServer, clocked_agents: tuple[Solo, ManualClock]
) -> None:
    agents, clock = clocked_agents
    reader = over(agents, "reader", HttpSettings(base_url=server.url, api_key="CG-abcdef123456"))
    assert code(reader) == "changed_shape"
    clock.advance(EVERY)
    assert code(reader) == "changed_shape"
    assert server.paths == ["/global", "/global"]


def test_the_simulator_tells_the_credits_of_a_paid_key_and_refuses_others() -> None:
    with Simulator(SimulatorSettings(now=lambda: NOON)) as simulator, clocked() as (agents, _):
        over(agents, "reader", rest(simulator, **KEY))
        until(lambda: counters(agents).get("credits_left") == 500_000, "a look at the credits")
        refused = requests.get(f"{simulator.base_url}/key", timeout=PATIENCE)
        assert (refused.status_code, refused.json()["status"]["error_code"]) == (401, 10002)
