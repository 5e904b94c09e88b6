"""Agents without a supervisor: started by name in a runtime of their own, asked through typed proxies."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from dataplatform.base.agent import Address, Agent, Clock, Context, Entry, Runtime
from dataplatform.result import Failure, Result
from tests.support.waiting import DEADLINE

__all__ = ["Solo", "failure", "solo"]

PATIENCE = DEADLINE


class Ear:
    """Stands in a supervisor's place and remembers what it is told."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def tell(self, message: object, /) -> None:
        self._told.put(message)

    def told(self, kind: type[Any], name: str) -> bool:
        """Wait until an agent told such a message."""
        while True:
            message = self._told.get(timeout=PATIENCE)
            if isinstance(message, kind) and message.name == name:
                return True


@define(eq=False)
class Solo:
    """Agents by name, stopped in reverse order."""

    runtime: Runtime
    parent: Ear = field(factory=Ear)
    _names: list[str] = field(factory=list)

    def start(self, name: str, cls: type[Agent], *args: Any) -> Address:
        context = Context(name, self.runtime, self.parent)
        entry = Entry(cls.kind, 1, context.vitals)
        self.runtime.directory.enter(name, entry)
        entry.ref = cls.start(context, *args)
        self._names.append(name)
        return self.runtime.directory.address(name)

    def stop(self) -> None:
        for name in reversed(self._names):
            entry = self.runtime.directory.entry(name)
            if entry is not None and entry.ref is not None:
                entry.ref.stop(block=False)
                assert entry.gone.wait(PATIENCE)
        self.runtime.stop()


@contextmanager
def solo(clock: Clock | None = None) -> Iterator[Solo]:
    agents = Solo(Runtime.start(clock))
    yield agents
    agents.stop()


def failure(result: Result[Any]) -> str:
    """Return the failure's code, and fail for a success."""
    assert isinstance(result, Failure), result
    return result.error.code
