"""Life and death over Pykka: a bounded mailbox, messages that are understood, and every death reported.

An agent's mailbox: what does not fit is refused where it is sent, what comes too late is refused at once. The one class
that touches Pykka's hooks: an actor whose every death is clean, complete and reported. An agent's protocol: the classes
of message that its `receive` is annotated with, and so understands.
"""

from __future__ import annotations

import inspect
import queue
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Never, TypeVar, Union, get_args, get_origin, get_type_hints

import pykka
from pykka.messages import ProxyCall

from dataplatform.base.agent.directory import Entry
from dataplatform.base.agent.futures import Deferred, Future, Outcome
from dataplatform.base.agent.logger import get_logger
from dataplatform.base.agent.messages import Call, Drained, Ready, Reply, State, Terminated
from dataplatform.base.agent.runtime import Context, Timer
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, Success

if TYPE_CHECKING:
    from pykka._envelope import Envelope

__all__ = ["AgentCrashed", "Mailbox", "OrderlyDeath", "SupervisedActor", "understood_by"]


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


T = TypeVar("T")


class AgentCrashed(RuntimeError):
    """An agent died of something that is not an `Exception`, such as `SystemExit` in a handler."""


class OrderlyDeath(Exception):
    """An agent's own decision to die as failed, after it has put things in order; no bug, so no traceback."""


class SupervisedActor(pykka.ThreadingActor, ABC):
    """What Pykka lacks: an exception anywhere kills the actor, which cleans up, leaves the directory, tells its parent.

    The base of `Agent`, and of nothing else.
    """

    use_daemon_thread = True  # an agent stuck in a call must not keep the process from exiting

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.name = context.name
        self.clock = context.runtime.clock
        self.log: Any = get_logger(context.name)
        self._vitals = context.vitals
        self._failure: BaseException | None = None
        self._owed: set[Deferred[Any]] = set()

    # What `Agent` writes

    @abstractmethod
    def _begin(self) -> None:
        """Acquire what the agent holds, and say so."""

    @abstractmethod
    def _answer(self, message: Any) -> Result[Any] | Deferred[Any] | None:
        """Handle one message."""

    @abstractmethod
    def _close(self) -> None:
        """Release what is held."""

    @property
    def state(self) -> State:
        return self._vitals.state

    def become(self, state: State) -> None:
        """Show another state, from now on."""
        self._vitals.state, self._vitals.since = state, self.clock.now()

    # Pykka's hooks

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future()

    def _create_actor_inbox(self) -> Mailbox:  # type: ignore[override]  # Pykka has a static method, called on `self`
        self._mailbox = Mailbox(self)
        return self._mailbox

    def on_start(self) -> None:
        if entry := self._entry():
            entry.ref = self.actor_ref
        self._guarded(self._begin)

    def on_receive(self, message: Any) -> Result[Any] | Deferred[Any] | None:
        if not isinstance(message, Call):
            return self._answer(message)
        answer = self._answer(message.request)
        if isinstance(answer, Deferred):
            self._owe(answer, partial(_reply, message))
        else:
            _reply(message, answer or Success(None))
        return None

    def _handle_receive(self, message: Any) -> Any:
        """Run one message or proxy call; a bug stops the agent, and Pykka hands the exception to the caller."""
        if isinstance(message, ProxyCall) and self.context.stopping.is_set():
            return self._stopping()
        self._vitals.busy_since = self.clock.monotonic()
        try:
            answer = self._guarded(lambda: super(SupervisedActor, self)._handle_receive(message))
            return self._later(answer) if isinstance(answer, Deferred) else answer
        except Exception as bug:
            if isinstance(message, Call):
                _reply(message, self._crashed(bug))
            raise
        finally:
            self._vitals.busy_since = None
            self._vitals.handled += 1

    def _handle_failure(self, _type: Any, bug: BaseException | None, _traceback: Any) -> None:
        """End the loop; the death is logged once, by `_bury`, and not by Pykka as well."""
        self._failure = self._failure or bug
        self.actor_stopped.set()

    def _actor_loop(self) -> None:
        try:
            super()._actor_loop()
        except BaseException as bug:  # noqa: BLE001  the thread must not die unreported, whatever kills it
            self._failure = self._failure or bug
        finally:
            self._bury()

    def _actor_loop_teardown(self) -> None:
        """Refuse what nobody will handle any more, whatever comes later, and what is still owed."""
        for answer in tuple(self._owed):
            answer.settle(self._stopping() if self._failure is None else self._crashed(self._failure))
        for envelope in self._mailbox.close():
            if isinstance(envelope.message, Call):
                absent = Transient("absent", f"{self.name} stopped before handling the request")
                _reply(envelope.message, Failure(absent))
            else:
                self._mailbox.refuse(envelope)

    # How it works

    def _guarded(self, run: Callable[[], T]) -> T:
        try:
            return run()
        except BaseException as bug:
            self._failure = bug
            self.actor_stopped.set()
            if isinstance(bug, Exception):
                raise
            raise AgentCrashed(_described(bug)) from bug  # Pykka would stop every actor of the process

    def _later(self, answer: Deferred[Any]) -> Result[Any] | None:
        """Have Pykka not answer the message in hand, whose answer is owed; unless it is there by now."""
        if answer.result is None and (asker := self._mailbox.take_reply()):
            self._owe(answer, asker.set)
        return answer.result

    def _owe(self, answer: Deferred[Any], outcome: Outcome) -> None:
        answer.then(outcome)
        if answer.result is None:
            self._owed.add(answer)
            answer.then(lambda _: self._owed.discard(answer))

    def _crashed(self, bug: BaseException) -> Failure:
        return Failure(Transient("crashed", f"{self.name} crashed: {_described(bug)}"))

    def _stopping(self) -> Failure:
        return Failure(Transient("stopping", f"{self.name} is stopping"))

    def _bury(self) -> None:
        """Clean up, leave the directory, tell the supervisor: in this order, so that no successor overlaps."""
        if self._failure is not None:
            self._show_death("died", self._failure)
        limit = self._limit_clean_up()
        try:
            self._close()
        except BaseException as bug:  # noqa: BLE001  a failing clean-up is a death like any other
            self._show_death("clean-up failed", bug)
            self._failure = self._failure or bug
        limit.cancel()
        pykka.ActorRegistry.unregister(self.actor_ref)
        if self._failure is None:
            self.become(State.STOPPED)
        if entry := self._entry():
            entry.ref = None
            entry.gone.set()
        self._tell_parent(Terminated(self.name, self.context.incarnation, self._failure))

    def _show_death(self, event: str, bug: BaseException) -> None:
        if self.state is not State.FAILED:  # the first failure is the cause, and stays
            self._vitals.last_error = _described(bug)
            self.become(State.FAILED)
        self.log.error(event, error=_described(bug), exc_info=None if isinstance(bug, OrderlyDeath) else bug)

    def _limit_clean_up(self) -> Timer:
        """Have a clean-up that hangs reported by the scheduler, as this thread cannot."""
        seconds = self.context.clean_up_timeout
        error = TimeoutError(f"{self.name} did not finish its clean-up in {seconds:g} s")
        late = Terminated(self.name, self.context.incarnation, self._failure or error)
        return self.context.runtime.scheduler.after(seconds, self.context.parent, late)

    def _entry(self) -> Entry | None:
        """Return this incarnation's entry, unless a later one has the name by now."""
        entry = self.context.runtime.directory.entry(self.name)
        return entry if entry is not None and entry.vitals is self._vitals else None

    def _tell_parent(self, message: Ready | Drained | Terminated) -> None:
        with suppress(pykka.ActorDeadError):  # a supervisor that dies stops its children, and needs no telling
            self.context.parent.tell(message)


