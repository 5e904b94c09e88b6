"""How long a command puts a request again: through an outage for so long, through a rate limit for as long as asked."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest

from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.system.cli.options import MOST_LIMITS, Patience

AWAY = Transient("database", "is away")
LIMITED = Transient("rate_limited", "has asked for a pause", retry_after=0.001)
WRONG = Permanent("bad_argument", "is no coin")


def answers(*errors: PlatformError) -> Callable[[], Result[str]]:
    """Return what fails in these ways, one after the other, and then succeeds."""
    left = iter(errors)
    return lambda: Failure(error) if (error := next(left, None)) else Success("done")


def test_an_outage_is_waited_out() -> None:
    assert Patience(60.0, Event()).ask(answers(AWAY)) == Success("done")


def test_without_patience_the_first_outage_is_the_answer() -> None:
    assert Patience(0.0, Event()).ask(answers(AWAY)) == Failure(AWAY)


def test_what_will_fail_again_is_not_put_again() -> None:
    assert Patience(60.0, Event()).ask(answers(WRONG)) == Failure(WRONG)


def test_a_rate_limit_is_no_outage_and_takes_no_patience() -> None:
    said: list[str] = []
    patience = Patience(0.0, Event(), lambda _, why: said.append(why))

    assert patience.ask(answers(LIMITED, LIMITED, LIMITED)) == Success("done")
    assert said == ["rate_limited: has asked for a pause"] * 3


def test_each_refusal_by_a_rate_limit_is_waited_for_longer() -> None:
    waits: list[float] = []
    Patience(0.0, Event(), lambda seconds, _: waits.append(seconds)).ask(answers(LIMITED, LIMITED, LIMITED))
    assert waits == pytest.approx([0.001, 0.002, 0.003])


def test_a_rate_limit_that_never_ends_is_given_up() -> None:
    assert Patience(0.0, Event()).ask(answers(*[LIMITED] * (MOST_LIMITS + 1))) == Failure(LIMITED)


def test_after_an_interruption_work_does_not_go_on() -> None:
    patience = Patience(60.0, Event())
    patience.go_on()
    patience.interrupted.set()
    with pytest.raises(Transient, match="interrupted: a signal came"):
        patience.go_on()


def test_an_interruption_ends_the_waiting() -> None:
    interrupted = Event()
    interrupted.set()
    long = Transient("throttled", "is used up", retry_after=3600.0)
    assert Patience(60.0, interrupted).ask(answers(long)) == Failure(long)
