"""The bulkhead: a supervisor of what may fail without ending anything else; where others give up, it pauses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from attrs import frozen

from dataplatform.base.agent.backoff import Backoff, BackoffPolicy
from dataplatform.base.agent.children import Child, ChildSpec, PeerRestarted, RestartLimit
from dataplatform.base.agent.runtime import Context
from dataplatform.base.agent.supervisor import GaveUp, Message, RestartChild, Supervisor
from dataplatform.errors import Transient
from dataplatform.result import Result, Success

__all__ = ["PAUSES", "Bulkhead"]

PAUSES = BackoffPolicy(base=10.0, cap=600.0, jitter=0.5)
FORGIVEN = 3_600.0  # seconds without a crash loop, after which the pauses begin with the shortest again


@frozen
class PauseOver:
    """It is time to start the children again."""

    pause: int


BulkheadMessage: TypeAlias = Message | PauseOver


class Bulkhead(Supervisor):
    """Keeps a crash loop of its children to itself.

    When they crash more often than restarts can mend, it stops them in good order, shows itself degraded with the
    reason, and starts them again after a pause, which doubles from one crash loop to the next, up to a cap. Its own
    supervisor does not count those crashes. It is `Ready` when all children are, or one has crashed: whoever starts
    the platform does not wait for what may fail.
    """

    def __init__(
        self,
        context: Context,
        children: Sequence[ChildSpec],
        restart_limit: RestartLimit | None = None,
        pauses: BackoffPolicy = PAUSES,
    ) -> None:
        super().__init__(context, children, restart_limit=restart_limit)
        self._pauses = Backoff(pauses)
        self._pausing = False
        self._resumed_at = self.clock.monotonic()

    def receive(self, message: BulkheadMessage) -> Result[Any] | None:
        match message:
            case PauseOver(pause):
                if self._pausing and pause == self._pauses.failures:
                    self._resume()
                return None
            case RestartChild(name) if self._pausing and name in self._children:
                self._resume()
                return Success(None)
            case _:
                return super().receive(message)

    def _peer_restarted(self, name: str) -> None:
        """Pass it on: what is linked to the bulkhead is linked to each of its children."""
        for child in self._children.values():
            self.address(child.name).tell(PeerRestarted(name))

    def _recover_from(self, child: Child, failure: BaseException | None) -> None:
        super()._recover_from(child, failure)
        self._say_ready()

    def _give_up(self, reason: GaveUp) -> None:
        """Pause: stop the children, and start them again later."""
        if self.clock.monotonic() - self._resumed_at > FORGIVEN:
            self._pauses.reset()
        delay = self._pauses.next()
        self._pausing = True
        self.count("pauses")
        self.degrade(Transient("crash_loop", str(reason), remedy="it is started again later"), delay)
        self.after(delay, PauseOver(self._pauses.failures))
        self._want_drained()

    def _resume(self) -> None:
        self._pausing = False
        self._resumed_at = self.clock.monotonic()
        self._forget_crashes()
        self._reconcile()

    def _may_start(self) -> bool:
        return not self._pausing

    def _all_up(self) -> None:
        super()._all_up()
        if self.is_degraded:
            self.recover()
