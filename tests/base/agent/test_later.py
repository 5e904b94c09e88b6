"""Futures of work that no agent does."""

from __future__ import annotations

import threading

import pytest

from dataplatform.base.agent import Timeout, later
from tests.support.agents import DEADLINE, no_thread_left_behind


def test_the_work_is_done_in_another_thread_and_its_answer_kept() -> None:
    with no_thread_left_behind():
        name = later(lambda: threading.current_thread().name, "elsewhere")
        assert [name.get(timeout=DEADLINE), name.get(timeout=DEADLINE)] == ["elsewhere", "elsewhere"]


def test_what_the_work_raises_is_raised_by_get() -> None:
    with no_thread_left_behind(), pytest.raises(ZeroDivisionError):
        later(lambda: 1 // 0, "failing").get(timeout=DEADLINE)


def test_get_waits_no_longer_than_it_was_told() -> None:
    go_on = threading.Event()
    with no_thread_left_behind():
        slow = later(lambda: go_on.wait(DEADLINE), "waiting")
        with pytest.raises(Timeout):
            slow.get(timeout=0.01)
        go_on.set()
        assert slow.get(timeout=DEADLINE) is True
