"""Clients on a clock that stands still, and a server whose misbehaviour is scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataplatform.base.agent import Context, Future, GetStatus, ManualClock, Runtime, State
from dataplatform.base.http import Get, HttpClient, HttpSettings, Response
from dataplatform.result import Result
from tests.base.http.driven_client import Client, Nobody
from tests.base.http.scripted_server import ScriptedServer
from tests.support.waiting import DEADLINE


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def start(clock: ManualClock) -> Iterator[Callable[..., Client]]:
    """Start a client with the given settings; all of them are stopped at the end."""
    runtime, refs = Runtime.start(clock), []

    def start_client(**settings: object) -> Client:
        context = Context("http", runtime, Nobody())
        ref = HttpClient.start(context, HttpSettings(**{"attempts": 1, **settings}))  # type: ignore[arg-type]
        refs.append(ref)

        def ask(get: Get) -> Result[Response]:
            result: Result[Response] = ref.ask(get, block=True, timeout=DEADLINE)
            return result

        def status() -> State:
            ref.ask(GetStatus(), block=True, timeout=DEADLINE)  # in its turn, after all that was asked before
            return context.vitals.state

        def begin(get: Get) -> Future[Any]:
            answer: Future[Any] = ref.ask(get, block=False)  # type: ignore[assignment]  # its agents make ours
            return answer

        return Client(context, ask, lambda: ref.stop(timeout=DEADLINE), ref.tell, begin, status)

    yield start_client
    for ref in refs:
        ref.stop(timeout=DEADLINE)
    runtime.stop()
