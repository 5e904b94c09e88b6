"""A pause outlives the incarnation of the source that was paused."""

from __future__ import annotations

import time

from dataplatform.base.agent import State
from dataplatform.base.agent.supervisor import RestartChild, StartDue
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.result import Success
from tests.dsl.flows import SOURCE, Flow, running
from tests.dsl.scripts import Log
from tests.support.agents import DEADLINE

COINS = [f"coin-{number}" for number in range(10)]


class Boom:
    """No message of any agent: who gets it crashes over `assert_never`."""


def come_back_as(flow: Flow, state: State, incarnation: int) -> None:
    """Wait until this incarnation of the source is in the state."""
    due = time.monotonic() + DEADLINE
    while (flow.status(SOURCE).restarts, flow.status(SOURCE).state) != (incarnation - 1, state):
        assert time.monotonic() < due, flow.status(SOURCE)
        flow.stage.settle()


def test_a_paused_source_that_crashes_comes_back_paused_and_loses_nothing(flow: Flow) -> None:
    log = Log()
    flow.start(log, "table")
    source = flow.stage.runtime.directory.address(SOURCE)
    source.ask(Pause(), DEADLINE)
    log.coin_ids += COINS
    source.tell(Boom())
    flow.wait_for(StartDue)
    come_back_as(flow, State.PAUSED, 2)
    flow.quiet()
    assert flow.store("table").coins == []
    assert source.ask(Resume(), DEADLINE) == Success(None)
    flow.in_time(lambda: flow.account("table").written == len(COINS))
    assert flow.store("table").coins == COINS


def test_a_paused_source_that_is_restarted_is_paused_still(flow: Flow) -> None:
    flow.start(Log(coin_ids=COINS), "table")
    source = flow.stage.runtime.directory.address(SOURCE)
    source.ask(Pause(), DEADLINE)
    flow.stage.runtime.directory.address("root").ask(RestartChild(SOURCE), DEADLINE)
    come_back_as(flow, State.PAUSED, 2)


def test_a_source_that_was_resumed_comes_back_running(flow: Flow) -> None:
    flow.start(Log(coin_ids=COINS), "table")
    source = flow.stage.runtime.directory.address(SOURCE)
    source.ask(Pause(), DEADLINE)
    source.ask(Resume(), DEADLINE)
    source.tell(Boom())
    flow.wait_for(StartDue)
    running(flow.stage, SOURCE, 2)
    flow.in_time(lambda: set(flow.store("table").coins) == set(COINS))  # some twice, if they were read before the crash
