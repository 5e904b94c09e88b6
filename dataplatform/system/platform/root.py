"""A tree of agents under a root supervisor, as the process sees it: started, waited for, drained and stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import define, field

from dataplatform.base.agent import (
    Address,
    ChildSpec,
    Context,
    Drain,
    Drained,
    Entry,
    Link,
    Ready,
    RestartLimit,
    Runtime,
    Supervisor,
    Terminated,
)
from dataplatform.base.agent.supervisor import ROOT, root_entry
from dataplatform.errors import Transient
from dataplatform.redaction import redacted
from dataplatform.result import is_success

__all__ = ["Root"]

STOP_TIMEOUT = 9.4  # a stop is promised within 10 s; the agents' own times add up to less
LAST_RESORT = 0.2


@define(eq=False)
class Parent:
    """Stands above the root supervisor, keeps what it says, and lets any thread wait for it."""

    ready: bool = False
    drained: bool = False
    ended: Terminated | None = None
    _changed: threading.Condition = field(factory=threading.Condition)

    def tell(self, message: Any, /) -> None:
        with self._changed:
            match message:
                case Ready():
                    self.ready = True
                case Drained():
                    self.drained = True
                case Terminated():
                    self.ended = message
            self._changed.notify_all()

    def wait(self, until: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(until, max(0.0, timeout))


@define(eq=False)
class Root:
    """A runtime, and a root supervisor in it with all that it supervises.

    >>> from dataplatform.base.agent import Agent
    >>> class Idle(Agent):
    ...     def receive(self, message: object) -> None: ...
    >>> root = Root()
    >>> root.start([Idle.child("idle")])
    >>> root.require_ready(timeout=10)
    >>> root.address("idle").status().shown
    'running'
    >>> root.stop()
    """

    runtime: Runtime = field(factory=Runtime.start)
    _parent: Parent = field(factory=Parent)
    _stopping: threading.Lock = field(factory=threading.Lock)
    _stopped: bool = False

    def start(
        self, children: Sequence[ChildSpec], links: Iterable[Link] = (), restart_limit: RestartLimit | None = None
    ) -> None:
        """Start the supervisor, which starts the children."""
        context = Context(ROOT, self.runtime, self._parent)
        entry = root_entry(context)
        self.runtime.directory.enter(ROOT, entry)
        entry.ref = Supervisor.start(context, children, tuple(links), restart_limit=restart_limit)

    def require_ready(self, timeout: float) -> None:
        """Wait until every agent is ready; raise `Transient` when that takes longer, or the supervisor gave up."""
        if not self.wait_ready(timeout):
            raise Transient("not_ready", self.reason or f"not ready within {timeout:g} s")

    def wait_ready(self, timeout: float) -> bool:
        """Wait until every agent is ready; False when that takes longer, or the supervisor ended."""
        parent = self._parent
        parent.wait(lambda: parent.ready or parent.ended is not None, timeout)
        return parent.ready

    def wait_end(self, timeout: float) -> bool:
        """Wait until the supervisor has ended; False when it still runs."""
        return self._parent.wait(lambda: self._parent.ended is not None, timeout)

    def address(self, name: str) -> Address:
        """Return the address of an agent."""
        return self.runtime.directory.address(name)

    @property
    def entry(self) -> Entry | None:
        """What is known of the supervisor."""
        return self.runtime.directory.entry(ROOT)

    @property
    def ready(self) -> bool:
        """Whether every agent has been ready."""
        return self._parent.ready

    @property
    def ended(self) -> bool:
        """Whether the supervisor has ended."""
        return self._parent.ended is not None

    @property
    def reason(self) -> str | None:
        """Why the supervisor gave up, None while it did not."""
        ended = self._parent.ended
        return redacted(str(ended.failure)) if ended and ended.failure else None

    def stop(self) -> None:
        """Drain and stop everything, in reverse, within 10 s; safe to call twice, and from any thread."""
        with self._stopping:
            if not self._stopped:
                self._stop()
                self._stopped = True

    def _stop(self) -> None:
        parent, deadline = self._parent, time.monotonic() + STOP_TIMEOUT
        if is_success(self.address(ROOT).tell(Drain())):
            parent.wait(lambda: parent.drained or parent.ended is not None, STOP_TIMEOUT)
        if self.entry is not None and self.entry.ref is not None:
            self.entry.ref.stop(block=False)
            self.wait_end(max(LAST_RESORT, deadline - time.monotonic()))
        self.runtime.stop()
