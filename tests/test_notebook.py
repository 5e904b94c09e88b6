"""What a notebook shows of answers, rows and a platform's status: IPython asks each value for its HTML."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from dataplatform.base.agent import Future, later
from dataplatform.base.agent import futures as futures_module
from dataplatform.base.agent.messages import AgentStatus, Degraded, State
from dataplatform.base.database import Rows
from dataplatform.dsl.flow import RouteAccount
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.services.service import Books, Phase, PlatformStatus
from tests.dsl.records import price
from tests.support.agents import DEADLINE

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def html() -> Callable[[Any], str]:
    """Return what a kernel's IPython sends to a notebook for a value."""
    formatters = pytest.importorskip("IPython.core.formatters", reason="IPython is not installed")
    formatter = formatters.DisplayFormatter()

    def shown(value: Any) -> str:
        data, _ = formatter.format(value)
        return str(data["text/html"])

    return shown


def test_records_are_a_table_of_the_fields_that_any_of_them_has(html: Callable[[Any], str]) -> None:
    shown = html(Success([price("bitcoin", name="Bitcoin"), price("ethereum")]))
    assert shown.startswith("<table><thead><tr><th>coin_id</th>")
    assert "<td>Bitcoin</td>" in shown
    assert "<td>ethereum</td>" in shown
    assert "<th>market_cap</th>" not in shown


def test_one_record_is_a_line_a_field(html: Callable[[Any], str]) -> None:
    assert "<tr><td>coin_id</td><td>bitcoin</td></tr>" in html(Success(price("bitcoin")))


def test_a_failure_says_what_happened_and_what_to_do(html: Callable[[Any], str]) -> None:
    shown = html(Failure(Permanent("not_found", "no coin <b>", remedy="see get_available_tickers")))
    assert shown == "<p><b>not_found</b>: no coin &lt;b&gt;</p><p>→ see get_available_tickers</p>"


def test_notes_stand_below_their_answer(html: Callable[[Any], str]) -> None:
    assert html(Success(None, notes=("a row was left out: <x>",))) == (
        "<p>done</p><p>note: a row was left out: &lt;x&gt;</p>"
    )


def test_rows_are_a_table_in_which_nothing_is_markup_and_the_rest_is_counted(html: Callable[[Any], str]) -> None:
    shown = html(Success(Rows(("n", "<at>"), [(1, SINCE), *[(2, "<script>")] * 1_050])))
    assert "<th>n</th><th>&lt;at&gt;</th>" in shown
    assert "<td>1</td><td>2026-01-01 00:00:00</td>" in shown
    assert "<script>" not in shown
    assert shown.endswith("<p>… 1,001 more rows</p>")
    assert html(Rows(("n",), [])).endswith("<p>no rows</p>")


def test_a_status_is_a_table_of_agents_and_one_of_routes(html: Callable[[Any], str]) -> None:
    outage = Degraded("unreachable: nobody listens", SINCE, None)
    agent = AgentStatus("db", "client", State.RUNNING, SINCE, 2, 7, 0.0, 0, outage, outage.reason, {})
    route = RouteAccount("coingecko", "timescale", read=12, written=12)
    shown = html(PlatformStatus(Phase.RUNNING, 61.0, [agent], [route], Books(), []))
    assert shown.startswith("<p><b>running</b> for 61 s, 0 incidents</p>")
    assert "<td>db</td><td>client</td><td>degraded</td><td>2</td><td>unreachable: nobody listens</td>" in shown
    assert "<td>coingecko</td><td>timescale</td><td>12</td>" in shown


def test_a_future_is_shown_as_its_answer(html: Callable[[Any], str]) -> None:
    answer: Future[Result[list[str]]] = later(lambda: Success(["bitcoin", "ethereum"]), "answering")
    assert html(answer) == "<p>bitcoin, ethereum</p>"
    failing: Future[Result[list[str]]] = later(lambda: Failure(Transient("busy", "later", retry_after=2.0)), "failing")
    assert html(failing) == "<p><b>busy</b>: later</p><p>→ try again in 2 s</p>"


def test_of_a_future_without_an_answer_a_notebook_says_that(
    html: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(futures_module, "SHOWN_WITHIN", 0.01)
    answer: Future[Result[int]] = Future()
    assert "show the same future again" in html(answer)
    answer.set(Success(42))
    assert html(answer) == "<p>42</p>"
    assert answer.value(DEADLINE) == 42
