"""What is kept of the runs, and the table that the README shows of them."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve
from click.testing import CliRunner

from tests.faults.registry import Figures
from tests.faults.results import append, latest, table
from tests.faults.run import main
from tests.faults.scenarios import SCENARIOS

FIGURES = Figures(
    scenario="platform-killed",
    seed=1,
    seconds=60.0,
    records=200_000,
    poison=0,
    faults=20,
    dead_letters=0,
    lost=0,
    repeated=0,
    disordered=0,
    invented=0,
    letters_lost=0,
    letters_wrong=0,
    letters_repeated=0,
    lost_by_broker=0,
    unsound=0,
    injected={"SIGKILL of the platform": 20},
    notes={},
    wrong="",
)


def test_the_table_has_the_last_run_of_each_scenario(tmp_path: Path) -> None:
    file = tmp_path / "results"
    append(file, evolve(FIGURES, lost=7))
    append(file, FIGURES)
    append(file, evolve(FIGURES, scenario="network-cut", dead_letters=500))
    head, rule, *rows = table(latest(file)).splitlines()
    assert head.count("|") == rule.count("|") == 9
    assert len(rows) == 2
    assert rows[0].endswith("| `platform-killed` | 200,000 | 20 | 0 | 0 | 0 |")
    assert rows[1].endswith("| `network-cut` | 200,000 | 20 | 0 | 0 | 500 |")


def test_the_command_shows_every_scenario_with_its_promise() -> None:
    shown = CliRunner().invoke(main, ["--list"]).output
    for name, scenario in SCENARIOS.items():
        assert f"{scenario.fault}; {scenario.promise}" in next(
            line for line in shown.splitlines() if line.split()[0] == name
        )


def test_the_command_prints_the_table_of_earlier_runs(tmp_path: Path) -> None:
    file = tmp_path / "results"
    append(file, FIGURES)
    ran = CliRunner().invoke(main, ["--table", "--results", str(file)])
    assert (ran.exit_code, ran.output) == (0, table(latest(file)) + "\n")


def test_a_scenario_that_is_not_there_is_wrong_usage() -> None:
    ran = CliRunner().invoke(main, ["platform-kiled"])
    assert ran.exit_code == 2
    assert "no scenario is called 'platform-kiled'" in ran.output
