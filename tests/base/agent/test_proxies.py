"""An agent used through a proxy: the same method, and no harm from a call that does not fit."""

from __future__ import annotations

import pytest
from pykka.messages import ProxyCall

from dataplatform.base.agent import Terminated
from dataplatform.errors import Transient
from dataplatform.result import Failure, Success
from tests.support.agents import DEADLINE, Do, Parent, Stage


def test_a_proxy_call_answers_what_the_method_returns(stage: Stage) -> None:
    assert stage.probe().proxy().double(21).get(timeout=DEADLINE) == Success(42)


def test_a_proxy_call_that_does_not_fit_raises_in_the_caller_and_harms_nobody(stage: Stage, parent: Parent) -> None:
    proxy = stage.probe().proxy()
    with pytest.raises(TypeError, match="missing a required argument: 'number'"):
        proxy.double()
    with pytest.raises(TypeError, match="unexpected keyword argument 'nummber'"):
        proxy.double(1, nummber=1)
    assert proxy.double(number=21).get(timeout=DEADLINE) == Success(42)
    assert not any(isinstance(message, Terminated) for message in parent.rest())


def test_a_deferred_proxy_call_that_does_not_fit_raises_in_the_caller_and_harms_nobody(stage: Stage) -> None:
    proxy = stage.probe().proxy()
    with pytest.raises(TypeError, match="too many positional arguments"):
        proxy.double.defer(1, 2)
    assert proxy.double(21).get(timeout=DEADLINE) == Success(42)


def test_a_call_of_a_method_that_does_not_exist_raises_in_the_caller_and_harms_nobody(stage: Stage) -> None:
    agent = stage.probe()
    with pytest.raises(AttributeError):
        agent.proxy().triple(1)
    with pytest.raises(AttributeError):
        agent.tell(ProxyCall(("triple",), (1,), {}))
    assert agent.proxy().double(21).get(timeout=DEADLINE) == Success(42)


def test_a_builtin_that_tells_no_signature_can_be_called(stage: Stage) -> None:
    agent = stage.probe()
    agent.ask(Do(lambda probe: setattr(probe, "biggest", max)), timeout=DEADLINE)
    assert agent.proxy().biggest(1, 2).get(timeout=DEADLINE) == 2


def test_a_type_error_inside_the_method_is_a_bug_of_the_agent(stage: Stage, parent: Parent) -> None:
    bug = TypeError("unsupported operand")
    with pytest.raises(TypeError):
        stage.probe().proxy().crash(bug).get(timeout=DEADLINE)
    assert parent.until_type(Terminated).failure is bug


def test_a_proxy_call_that_waits_while_a_stop_is_asked_for_is_refused(stage: Stage) -> None:
    gate = stage.gate()
    agent = stage.probe()
    proxy = agent.proxy()
    context = proxy.context.get(timeout=DEADLINE)
    agent.tell(Do(gate))
    answer = proxy.double(21)
    context.stopping.set()
    gate.open()
    assert answer.get(timeout=DEADLINE) == Failure(Transient("stopping", "agent is stopping"))
