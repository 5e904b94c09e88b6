"""Many callers, slow sources and crashes: everybody gets an answer, and learns when to try again."""

from __future__ import annotations

import json
import queue
import threading
import time
from typing import Any

import pytest
from mcp.server.subscriptions import ResourceUpdated
from mcp.types import ResourceUpdatedNotification, TextResourceContents

from dataplatform.sources.coingecko import transforms
from tests.services.gateway.mcp.served import PATIENCE, Served, Session, error_of
from tests.support.waiting import until

SLOW = 30.0  # seconds that a slow answer of the simulator would take; the tests let it go sooner
ANALYTICS, PRICE = "get_market_analytics", {"coinId": "bitcoin"}


def test_a_hundred_calls_at_once_are_all_answered(session: Session) -> None:
    calls = [session.begin("get_current_price", PRICE) for _ in range(100)]
    answers = [call.result(PATIENCE) for call in calls]
    assert [answer.is_error for answer in answers] == [False] * 100
    assert {answer.structured_content["result"]["coinId"] for answer in answers} == {"bitcoin"}


def test_a_slow_operation_reports_progress_and_holds_up_no_other(served: Served, session: Session) -> None:
    told = threading.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert (total, message) == (10.0, f"{ANALYTICS} is waiting for its answer")
        assert 0 < progress <= 10
        told.set()

    session.tools()
    served.inject(kind="slow", path="/global", delay=SLOW)
    slow = session.begin(ANALYTICS, progress=hear)
    assert told.wait(PATIENCE)
    for _ in range(5):
        session.answer("get_current_price", PRICE)
    assert not slow.done()
    served.heal()
    assert not slow.result(PATIENCE).is_error


@pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.long)])
def test_a_call_that_its_client_gives_up_is_cancelled_and_others_go_on(
    served: Served, logs: list[Any], mode: str
) -> None:
    told = threading.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.set()

    with served.connected(mode=mode) as session:
        session.tools()
        served.inject(kind="slow", path="/global", delay=SLOW)
        call = session.begin(ANALYTICS, progress=hear)
        assert told.wait(PATIENCE)
        call.cancel()
        session.answer("get_current_price", PRICE)
        until(lambda: any(line.get("outcome") == "cancelled" for line in logs), "the call is cancelled")
        session.answer("list_sources")


def test_an_operation_that_crashes_in_mid_call_is_a_clear_error_and_the_next_call_is_answered(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes = iter([RuntimeError("a secret of the inside")])
    whole = transforms.markets

    def crash_once(answers: Any) -> Any:
        if bug := next(crashes, None):
            raise bug
        return whole(answers)

    session.tools()
    monkeypatch.setattr(transforms, "markets", crash_once)
    code, text = error_of(session.call("get_current_price", PRICE))
    assert code == "bug"
    assert text == "bug: coingecko has a bug in this operation (RuntimeError). See the log, and report it."
    assert session.answer("get_current_price", PRICE)["result"]["coinId"] == "bitcoin"


def test_an_outage_of_the_source_is_told_with_the_time_to_wait_after_which_there_are_answers_again(
    served: Served, session: Session
) -> None:
    session.tools()
    served.inject(kind="rate_limited", path="/coins/markets", times=1, retry_after=1)
    code, text = error_of(session.call("get_current_price", PRICE))
    assert code == "rate_limited"
    assert "Try again in 1 s." in text
    deadline = time.monotonic() + PATIENCE
    while session.call("get_current_price", PRICE).is_error:
        assert time.monotonic() < deadline, "the pause does not end"


def test_a_change_of_a_price_reaches_a_subscriber(served: Served) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def listen(client: Any) -> None:
        async with client.listen(resource_subscriptions=["price://bitcoin"]) as events:
            async for event in events:
                assert isinstance(event, ResourceUpdated)
                heard.put(event.uri)

    with served.connected() as session:
        session.answer("get_current_price", PRICE)
        listening = session.portal.start_task_soon(listen, session.client)
        hears_of_a_change(served, session, heard, "bitcoin")
        listening.cancel()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed")  # in the newest protocol
def test_a_session_of_the_older_protocol_hears_of_what_it_subscribed_to_until_it_has_enough(served: Served) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def hear(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            heard.put(str(message.params.uri))

    with served.connected(mode="legacy", hear=hear) as session:
        client = session.client.session
        session.portal.call(client.subscribe_resource, "price://ethereum")
        hears_of_a_change(served, session, heard, "ethereum")
        session.portal.call(client.unsubscribe_resource, "price://ethereum")
        session.portal.call(client.subscribe_resource, "price://bitcoin")
        while heard.get(timeout=PATIENCE) != "price://bitcoin":
            pass


def hears_of_a_change(served: Served, session: Session, heard: queue.SimpleQueue[str], coin: str) -> None:
    """Wait for the simulator to change a price, and for a notice upon which another price is read."""
    assert heard.get(timeout=PATIENCE) == f"price://{coin}"  # of a first change: from now on it is watched
    before = served.simulated_price(coin)
    until(lambda: served.simulated_price(coin) != before, "the simulator changes the price")
    while True:
        heard.get(timeout=PATIENCE)  # perhaps of a change before
        (content,) = session.portal.call(session.client.read_resource, f"price://{coin}").contents
        assert isinstance(content, TextResourceContents)
        if json.loads(content.text)["usdPrice"] != before:
            return


def test_a_price_that_is_watched_is_read_once_for_all_who_ask(served: Served, session: Session) -> None:
    session.portal.call(session.client.read_resource, "price://solana")
    asked = served.asked()
    for _ in range(20):
        session.portal.call(session.client.read_resource, "price://solana")
    assert served.asked() - asked < 20


def test_subscribing_to_what_is_no_price_is_refused(session: Session) -> None:
    async def listen(uri: str) -> None:
        async with session.client.listen(resource_subscriptions=[uri]):
            pass

    for uri in ("platform://topology", "price://../../etc", "price://"):
        with pytest.raises(Exception, match=r"no price|no coin id"):
            session.portal.call(listen, uri)
