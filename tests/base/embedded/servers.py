"""What stands around an embedded server in a test: a supervisor's part, peers, and an inbox with a deadline."""

from __future__ import annotations

import os
import queue
import select
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pykka
from attrs import define, field

from dataplatform.base.agent import AgentStatus, ChildSpec, Context, Entry, Ready, Runtime, State, Terminated
from tests.support.waiting import DEADLINE

T = TypeVar("T")


class Inbox:
    """Stands where an agent would: keeps what it is told, and waits for it with a deadline."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def tell(self, message: Any) -> None:
        self._told.put(message)

    def next(self, kind: type[T], timeout: float = DEADLINE, where: Callable[[T], bool] = lambda _: True) -> T:
        deadline = time.monotonic() + timeout
        while True:
            message = self._told.get(timeout=max(0.0, deadline - time.monotonic()))
            if isinstance(message, kind) and where(message):
                return message

    def is_empty(self) -> bool:
        return self._told.empty()


@define(eq=False)
class Running:
    """One incarnation of an agent under test."""

    name: str
    context: Context
    ref: pykka.ActorRef[Any]
    parent: Inbox

    def ready(self) -> None:
        self.parent.next(Ready)

    def stop(self) -> Terminated:
        self.ref.stop(block=False)
        return self.parent.next(Terminated)

    def died(self) -> BaseException | None:
        return self.parent.next(Terminated).failure

    @property
    def status(self) -> AgentStatus:
        status = self.context.runtime.directory.status(self.name)
        assert status is not None
        return status


@define(eq=False)
class House:
    """Starts agents as a supervisor would, and stops what a test leaves running."""

    runtime: Runtime
    _running: list[Running] = field(factory=list)

    def start(self, spec: ChildSpec) -> Running:
        parent = Inbox()
        context = Context(spec.name, self.runtime, parent)
        entry = Entry(spec.kind, 1, context.vitals)
        self.runtime.directory.enter(spec.name, entry)
        entry.ref = spec.factory(context)
        running = Running(spec.name, context, entry.ref, parent)
        self._running.append(running)
        return running

    def peer(self, name: str) -> Inbox:
        """Enter an inbox into the directory, to be met by an agent as a peer."""
        inbox, context = Inbox(), Context(name, self.runtime, Inbox())
        entry = Entry("client", 1, context.vitals)
        entry.ref = inbox  # type: ignore[assignment]
        self.runtime.directory.enter(name, entry)
        return inbox

    def close(self) -> None:
        for running in self._running:
            if running.context.vitals.state not in {State.STOPPED, State.FAILED}:
                running.stop()
        self.runtime.stop()


def all_end(*pids: int, timeout: float = DEADLINE) -> bool:
    """Wait until each of the processes, whoever started it, has ended; one that nobody has reaped yet has, too."""
    deadline = time.monotonic() + timeout
    return all(_ends(pid, max(0.0, deadline - time.monotonic())) for pid in pids)


def _ends(pid: int, timeout: float) -> bool:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([process], [], [], timeout)
    os.close(process)
    return bool(ended)
