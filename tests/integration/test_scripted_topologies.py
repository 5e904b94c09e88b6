"""The scripts in scripts/topologies, run as their readers run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

SCRIPTS = Path(__file__).parents[2] / "scripts" / "topologies"
PATIENCE = 100.0  # seconds; each takes five on a machine of its own
LONGEST = 60


def demo(script: str) -> list[str]:
    """Return the lines that a script prints, which ends well and says nothing else."""
    command = [sys.executable, str(SCRIPTS / script), "--demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda script: script.name)
def test_a_script_can_be_read_at_one_sitting_and_says_how_it_is_run(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < LONGEST
    assert f"`python scripts/topologies/{script.name} --demo`" in text


def test_a_source_written_in_a_script_fills_a_table() -> None:
    rows = demo("own_source.py")
    assert [row.split("'")[1] for row in rows] == ["bitcoin", "ethereum", "solana"]
    assert all(row.endswith("'simulator')") for row in rows)


def test_a_watcher_written_in_a_script_alerts_when_a_price_moves() -> None:
    alerts = demo("watcher.py")
    assert len(alerts) >= 5
    moves = [
        re.fullmatch(r"\d\d:\d\d:\d\d (bitcoin|ethereum|solana) ([+-]\d+\.\d{3}) %: [\d,.]+ USD", it) for it in alerts
    ]
    assert all(move and abs(float(move[2])) >= 0.001 for move in moves)


@pytest.mark.long
def test_one_source_fans_out_to_three_targets_which_all_get_everything() -> None:
    routes = [
        re.fullmatch(r"coingecko -> (\w+): (\d+) read, (\d+) written, 0 dead letters", it) for it in demo("fan_out.py")
    ]
    accounts = [route.groups() for route in routes if route]
    assert [target for target, _, _ in accounts] == ["table", "log", "topic"]
    assert all(int(read) == int(written) >= 100 for _, read, written in accounts)
    assert len({read for _, read, _ in accounts}) == 1


@pytest.mark.long
def test_several_processes_share_a_topic_and_write_each_record_exactly_once() -> None:
    *processes, stored = demo("processes.py")
    shares = [re.fullmatch(r"process (\d): crypto-prices/(\d), (\d+) rows written", it) for it in processes]
    written = [share.groups() for share in shares if share]
    assert sorted(process for process, _, _ in written) == ["0", "1", "2"]
    assert sorted(partition for _, partition, _ in written) == ["0", "1", "2"]
    assert stored == "10000 prices produced: 10000 rows, 10000 of them different"


@pytest.mark.long
def test_an_agent_s_session_corrects_a_slip_by_what_the_error_says() -> None:
    tools, *transcript = demo("agent_session.py")
    assert re.match(r"\d+ tools: list_sources status ", tools)
    asked, answered = transcript[::2], transcript[1::2]
    assert [line.split(" ")[1] for line in asked] == [
        *("get_current_prices", "get_current_price", "get_current_price", "status", "read"),
    ]
    assert [line[0] for line in answered] == ["<", "!", "<", "<", "<"]
    assert "Did you mean 'bitcoin'" in answered[1]
