"""Waiting for something to be true, with a deadline, and saying what was awaited when it passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["until", "while_progress"]

T = TypeVar("T")
LOOK = 0.02  # seconds between looks
_never = threading.Event()


def until(found: Callable[[], T], what: str, timeout: float = 60.0) -> T:
    """Return the first true answer; raises `AssertionError` saying `what` did not happen in `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        _never.wait(LOOK)
    return answer


def while_progress(done: Callable[[], bool], progress: Callable[[], int], patience: float) -> bool:
    """Wait until it is done, for as long as there is progress at least every `patience` seconds; tell whether it is."""
    last, deadline = progress(), time.monotonic() + patience
    while not done():
        if (now := progress()) != last:
            last, deadline = now, time.monotonic() + patience
        elif time.monotonic() > deadline:
            return False
        _never.wait(LOOK * 10)
    return True
