"""Lines to a server: threads that carry requests there, one at a time each, while their agent does other things."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeAlias

from attrs import define, field

from dataplatform.base.agent import Clock
from dataplatform.base.http.exchange import Exchange
from dataplatform.base.http.messages import Get, Response
from dataplatform.base.http.settings import HttpSettings
from dataplatform.base.net.shown import origin
from dataplatform.base.net.waits import BoundedCalls, Busy, Interrupted, Overdue
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result

__all__ = ["Lines", "Outcome"]

Outcome: TypeAlias = Result[Response] | Exception

GRACE = 0.25  # seconds that an exchange gets to report its own time-out


@define(eq=False)
class _Line:
    exchange: Exchange
    errands: BoundedCalls[Result[Response]]


@define(eq=False)
class Lines:
    """The lines of the client called `name`, as many as it may have requests under way; each has its own connections.

    The line that was used last is used first, so that connections are shared. One whose last request could not be
    interrupted and has still not ended is used only where there is no other, and refuses.
    """

    name: str
    settings: HttpSettings
    clock: Clock
    stopping: threading.Event
    _idle: list[_Line] = field(init=False)
    _pool: ThreadPoolExecutor = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._idle = [
            _Line(Exchange(self.settings, self.clock), BoundedCalls(self.name, self.stopping))
            for _ in range(self.settings.concurrency)
        ]
        self._pool = ThreadPoolExecutor(self.settings.concurrency, f"{self.name}-line")

    def get(self, get: Get, pause: float, due: float, then: Callable[[Outcome], None]) -> None:
        """Send a request after a pause, and run `then`, in the line's thread, with what comes of it by `due`.

        That is its result, or the exception that is a bug.
        """
        free = [line for line in self._idle if not line.errands.overdue]
        line = (free or self._idle)[-1]
        self._idle.remove(line)
        self._pool.submit(partial(self._carry, line, get, pause, due, then))

    def close(self) -> None:
        """Send nothing more, and wait 0.1 s at most for what is under way; a closed client is one that stops."""
        self.stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for line in self._idle:
            line.exchange.close()

    def _carry(self, line: _Line, get: Get, pause: float, due: float, then: Callable[[Outcome], None]) -> None:
        try:
            outcome: Outcome = self._result(line, get, pause, due)
        except Exception as bug:  # noqa: BLE001  raised again in the client's thread
            outcome = bug
        self._idle.append(line)
        then(outcome)

    def _result(self, line: _Line, get: Get, pause: float, due: float) -> Result[Response]:
        host = origin(self.settings.base_url)
        try:
            if self.stopping.wait(pause):
                raise Interrupted
            return line.errands.run(lambda: line.exchange.get(get, due), due - time.monotonic() + GRACE)
        except Interrupted:
            return Failure(Transient("stopping", f"{self.name} is stopping"))
        except Overdue:
            message = f"{host} gave no complete answer in {self.settings.timeout:g} s"
            return Failure(Transient("timeout", message))
        except Busy:
            return Failure(Transient("timeout", f"{host} has still not answered the request before"))
