"""What an agent is given at its birth: its name, its platform's runtime, and the way to its supervisor."""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING, Self

from attrs import field, frozen

from dataplatform.base.agent.backoff import BackoffPolicy
from dataplatform.base.agent.clock import Clock, SystemClock
from dataplatform.base.agent.directory import Directory
from dataplatform.base.agent.journal import Journal
from dataplatform.base.agent.scheduler import Recipient, Scheduler
from dataplatform.base.agent.status import State, Vitals
from dataplatform.redaction import redact_tracebacks

if TYPE_CHECKING:
    from dataplatform.base.agent.directory import Address

__all__ = ["Context", "Runtime"]


@frozen
class Runtime:
    """What all agents of one platform share.

    >>> runtime = Runtime.start()
    >>> runtime.directory.address("nobody").status() is None
    True
    >>> runtime.stop()
    """

    clock: Clock
    scheduler: Scheduler
    directory: Directory
    journal: Journal
    backoff: BackoffPolicy

    @classmethod
    def start(cls, clock: Clock | None = None, backoff: BackoffPolicy | None = None) -> Self:
        """Start a runtime on the given clock, the machine's own by default; from now on tracebacks are redacted."""
        redact_tracebacks()
        clock = clock or SystemClock()
        scheduler = Scheduler(clock)
        scheduler.start()
        return cls(clock, scheduler, Directory(clock.monotonic), Journal(), backoff or BackoffPolicy())

    def stop(self) -> None:
        """Stop the time of this runtime; its agents are their supervisors' to stop."""
        self.scheduler.stop()


@frozen
class Context:
    """One incarnation of one name.

    `stopping` is set the moment a stop is asked for, ahead of the inbox. A clean-up that takes longer than
    `clean_up_timeout` seconds is reported to the parent as a death, and the agent is left behind.
    """

    name: str
    runtime: Runtime
    parent: Recipient
    incarnation: int = 1
    stopping: threading.Event = field(factory=threading.Event)
    clean_up_timeout: float = inf
    vitals: Vitals = field(init=False)

    @vitals.default
    def _new_vitals(self) -> Vitals:
        return Vitals(State.STARTING, self.runtime.clock.now())

    def address(self, name: str) -> Address:
        """Return the address of any agent of the platform."""
        return self.runtime.directory.address(name)
