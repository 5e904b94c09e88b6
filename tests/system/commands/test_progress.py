"""How far a command has come: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from dataplatform.system.console.logs import configure_logs
from dataplatform.system.console.progress import Bar, Lines, log_level, progress

HERE = {"width": 100, "_environ": {"TERM": "xterm-256color"}}


def test_a_terminal_gets_a_bar_that_counts_what_is_done() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, **HERE)  # type: ignore[arg-type]  # of both keywords
    with progress(console) as shown:
        shown.begin("looking", total=3)
        shown.begin("filling", total=7)
        shown.advance(5, "filling bitcoin")

    assert isinstance(shown, Bar)
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "filling bitcoin" in drawn
    assert "5/7" in drawn
    assert log_level(console) == "warning"


def test_a_file_gets_lines() -> None:
    log = io.StringIO()
    configure_logs("console", log_level(Console(file=io.StringIO())), (), log)
    with progress(Console(file=io.StringIO())) as shown:
        shown.begin("filling", total=7)
        shown.advance(5)
        shown.say("waiting: rate_limited")

    assert isinstance(shown, Lines)
    assert [line.partition("command: ")[2] for line in log.getvalue().splitlines()] == [
        "filling (total=7)",
        "waiting: rate_limited (done=5, total=7)",
    ]
