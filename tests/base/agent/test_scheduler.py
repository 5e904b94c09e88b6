"""One thread tells messages at due times, on a clock that may be owned by a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import inf
from types import SimpleNamespace

import pykka
import pytest

from dataplatform.base.agent import ManualClock, Scheduler, SystemClock
from dataplatform.base.agent.runtime import FEW
from tests.support.agents import DEADLINE, Parent, Told, fail, no_thread_left_behind


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def scheduler(clock: ManualClock) -> Iterator[Scheduler]:
    with no_thread_left_behind():
        scheduler = Scheduler(clock)
        scheduler.start()
        yield scheduler
        scheduler.stop()


def test_messages_are_told_in_the_order_of_their_times(scheduler: Scheduler, clock: ManualClock) -> None:
    told = Parent()
    for seconds in (3.0, 1.0, 2.0):
        scheduler.after(seconds, told, seconds)
    clock.advance(3.0)
    assert [told.next() for _ in range(3)] == [1.0, 2.0, 3.0]


def test_messages_of_one_time_are_told_in_the_order_they_were_set(scheduler: Scheduler, clock: ManualClock) -> None:
    told = Parent()
    for number in range(5):
        scheduler.after(1.0, told, number)
    clock.advance(1.0)
    assert [told.next() for _ in range(5)] == [0, 1, 2, 3, 4]


def test_no_message_is_told_before_its_time(scheduler: Scheduler, clock: ManualClock) -> None:
    told = Parent()
    scheduler.after(2.0, told, "late")
    scheduler.after(1.0, told, "soon")
    clock.advance(1.0)
    assert told.next() == "soon"
    assert told.rest() == []
    clock.advance(1.0)
    assert told.next() == "late"


def test_a_time_that_has_passed_already_is_now(scheduler: Scheduler) -> None:
    told = Parent()
    scheduler.after(-1.0, told, "now")
    assert told.next() == "now"


def test_timers_set_before_the_start_are_told(clock: ManualClock) -> None:
    told, scheduler = Parent(), Scheduler(clock)
    scheduler.after(1.0, told, "set early")
    scheduler.start()
    clock.advance(1.0)
    assert told.next() == "set early"
    scheduler.stop()


def test_a_cancelled_timer_is_not_told(scheduler: Scheduler, clock: ManualClock) -> None:
    told = Parent()
    scheduler.after(1.0, told, "cancelled").cancel()
    scheduler.after(1.0, told, "kept")
    clock.advance(1.0)
    assert told.next() == "kept"


def test_cancelled_timers_do_not_pile_up(scheduler: Scheduler, clock: ManualClock) -> None:
    told = Parent()
    kept = [scheduler.after(3600.0, told, number) for number in range(FEW)]
    for _ in range(50 * FEW):
        scheduler.after(1800.0, told, "answered in time").cancel()
    assert len(scheduler._heap) <= 2 * len(kept) + 1
    clock.advance(3600.0)
    assert [told.next() for _ in kept] == list(range(FEW))


def test_a_recipient_that_died_by_then_is_no_error(scheduler: Scheduler) -> None:
    class Dead:
        def tell(self, message: object, /) -> None:
            raise pykka.ActorDeadError

    told = Parent()
    scheduler.after(0.0, Dead(), "nobody hears")
    scheduler.after(0.0, told, "time goes on")
    assert told.next() == "time goes on"


def test_a_recipient_with_a_bug_does_not_stop_the_time_of_the_others(
    scheduler: Scheduler, logs: list[dict[str, object]]
) -> None:
    class Buggy:
        def tell(self, message: object, /) -> None:
            raise ValueError("boom")

    told = Parent()
    scheduler.after(0.0, Buggy(), "hello")
    scheduler.after(0.0, told, "time goes on")
    assert told.next() == "time goes on"
    assert [(log["event"], log["message"]) for log in logs] == [("timer not told", "hello")]


def test_a_stopped_scheduler_tells_no_more(clock: ManualClock) -> None:
    with no_thread_left_behind():
        told, scheduler = Parent(), Scheduler(clock)
        scheduler.start()
        scheduler.after(1.0, told, "never")
        scheduler.stop()
        clock.advance(1.0)
    assert told.rest() == []


class FailingClock(ManualClock):
    """A clock that fails the first time that it is waited on."""

    failed = False

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        if not self.failed:
            self.failed = True
            raise MemoryError
        super().wait(condition, seconds)


def test_time_goes_on_although_the_clock_has_failed() -> None:
    clock, told = FailingClock(), Parent()
    scheduler = Scheduler(clock)
    scheduler.start()
    scheduler.after(1.0, told, "now")
    clock.advance(1.0)
    assert told.next() == "now"
    scheduler.stop()


def test_and_although_a_recipient_wants_the_thread_to_end(clock: ManualClock) -> None:
    told, scheduler = Parent(), Scheduler(clock)
    scheduler.start()
    scheduler.after(1.0, SimpleNamespace(tell=fail(SystemExit())), "never told")
    scheduler.after(1.0, told, "told")
    clock.advance(1.0)
    assert told.next() == "told"
    scheduler.stop()


def test_a_scheduler_that_was_never_started_can_be_stopped(clock: ManualClock) -> None:
    Scheduler(clock).stop()


def test_the_machines_clock_wakes_the_scheduler_in_time() -> None:
    told, scheduler, clock = Parent(), Scheduler(SystemClock()), SystemClock()
    scheduler.start()
    since = clock.monotonic()
    scheduler.after(60.0, told, "later")
    scheduler.after(0.02, told, "now")
    assert told.next() == "now"
    assert 0.02 <= clock.monotonic() - since < DEADLINE
    scheduler.stop()


def test_a_time_that_never_comes_is_waited_for() -> None:
    told, scheduler = Parent(), Scheduler(SystemClock())
    scheduler.start()
    scheduler.after(inf, told, "never")
    scheduler.after(0.0, told, "now")
    assert told.next() == "now"
    scheduler.stop()


def test_the_machines_time_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_a_manual_clock_stands_still_until_it_is_moved(clock: ManualClock) -> None:
    assert (clock.now(), clock.monotonic()) == (datetime(2026, 1, 1, tzinfo=UTC), 0.0)
    clock.advance(90.5)
    assert (clock.now(), clock.monotonic()) == (datetime(2026, 1, 1, 0, 1, 30, 500_000, tzinfo=UTC), 90.5)


def test_who_waits_on_a_manual_clock_for_the_first_time_looks_at_the_time_again(clock: ManualClock) -> None:
    condition, woken = threading.Condition(), Told[str]()

    def wait() -> None:
        with condition:
            clock.wait(condition, 5.0)  # the clock might have moved just before: it returns at once
            woken.tell("looked again")
            clock.wait(condition, 5.0)
            woken.tell("time moved")

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    assert woken.next() == "looked again"
    clock.advance(5.0)
    assert woken.next() == "time moved"
    waiter.join(DEADLINE)
