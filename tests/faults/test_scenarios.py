"""Whatever dies, is cut, or is refused: no record is lost, none is repeated, and each key's stay in order.

The figures are added to the file that DATAPLATFORM_FAULTS names, where it does, as `scripts/faults --results` does it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.registry import run
from tests.faults.results import append
from tests.faults.scenarios import SCENARIOS
from tests.faults.servers import Servers, Unfit

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
SEED = 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_record_is_accounted_for_once_and_in_order(name: str, servers: Servers) -> None:
    scenario = SCENARIOS[name]
    try:
        figures = run(scenario, servers, SEED)
    except Unfit as reason:
        pytest.skip(str(reason))
    if file := os.environ.get("DATAPLATFORM_FAULTS"):
        append(Path(file), figures)
    assert figures.wrong == ""
    assert figures.records >= scenario.scale.records * (1 - 2 * scenario.poison)
    assert figures.faults >= max(1, scenario.scale.faults)
