"""A proxy's `ask` takes its agent's requests and no others: what does not fit never reaches the agent."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field

from dataplatform.base.agent import Future, GetStatus, Request
from dataplatform.base.database import Query
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.operations.operations import Flush, GetAvailableTickers, GetCurrentPrices
from dataplatform.dsl.operations.proxy import AgentProxy, Proxy, ReaderProxy, WriterProxy
from dataplatform.result import Failure, Result, Success


@define(eq=False)
class Known:
    """An address that notes what reaches it."""

    name: str = "agent"
    asked: list[Any] = field(factory=list)

    def ask(self, request: Request[Any], timeout: float) -> Result[Any]:
        self.asked.append((request, timeout))
        return Success("answered")

    def future(self, request: Request[Any]) -> Future[Result[Any]]:
        raise AssertionError(request)


READING, WRITING = [GetCurrentPrices(["bitcoin"]), GetAvailableTickers(), Pause(), Resume()], [Flush()]


@pytest.mark.parametrize(("proxy", "fitting"), [(ReaderProxy, READING), (WriterProxy, WRITING)])
def test_ask_puts_the_requests_of_the_agent(proxy: type[Any], fitting: list[Request[Any]]) -> None:
    known = Known()
    for request in [*fitting, GetStatus()]:
        assert proxy(known).ask(request, 3.0) == Success("answered")
    assert known.asked == [(request, 3.0) for request in [*fitting, GetStatus()]]


@pytest.mark.parametrize(("proxy", "foreign"), [(ReaderProxy, WRITING), (WriterProxy, READING)])
def test_another_agent_s_request_is_unsupported_and_never_sent(proxy: type[Any], foreign: list[Request[Any]]) -> None:
    known = Known()
    for request in [*foreign, Query("SELECT 1")]:
        answer = proxy(known).ask(request)
        assert isinstance(answer, Failure)
        error = answer.error
        assert (error.code, error.message) == ("unsupported", f"agent does not take {type(request).__name__}")
    assert known.asked == []


@pytest.mark.parametrize("proxy", [ReaderProxy, WriterProxy, AgentProxy])
@pytest.mark.parametrize(
    ("garbage", "named"), [(None, "NoneType"), ("get_current_prices", "str"), (Flush, "the class Flush")]
)
def test_what_is_no_request_is_refused_in_the_caller_s_thread(proxy: type[Any], garbage: object, named: str) -> None:
    known = Known()
    with pytest.raises(TypeError, match=f"not {named}"):
        proxy(known).ask(garbage)
    assert known.asked == []


def test_a_call_that_does_not_fit_an_operation_is_refused_in_the_caller_s_thread() -> None:
    known = Known()
    reader: Any = ReaderProxy(known)
    writer: Any = WriterProxy(known)
    for call in (
        reader.get_current_prices,
        lambda: reader.get_current_price("bitcoin", "usd", "eur"),
        lambda: reader.get_price_history("bitcoin", 7, currency="usd"),
        writer.publish_prices,
    ):
        with pytest.raises(TypeError):
            call()
    assert known.asked == []


def test_an_agent_of_another_kind_judges_its_requests_itself() -> None:
    answer: Result[Any] = AgentProxy(Known()).ask(Query("SELECT 1"))
    assert answer == Success("answered")
    assert not issubclass(AgentProxy, ReaderProxy | WriterProxy)
    assert issubclass(AgentProxy, Proxy)
