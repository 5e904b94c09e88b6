"""An HTTP client as its tests see it: what it answers, and what it shows of itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from attrs import frozen

from dataplatform.base.agent import Context, Future, State
from dataplatform.base.agent.messages import Vitals
from dataplatform.base.http import Get, Response, SetBudget
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success


class Nobody:
    """A parent that does not care."""

    def tell(self, message: object) -> None:
        """Drop the message."""


@frozen
class Client:
    """A running client, seen from outside."""

    context: Context
    ask: Callable[[Get], Result[Response]]
    stop: Callable[[], object]
    tell: Callable[[SetBudget], None]
    begin: Callable[[Get], Future[Any]]
    status: Callable[[], State]

    @property
    def vitals(self) -> Vitals:
        return self.context.vitals

    def get(self, path: str = "/", *params: tuple[str, str], of_route: bool = False) -> Response:
        result = self.ask(Get(path, params, of_route=of_route))
        assert isinstance(result, Success), result
        return result.data

    def fail(self, path: str = "/", *params: tuple[str, str]) -> PlatformError:
        result = self.ask(Get(path, params))
        assert isinstance(result, Failure), result
        return result.error


def thread_called(name: str) -> threading.Thread:
    return next(thread for thread in threading.enumerate() if thread.name == name)
