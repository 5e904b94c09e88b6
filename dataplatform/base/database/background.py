"""Work in a database on a thread of its own, as long as it takes, while its agent answers and can stop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeAlias, TypeVar

import psycopg2
from attrs import define, field
from psycopg2.extensions import connection

from dataplatform.base.agent import Agent
from dataplatform.result import Result

__all__ = ["BackgroundWork", "Outcome", "result_of"]

CLOSE_TIMEOUT = 0.15  # seconds that work may take to end once its connections are broken

T = TypeVar("T")
Outcome: TypeAlias = Result[T] | Exception  # an exception is a bug


@define(eq=False)
class BackgroundWork(Generic[T]):
    """One piece of work. `work` calls what it is given with each connection it opens, so that these can be broken.

    The agent is told how it ended, by the message that `ended` makes of the outcome.
    """

    _agent: Agent
    _work: Callable[[Callable[[connection], None]], Result[T]]
    _ended: Callable[[Outcome[T]], object]
    _given_up: threading.Event = field(factory=threading.Event, init=False)
    _connections: list[connection] = field(factory=list, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"{self._agent.name}-work", daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        """Break its connections, so that the server takes back what was not committed, and the thread ends."""
        self._given_up.set()
        for opened in self._connections:
            _break(opened)
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT)

    def _run(self) -> None:
        outcome: Outcome[T]
        try:
            outcome = self._work(self._opened)
        except Exception as bug:  # noqa: BLE001  raised again in the agent's thread
            outcome = bug
        # by the scheduler, for which it is no error that the agent has stopped by now
        self._agent.context.runtime.scheduler.after(0.0, self._agent.actor_ref, self._ended(outcome))

    def _opened(self, opened: connection) -> None:
        self._connections.append(opened)
        if self._given_up.is_set():
            _break(opened)


def result_of(outcome: Outcome[T]) -> Result[T]:
    """Return the result of work that ended; raises a bug again, in the thread of the agent."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _break(opened: connection) -> None:
    """Shut a connection down under the thread that waits in it; to close it would wait for that thread."""
    if opened.closed:
        return
    with suppress(psycopg2.Error, OSError), socket.fromfd(opened.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.shutdown(socket.SHUT_RDWR)
