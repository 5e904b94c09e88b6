"""An agent's mailbox: what does not fit is refused where it is sent, what comes too late is refused at once."""

from __future__ import annotations

import inspect
import queue
import weakref
from typing import TYPE_CHECKING, Any

import pykka
from pykka.messages import ProxyCall

if TYPE_CHECKING:
    from pykka._envelope import Envelope

__all__ = ["Mailbox"]


class Mailbox(queue.Queue[Any]):
    """Pykka's inbox with an end: after `close`, nothing can be lost in it and no `ask` waits in it unanswered."""

    def __init__(self, agent: pykka.Actor) -> None:
        super().__init__()
        self._agent = weakref.ref(agent)  # refs hold the mailbox, and must not keep a dead agent in memory
        self._closed = False
        self._in_hand: Envelope[Any] | None = None

    def put(self, item: Envelope[Any], block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002  Queue's signature
        """Take a message, in its sender's thread; a proxy call that does not fit raises there and harms nobody."""
        if isinstance(item.message, ProxyCall) and (agent := self._agent()) is not None:
            _refuse_unfit(agent, item.message)
        super().put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Envelope[Any]:  # noqa: FBT001, FBT002  Queue's signature
        """Hand the next message to the agent, and remember it as the one in hand."""
        envelope: Envelope[Any] = super().get(block, timeout)
        self._in_hand = envelope
        return envelope

    def take_reply(self) -> pykka.Future[Any] | None:
        """Take over the answering of the message in hand; None where nobody waits for an answer."""
        if self._in_hand is None:
            return None
        future, self._in_hand.reply_to = self._in_hand.reply_to, None
        return future

    def close(self) -> list[Envelope[Any]]:
        """Refuse all messages from now on, and hand over those that nobody will handle."""
        with self.mutex:
            self._closed = True
            rest = list(self.queue)
            self.queue.clear()
        return rest

    def refuse(self, envelope: Envelope[Any]) -> None:
        """Tell an asker that the agent is dead; a mere teller waits for no answer."""
        if envelope.reply_to is not None:
            error = pykka.ActorDeadError("the agent stopped before handling the message")
            envelope.reply_to.set_exception((pykka.ActorDeadError, error, None))

    def _put(self, item: Envelope[Any]) -> None:
        """Queue's hook, which holds the mutex: a message is either in before `close` or refused."""
        if not self._closed:
            super()._put(item)
            return
        self.refuse(item)
        if item.reply_to is None:
            raise pykka.ActorDeadError("the agent has stopped")


def _refuse_unfit(agent: pykka.Actor, call: ProxyCall) -> None:
    callee: Any = agent
    for name in call.attr_path:
        callee = getattr(callee, name)
    try:
        signature = inspect.signature(callee)
    except ValueError:
        return  # some built-in functions do not tell their signature
    signature.bind(*call.args, **call.kwargs)
