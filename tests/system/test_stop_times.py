"""A stop is promised within 10 s: what every agent may take in it adds up to less, whatever does not answer."""

from __future__ import annotations

from collections import defaultdict

from dataplatform.base.embedded.process import FORCED, ORDERLY
from dataplatform.system.platform.assembly import STAGES
from dataplatform.system.platform.root import LAST_RESORT, STOP_TIMEOUT

PROMISE = 10.0  # seconds


def test_the_stages_of_a_stop_one_after_the_other_take_less_than_the_stop_may() -> None:
    longest: dict[int, float] = defaultdict(float)
    for stage in STAGES.values():
        longest[stage.number] = max(longest[stage.number], stage.drain + stage.stop)
    assert sum(longest.values()) < STOP_TIMEOUT
    assert STOP_TIMEOUT + LAST_RESORT < PROMISE


def test_a_server_that_does_not_end_by_itself_is_ended_within_its_stage() -> None:
    assert STAGES["server"].stop > ORDERLY + FORCED
