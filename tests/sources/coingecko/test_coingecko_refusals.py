"""What CoinGecko refuses one caller is that caller's affair; what it refuses everybody is shown at the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataplatform.base.agent import Future
from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, get_data
from dataplatform.simulator import Fault, Simulator, SimulatorSettings
from dataplatform.sources.coingecko.plans import PRICING
from tests.base.http.scripted_server import ScriptedServer, answer
from tests.sources.coingecko.transports import NOON, clocked, over, rest
from tests.support.solo import PATIENCE, Solo

Question = Callable[[ReaderProxy], Future[Result[Any]]]
OHLC = "/coins/bitcoin/ohlc"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(seed=7, now=lambda: NOON)) as running:
        yield running


@pytest.fixture(params=["rest", "static", "code"])
def settings(request: pytest.FixtureRequest, simulator: Simulator) -> Iterator[HttpSettings | McpSettings]:
    yield rest(simulator) if request.param == "rest" else McpSettings(url=simulator.mcp_url(request.param))
    simulator.clear_faults()


def outage(agents: Solo) -> str | None:
    """Why the client is degraded, if it is."""
    status = agents.runtime.directory.status("reader-client")
    assert status is not None
    return status.degraded.reason if status.degraded else None


def candles(reader: ReaderProxy) -> Future[Result[Any]]:
    return reader.get_current_ohlcv("bitcoin")


OF_THE_QUESTION: dict[str, tuple[Question, Fault | None, str]] = {
    "too long ago": (lambda reader: reader.get_price_history("bitcoin", 400), None, "paid_plan"),
    "unknown coin": (lambda reader: reader.get_price_history("tulip", 1), None, "not_found"),
    "not found": (candles, Fault("not_found", path=OHLC), "not_found"),
    "failed over it": (candles, Fault("server_error", path=OHLC), "server_error"),
}
OF_THE_SERVER = {
    "key refused": (Fault("unauthorized"), "unauthorized"),
    "unavailable": (Fault("server_error", status=503), "server_error"),
    "bad gateway": (Fault("server_error", status=502), "server_error"),
    "too many requests": (Fault("rate_limited"), "rate_limited"),
    "kept away": (Fault("html", status=403), "blocked"),
}


@pytest.mark.parametrize(("question", "fault", "code"), OF_THE_QUESTION.values(), ids=OF_THE_QUESTION)
def test_a_refusal_of_one_question_degrades_no_client_over_any_transport(
    simulator: Simulator, settings: HttpSettings | McpSettings, question: Question, fault: Fault | None, code: str
) -> None:
    with clocked() as (agents, _):
        reader = over(agents, "reader", settings)
        if fault is not None:
            simulator.inject(fault)
        answered = question(reader).get(timeout=PATIENCE)
        assert isinstance(answered, Failure)
        assert answered.error.code == code
        assert outage(agents) is None
        assert get_data(reader.get_current_price("ethereum").get(timeout=PATIENCE)).coin_id == "ethereum"


@pytest.mark.parametrize(("fault", "code"), OF_THE_SERVER.values(), ids=OF_THE_SERVER)
def test_a_refusal_of_everybody_is_shown_at_the_client_over_every_transport(
    simulator: Simulator, settings: HttpSettings | McpSettings, fault: Fault, code: str
) -> None:
    with clocked() as (agents, clock):
        reader = over(agents, "reader", settings)
        simulator.inject(fault)
        assert isinstance(candles(reader).get(timeout=PATIENCE), Failure)
        assert (outage(agents) or "").startswith(code)
        simulator.clear_faults()
        clock.advance(3600.0)
        get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE))
        assert outage(agents) is None


def test_a_refusal_of_the_plan_says_what_the_plan_gives_and_where_there_are_others(
    settings: HttpSettings | McpSettings,
) -> None:
    with clocked() as (agents, _):
        answered = over(agents, "reader", settings).get_price_history("bitcoin", 400).get(timeout=PATIENCE)
    assert isinstance(answered, Failure)
    assert "past 365 days" in answered.error.message
    assert answered.error.remedy == f"ask for the last 365 days; older data needs a paid plan: {PRICING}"
    assert "API key" not in answered.error.remedy


@pytest.mark.parametrize(
    ("status", "body", "code", "remedy", "is_outage"),
    [
        (401, {"status": {"error_code": 10005}}, "paid_plan", "paid plan", False),
        (403, {"status": {"error_code": 10005}}, "paid_plan", "paid plan", False),
        (401, {"error": {"status": {"error_code": 10012}}}, "paid_plan", "365 days", False),
        (400, {"error_code": 10010, "status": {}}, "unauthorized", "https://pro-api.coingecko.com/api/v3", True),
        (400, {"error_code": 10011, "status": {}}, "unauthorized", "https://api.coingecko.com/api/v3", True),
        (401, {"status": {"error_code": 10002}}, "unauthorized", "API key", True),
    ],
)
def test_each_of_coingecko_s_codes_has_its_meaning(
    status: int, body: object, code: str, remedy: str, *, is_outage: bool
) -> None:
    server = ScriptedServer(answer(status, body))
    with clocked() as (agents, _):
        reader = over(agents, "reader", HttpSettings(base_url=server.url))
        answered = candles(reader).get(timeout=PATIENCE)
        assert isinstance(answered, Failure)
        assert (type(answered.error), answered.error.code) == (Permanent, code)
        assert remedy in answered.error.remedy
        assert (outage(agents) is not None) is is_outage
    server.close()
