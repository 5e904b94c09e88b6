"""Apache Kafka for tests: fetched once by scripts/kafka; where that cannot be, the test is skipped with the reason."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

__all__ = ["fetched_kafka", "kafka_home"]

SCRIPT = Path(__file__).parents[2] / "scripts" / "kafka"
FETCHING = 300.0  # seconds


@cache
def fetched_kafka() -> tuple[Path | None, str]:
    """Return the directory that `KAFKA_HOME` names, or None and why there is none; fetches it the first time."""
    ran = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=FETCHING, check=False)
    if ran.returncode != 0:
        return None, f"no Apache Kafka: {ran.stderr.strip().splitlines()[-1]}"
    return Path(ran.stdout.strip()), ""


def kafka_home() -> Path:
    """Return the directory that `KAFKA_HOME` names."""
    home, reason = fetched_kafka()
    if home is None:
        pytest.skip(reason)
    return home
