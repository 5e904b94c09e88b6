"""Futures of work that no agent does: a thread of its own, and the same future as an agent's answer has."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import pykka

__all__ = ["later"]

T = TypeVar("T")


def later(work: Callable[[], T], name: str) -> pykka.Future[T]:
    """Begin the work in a thread of that name; what it raises is raised by the future's `get`.

    >>> later(lambda: 6 * 7, "multiplying").get(timeout=5)
    42
    """
    answer: pykka.ThreadingFuture[T] = pykka.ThreadingFuture()

    def run() -> None:
        try:
            answer.set(work())
        except BaseException:  # noqa: BLE001  the future carries it to whoever asks
            answer.set_exception(sys.exc_info())

    threading.Thread(target=run, name=name, daemon=True).start()
    return answer
