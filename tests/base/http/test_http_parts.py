"""The token bucket, the errands, and what may be shown."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplatform.base.agent import ManualClock
from dataplatform.base.http import Response
from dataplatform.base.http.rate import TokenBucket
from dataplatform.base.net.shown import excerpt, shown_text, shown_url
from dataplatform.base.net.waits import BoundedCalls, Busy, Interrupted, Overdue
from dataplatform.errors import Permanent, Transient
from tests.base.http.driven_client import thread_called
from tests.support.waiting import DEADLINE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# Answers


def answered(body: bytes) -> Response:
    return Response(200, body, {}, "https://api.example/coins", EPOCH)


def test_the_json_of_an_answer_has_the_type_that_is_asked_for() -> None:
    assert answered(b'{"at": "1970-01-01T00:00:00Z"}').json(dict[str, datetime]) == {"at": EPOCH}
    assert answered(b'{"at": 0}').json(dict[str, datetime], strict=False) == {"at": EPOCH}


@pytest.mark.parametrize("body", [b'{"at": 0}', b'{"at": null}', b"[]"])
def test_json_of_another_shape_is_refused_with_the_server_and_the_place(body: bytes) -> None:
    with pytest.raises(
        Permanent, match=r"changed_shape: the answer of https://api.example/coins .* Expected"
    ) as refused:
        answered(body).json(dict[str, datetime])
    assert refused.value.code == "changed_shape"


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"at": ', b'"\xff"', b"[" * 100_000], ids=range(5))
def test_what_is_no_json_may_be_some_another_time(body: bytes) -> None:
    with pytest.raises(Transient, match="no JSON"):
        answered(body).json(list[str])


# Token bucket


@given(
    st.floats(0.01, 100_000), st.integers(1, 50), st.lists(st.floats(0.0, 600.0, allow_subnormal=False), max_size=50)
)
def test_no_more_tokens_are_given_than_the_rate_and_the_burst_allow(
    per_minute: float, burst: int, pauses: list[float]
) -> None:
    clock = ManualClock()
    bucket, taken = TokenBucket(clock, per_minute, burst), 0
    for pause in pauses:
        clock.advance(pause)
        while taken < 1000 and bucket.take():
            taken += 1
    assert taken <= burst + clock.monotonic() * per_minute / 60 + 1e-6


@given(st.floats(0.01, 100_000), st.integers(1, 5))
def test_after_the_wait_there_is_a_token(per_minute: float, burst: int) -> None:
    clock = ManualClock()
    bucket = TokenBucket(clock, per_minute, burst)
    for _ in range(20):
        clock.advance(bucket.wait())
        assert bucket.take()


# BoundedCalls


@pytest.fixture
def errands() -> BoundedCalls[int]:
    return BoundedCalls("errands", threading.Event())


def test_an_errand_brings_back_what_the_call_returns_or_raises(errands: BoundedCalls[int]) -> None:
    assert errands.run(lambda: 1, seconds=5.0) == 1
    with pytest.raises(ZeroDivisionError):
        errands.run(lambda: 1 // 0, seconds=5.0)
    assert errands.run(lambda: 2, seconds=5.0) == 2


def test_an_overdue_errand_keeps_the_next_from_running_until_it_ends(errands: BoundedCalls[int]) -> None:
    go_on = threading.Event()
    with pytest.raises(Overdue):
        errands.run(lambda: int(go_on.wait(DEADLINE)), seconds=0.01)
    with pytest.raises(Busy):
        errands.run(lambda: 2, seconds=5.0)
    thread = thread_called("errands")
    go_on.set()
    thread.join(DEADLINE)
    assert errands.run(lambda: 3, seconds=5.0) == 3


def test_an_errand_is_not_waited_for_when_a_stop_is_asked_for(errands: BoundedCalls[int]) -> None:
    go_on = threading.Event()

    def stop_and_go_on() -> int:
        errands.stopping.set()
        return int(go_on.wait(DEADLINE))

    with pytest.raises(Interrupted):
        errands.run(stop_and_go_on, seconds=60.0)
    go_on.set()


def test_no_errand_begins_after_a_stop_was_asked_for(errands: BoundedCalls[int]) -> None:
    begun: list[int] = []

    def begin() -> int:
        begun.append(1)
        return 1

    errands.stopping.set()
    with pytest.raises(Interrupted):
        errands.run(begin, seconds=60.0)
    assert begun == []


# What may be shown


@given(st.text(), st.text(min_size=1))
def test_what_is_shown_is_one_short_printable_line(text: str, secret: str) -> None:
    shown = shown_text(text, [secret])
    assert len(shown) <= 300
    assert shown.isprintable()


@given(st.binary())
def test_of_any_body_something_can_be_shown(body: bytes) -> None:
    assert excerpt(body).isprintable()


def test_a_secret_is_masked_before_the_text_is_cut() -> None:
    assert "SECRET" not in shown_text("x" * 290 + "SECRET-SECRET", ["SECRET-SECRET"])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a:b@h:1/p#f", "https://h:1/p"),
        ("https://h/p?ids=a%2Cb&page=", "https://h/p?ids=a,b&page="),
        ("https://h/p?x_cg_demo_api_key=k&access_token=t", "https://h/p?x_cg_demo_api_key=***&access_token=***"),
        ("https://h/p/k%2F1%20?q=k/1+", "https://h/p/***?q=***"),
    ],
)
def test_a_url_is_shown_without_what_is_private(url: str, shown: str) -> None:
    assert shown_url(url, ["k/1 "]) == shown