def _reply(call: Call, answer: Result[Any]) -> None:
    with suppress(pykka.ActorDeadError):
        call.reply_to.tell(Reply(call.token, answer))


def _described(bug: BaseException) -> str:
    return f"{type(bug).__name__}: {bug}"


def understood_by(receive: Callable[..., Any]) -> tuple[type[Any], ...]:
    """Return the classes of message that a `receive` understands: those that its annotation names.

    Without an annotation, and with `Any` or `object`, it understands everything. Raises `TypeError` for an annotation
    whose names cannot be found.

    >>> class Prober:
    ...     def receive(self, message: int | str) -> None: ...
    >>> understood_by(Prober.receive)
    (<class 'int'>, <class 'str'>)
    """
    function: Any = inspect.unwrap(receive)
    _, message, *_ = inspect.signature(function).parameters.values()
    if message.annotation is inspect.Parameter.empty:
        return (object,)
    annotated: Any = SimpleNamespace(__annotations__={"message": message.annotation})
    try:
        hints = get_type_hints(annotated, function.__globals__, _enclosing(function))
    except NameError as error:
        where = f"{function.__module__}.{function.__qualname__}"
        raise TypeError(f"{where}: {error}, which its annotation {message.annotation!r} names") from error
    return tuple(dict.fromkeys(_classes(hints["message"])))


def _enclosing(function: Any) -> Mapping[str, Any]:
    """Return what a function that was defined in another one sees of that one's variables."""
    return inspect.getclosurevars(function).nonlocals


def _classes(hint: Any) -> list[type[Any]]:
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        return [cls for one in get_args(hint) for cls in _classes(one)]
    if origin is Annotated:
        return _classes(get_args(hint)[0])
    if isinstance(hint, TypeVar):
        return _classes(hint.__bound__ or object)
    if hint is Any:
        return [object]
    if hint is Never:
        return []
    return [NoneType if hint is None else origin or hint]
