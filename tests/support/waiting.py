"""How long tests wait for what must come: long enough for a machine loaded ten times over, and no test fails sooner."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["DEADLINE", "SHORT", "until"]

T = TypeVar("T")
DEADLINE = 60.0  # seconds of real time; nothing waits that long when all is well
SHORT = 2.0  # seconds: for time-outs that tests wait out, and within which what they do not wait out must come
LOOK = 0.01  # seconds between looks
_never = threading.Event()


def until(found: Callable[[], T], what: str, timeout: float = DEADLINE) -> T:
    """Return the first true answer; raises `AssertionError` saying `what` did not happen in `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        _never.wait(LOOK)
    return answer
