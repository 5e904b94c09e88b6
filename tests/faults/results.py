"""The figures of runs: kept as JSON lines, shown as the table of README.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict

from tests.faults.registry import SCENARIOS, Figures

__all__ = ["append", "latest", "table"]

COLUMNS = ("records", "faults", "lost", "repeated", "dead_letters")
HEAD = ("fault", "promised", "shown by", "records", "faults", "lost", "repeated", "dead letters")


def append(file: Path, figures: Figures) -> None:
    """Add a run to a file of JSON lines, which is made where it is missing."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(figures)) + "\n")


def latest(file: Path) -> dict[str, dict[str, Any]]:
    """Return the last run of each scenario in a file."""
    runs = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    return {figures["scenario"]: figures for figures in runs}


def table(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the runs as a Markdown table, in the order of the scenarios."""
    return "\n".join([_row(HEAD), _row(["---"] * len(HEAD)), *map(_row, _rows(runs))])


def _rows(runs: Mapping[str, Mapping[str, Any]]) -> Iterable[list[str]]:
    for name, scenario in SCENARIOS.items():
        if name in runs:
            numbers = [f"{runs[name][column]:,}" for column in COLUMNS]
            yield [scenario.fault, scenario.promise, f"`{name}`", *numbers]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
