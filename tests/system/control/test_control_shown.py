"""How values look at a prompt."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import frozen

from dataplatform.base.agent import Future, later
from dataplatform.base.database import Rows
from dataplatform.dsl.records.queries import BatchPublishResult
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.system.console import shown
from dataplatform.system.console.shown import on_screen
from tests.dsl.records import price
from tests.support.agents import no_thread_left_behind

WIDTH = 100


def lines(value: object, width: int = WIDTH) -> list[str]:
    return on_screen(value, width, colour=False).splitlines()


def test_records_are_a_table_of_the_fields_that_any_of_them_has() -> None:
    head, first, second, *_ = lines(
        Success([price("bitcoin", name="Bitcoin"), price("ethereum", usd_price=0.00001234)])
    )
    assert head.split()[:5] == ["coin_id", "symbol", "name", "exchange_id", "usd_price"]
    assert first.split() == ["bitcoin", "btc", "Bitcoin", "aggregate", "77,000", "2026-01-01", "12:00:00", "test"]
    assert second.split()[3] == "1.234e-05"
    assert "market_cap" not in head


def test_no_line_is_wider_than_the_terminal_and_what_has_no_room_is_named() -> None:
    shown = lines(Success([price("bitcoin", name="Bitcoin")]), width=40)
    assert all(len(line) <= 40 for line in shown)
    assert "no room for usd_price, last_updated" in " ".join(shown)


def test_many_records_are_cut_and_counted() -> None:
    shown = lines(Success([price(f"coin-{number}") for number in range(120)]))
    assert len(shown) == 1 + 50 + 1
    assert shown[-1].startswith("… 70 more lines")


def test_rows_are_a_table_whose_last_column_has_the_rest_of_the_line() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    head, row = lines(Success(Rows(("n", "at", "text"), [(1, when, "x" * 200)])))
    assert head.split() == ["n", "at", "text"]
    assert row.startswith("1  2026-01-01 00:00:00  xxx")
    assert row.endswith("x…")
    assert len(row) == WIDTH


def test_an_answer_without_rows_says_so() -> None:
    assert lines(Success(Rows(("n",), []))) == ["n", "no rows"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Success(None), ["done"]),
        (Success([]), ["none"]),
        (Success(["bitcoin", "ethereum"]), ["bitcoin, ethereum"]),
        (Success(BatchPublishResult("database", 2)), ["target     database", "published  2", "refused    -"]),
        (Permanent("not_found", "no such coin"), ["not_found: no such coin"]),
        (Failure(Permanent("not_found", "no such coin", remedy="see x")), ["not_found: no such coin", "→ see x"]),
        (Failure(Transient("rate_limited", "429", retry_after=30.0)), ["rate_limited: 429", "→ try again in 30 s"]),
        (ValueError("no"), ["ValueError: no"]),
    ],
    ids=repr,
)
def test_what_is_no_table_is_said_in_words(value: object, said: list[str]) -> None:
    assert lines(value) == said


def test_a_message_is_shown_as_it_stands_whatever_marks_are_in_it() -> None:
    assert lines(Failure(Permanent("x", "[red]not[/red] [markup]"))) == ["x: [red]not[/red] [markup]"]


def test_control_characters_in_data_do_not_reach_the_terminal() -> None:
    shown = on_screen(Success(Rows(("text",), [("\x1b[2J\x07evil\n",)])), WIDTH, colour=False)
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_a_future_shows_its_answer() -> None:
    with no_thread_left_behind():
        answer: Future[Result[list[str]]] = later(lambda: Success(["bitcoin"]), "answering")
        assert lines(answer) == ["bitcoin"]


def test_a_future_without_an_answer_says_how_long_was_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "SHOWN_WITHIN", 0.01)
    assert lines(Future[object]())[0] == "timeout: no answer in 0.01 s"


def test_a_bug_of_the_agent_is_said_in_one_line() -> None:
    with no_thread_left_behind():
        assert lines(later(lambda: 1 // 0, "failing")) == [
            "crashed: the agent crashed: ZeroDivisionError: integer division or modulo by zero",
            "→ see the log",
        ]


def test_a_value_of_any_class_is_shown_field_by_field() -> None:
    @frozen
    class Thing:
        name: str
        parts: tuple[int, ...]

    assert lines(Success(Thing("a", (1, 2)))) == ["name   a", "parts  1, 2"]


def test_notes_stand_below_the_answer() -> None:
    shown = lines(Success([price("bitcoin")], ("'tulip' was left out:\nits symbol is null",)))
    assert shown[-1] == "note: 'tulip' was left out: its symbol is null"
    assert shown[1].startswith("bitcoin")
