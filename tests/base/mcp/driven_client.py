"""An MCP client as its tests see it: what it answers, and what it shows of itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from dataplatform.base.agent import Context, Request, Terminated
from dataplatform.base.agent.messages import Vitals
from dataplatform.base.mcp import CallTool, ToolAnswer
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success
from tests.support.waiting import DEADLINE

T = TypeVar("T")
MARK = f"test-run-{os.getpid()}"  # of this process, in the command line of every server of this run
STDIO_SERVER = Path(__file__).with_name("stdio_server.py")


class Parent:
    """A parent that waits for a death."""

    def __init__(self) -> None:
        self.deaths: list[Terminated] = []
        self.bereaved = threading.Event()

    def tell(self, message: object) -> None:
        if isinstance(message, Terminated):
            self.deaths.append(message)
            self.bereaved.set()


@frozen
class Client:
    """A running client, seen from outside."""

    context: Context
    send: Callable[[Request[Any]], Result[Any]]
    end: Callable[[], object]
    parent: Parent

    @property
    def vitals(self) -> Vitals:
        return self.context.vitals

    @property
    def degraded(self) -> str | None:
        """Why it is degraded, if it is."""
        outage = self.context.vitals.degraded
        return outage.reason if outage else None

    def ask(self, request: Request[T]) -> T:
        result: Result[T] = self.send(request)
        assert isinstance(result, Success), result
        return result.data

    def fail(self, request: Request[Any]) -> PlatformError:
        result = self.send(request)
        assert isinstance(result, Failure), result
        return result.error

    def call(self, name: str = "call", **arguments: Any) -> ToolAnswer:
        return self.ask(CallTool(name, arguments))

    def stop(self) -> Terminated:
        """Stop as a supervisor does, and wait until the clean-up is over."""
        self.context.stopping.set()
        self.end()
        assert self.parent.bereaved.wait(DEADLINE)
        return self.parent.deaths[0]


def odd(*words: str) -> dict[str, Any]:
    """Settings for the server that misbehaves as the words say."""
    return {"transport": "stdio", "command": sys.executable, "args": ("-I", "-S", str(STDIO_SERVER), MARK, *words)}
