"""Futures: waited for by a thread, awaited by an event loop, and of work that no agent does."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pykka
import pytest

from dataplatform.base.agent import Address, Agent, Context, Deferred, Future, Request, Timeout, later
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success
from tests.support.agents import DEADLINE, Stage, no_thread_left_behind


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


class Ask(Request[int]):
    """Answered when the agent is told to."""


class Tell:
    """Answer what was asked."""


class Oracle(Agent):
    """Answers when it is told to, and says when it was asked."""

    def __init__(self, context: Context, asked: threading.Event, answer: Result[int]) -> None:
        super().__init__(context)
        self._asked = asked
        self._answer_is = answer
        self._owing: list[Deferred[int]] = []

    def receive(self, message: Ask | Tell) -> Deferred[int] | None:
        if isinstance(message, Ask):
            self._owing.append(Deferred())
            self._asked.set()
            return self._owing[-1]
        for owed in self._owing:
            owed.settle(self._answer_is)
        return None


@pytest.fixture
def asked() -> threading.Event:
    return threading.Event()


def oracle(stage: Stage, asked: threading.Event, answer: Result[int] | None = None) -> Address:
    stage.start(Oracle, asked, answer or Success(42), name="oracle")
    return stage.runtime.directory.address("oracle")


def test_the_loop_goes_on_while_a_task_awaits_an_agent(stage: Stage, asked: threading.Event) -> None:
    address = oracle(stage, asked)

    async def run() -> tuple[Result[int], list[int]]:
        ticks: list[int] = []

        async def tick_then_tell() -> None:
            for number in range(10):
                await asyncio.sleep(0)
                ticks.append(number)
            address.tell(Tell())

        answer, _ = await asyncio.gather(_awaited(address.future(Ask())), tick_then_tell())
        return answer, ticks

    assert asyncio.run(run()) == (Success(42), list(range(10)))


async def _awaited(future: Future[Result[int]]) -> Result[int]:
    return await future


def test_an_answer_that_is_there_is_awaited_at_once_and_again(stage: Stage, asked: threading.Event) -> None:
    address = oracle(stage, asked)
    future = address.future(Ask())
    address.tell(Tell())
    assert future.get(DEADLINE) == Success(42)

    async def twice() -> list[Result[int]]:
        return [await future, await future]

    assert asyncio.run(twice()) == [Success(42), Success(42)]


def test_a_task_that_is_cancelled_drops_its_wait_and_nothing_else(stage: Stage, asked: threading.Event) -> None:
    address = oracle(stage, asked)

    async def give_up() -> Future[Result[int]]:
        future = address.future(Ask())
        task = asyncio.ensure_future(_awaited(future))
        await asyncio.to_thread(asked.wait, DEADLINE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_awaited(future), 0.01)
        return future

    future = asyncio.run(give_up())  # and the loop that awaited has ended before the answer comes
    address.tell(Tell())
    assert future.value(DEADLINE) == 42


def test_a_value_is_the_data_or_the_error_raised(stage: Stage, asked: threading.Event) -> None:
    refusal = Permanent("not_found", "nobody knows")
    address = oracle(stage, asked, Failure(refusal))
    future = address.future(Ask())
    address.tell(Tell())
    with pytest.raises(Permanent) as raised:
        future.value(DEADLINE)
    assert raised.value == refusal


def test_an_agent_that_died_or_never_was_is_awaited_as_a_failure(stage: Stage, asked: threading.Event) -> None:
    address = oracle(stage, asked)
    owed = address.future(Ask())
    assert asked.wait(DEADLINE)
    stage._started[-1][1].stop(timeout=DEADLINE)

    async def ask() -> list[Any]:
        return [await owed, await address.future(Ask()), await stage.runtime.directory.address("nobody").future(Ask())]

    assert [answer.error.code for answer in asyncio.run(ask())] == ["stopping", "absent", "absent"]


def test_what_an_agent_raises_is_raised_where_it_is_awaited(stage: Stage) -> None:
    async def crash() -> None:
        proxy: Any = stage.probe().proxy()
        await proxy.crash(ZeroDivisionError("planted"))

    with pytest.raises(ZeroDivisionError, match="planted"):
        asyncio.run(crash())


def test_a_future_made_of_another_is_awaited_too(stage: Stage) -> None:
    doubled: pykka.Future[Any] = stage.probe().proxy().double(4).map(lambda answer: answer.data + 1)

    async def run() -> Any:
        return await doubled

    assert asyncio.run(run()) == 9


def test_a_time_out_while_waiting_leaves_the_answer_to_come(stage: Stage, asked: threading.Event) -> None:
    address = oracle(stage, asked, Failure(Transient("busy", "later")))
    future = address.future(Ask())
    with pytest.raises(Timeout):
        future.get(0.01)
    address.tell(Tell())
    assert future.get(DEADLINE) == Failure(Transient("busy", "later"))
