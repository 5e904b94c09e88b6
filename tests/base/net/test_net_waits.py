"""The event loop on a thread of its own: every wait for it ends."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import anyio
import pytest

from dataplatform.base.net.waits import Interrupted, LoopThread, Overdue
from tests.support.waiting import DEADLINE


async def answer(number: int) -> int:
    return number


async def fail() -> None:
    raise ValueError("no")


def test_what_is_started_runs_on_a_thread_with_the_loop_s_name() -> None:
    async def thread() -> str:
        return threading.current_thread().name

    loop = LoopThread("line", threading.Event())
    assert loop.wait([loop.start(thread)], DEADLINE).result() == "line"
    assert loop.close(DEADLINE)


def test_an_exception_comes_out_of_the_future() -> None:
    loop = LoopThread("line", threading.Event())
    with pytest.raises(ValueError, match="no"):
        loop.wait([loop.start(fail)], DEADLINE).result()
    assert loop.close(DEADLINE)


def test_the_first_that_is_done_is_returned() -> None:
    loop = LoopThread("line", threading.Event())
    never = Future[int]()
    done = loop.start(answer, 2)
    assert loop.wait([never, done], DEADLINE) is done
    assert loop.close(DEADLINE)


def test_a_wait_ends_when_its_time_is_over() -> None:
    loop = LoopThread("line", threading.Event())
    with pytest.raises(Overdue):
        loop.wait([loop.start(anyio.sleep_forever)], 0.05)
    assert loop.close(DEADLINE)


def test_a_wait_ends_when_the_agent_stops() -> None:
    stopping = threading.Event()
    loop = LoopThread("line", stopping)
    waiting = loop.start(anyio.sleep_forever)
    threading.Timer(0.05, stopping.set).start()
    with pytest.raises(Interrupted):
        loop.wait([waiting], DEADLINE)
    assert loop.close(DEADLINE)


def test_closing_cancels_what_runs_and_ends_the_thread_and_may_be_done_twice() -> None:
    loop = LoopThread("a-line-to-close", threading.Event())
    running = loop.start(anyio.sleep_forever)
    assert loop.close(DEADLINE)
    assert running.cancelled()
    assert loop.close(DEADLINE)
    assert "a-line-to-close" not in {thread.name for thread in threading.enumerate()}


def test_a_loop_that_is_held_up_is_not_waited_for_beyond_the_time_given() -> None:
    release, held = threading.Event(), threading.Event()

    async def hold_up() -> None:
        with anyio.CancelScope(shield=True):
            held.set()
            await anyio.to_thread.run_sync(release.wait, DEADLINE)

    loop = LoopThread("line", threading.Event())
    loop.start(hold_up)
    assert held.wait(DEADLINE)
    assert not loop.close(0.05)
    release.set()


def test_a_loop_that_was_closed_starts_anew() -> None:
    loop = LoopThread("line", threading.Event())
    for number in range(2):
        assert loop.wait([loop.start(answer, number)], DEADLINE).result() == number
        assert loop.close(DEADLINE)
