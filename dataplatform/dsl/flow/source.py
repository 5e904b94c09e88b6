"""The sending side of the flow: an agent that reads its feeds while its targets have credit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import frozen

from dataplatform.base.agent import Address, Agent, Backoff, BackoffPolicy, Context, Request, State
from dataplatform.dsl.feeds import Crop, Feed, FeedState
from dataplatform.dsl.flow.batch import Granted, Position, Rejected, Written
from dataplatform.dsl.flow.letters import letter_for_record
from dataplatform.dsl.flow.outbox import Outbox, Sending
from dataplatform.dsl.plan import Plan, transformed
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["FlowSource", "Pause", "Resume"]

FEED_BACKOFF = BackoffPolicy(base=0.5, cap=60.0)


@frozen
class FeedDue:
    """It is time to read the feed."""

    feed: str


@frozen
class CommitDue:
    """It is time to try the failed commit again."""


@frozen
class Pause(Request[None]):
    """Read nothing until `Resume`; what is in flight settles."""


@frozen
class Resume(Request[None]):
    """Read on."""


FlowMessage: TypeAlias = FeedDue | CommitDue | Granted | Written | Rejected | Pause | Resume


class FlowSource(Agent):
    """Reads feeds, sends what they bring in to every target, and commits positions when all of them wrote it.

    A subclass says which feeds there are (`_feeds`) and, when its input can be read again, that it is `replayable`
    and how positions are committed (`_commit`).
    """

    kind: ClassVar[str] = "source"
    replayable: ClassVar[bool] = False

    def __init__(self, context: Context, client: str, outbox: Outbox | None = None) -> None:
        super().__init__(context)
        self.client = self.address(client)
        self._outbox = outbox
        self._states: dict[str, FeedState] = {}
        self._inputs: set[str] = set()
        self._uncommitted: dict[tuple[str, int], Position] = {}
        self._committing = False

    # Hooks

    def _feeds(self) -> Sequence[Feed]:
        """Return the feeds to read; none by default."""
        return ()

    def _commit(self, positions: Sequence[Position]) -> Plan[Any] | None:
        """Return how to commit positions, at most one per partition; None where there is nothing to commit."""
        del positions
        return None

    # Messages

    def _open(self) -> None:
        if self._outbox is None:
            return
        self._outbox.reopen(replayable=self.replayable)
        self._states = {feed.name: FeedState(feed, Backoff(FEED_BACKOFF)) for feed in self._feeds()}
        for name in self._states:
            self.actor_ref.tell(FeedDue(name))

    def receive(self, message: FlowMessage) -> Result[Any] | None:
        match message:
            case FeedDue(feed):
                self._read(self._states[feed])
            case CommitDue():
                self._start_commit()
            case Granted():
                self._send(self._box.granted(message))
                self._read_waiting()
            case Written():
                self._send(self._box.settled(message))
                self._after_settling()
            case Rejected():
                self._rejected(message)
                self._after_settling()
            case Pause():
                self.become(State.PAUSED)
                return Success(None)
            case Resume():
                self.become(State.RUNNING)
                self._read_waiting()
                return Success(None)
            case _:
                assert_never(message)
        return None

    def _peer_joined(self, peer: Address, *, downstream: bool) -> None:
        if not downstream:
            self._inputs.add(peer.name)

    def _peer_restarted(self, name: str) -> None:
        if self.replayable and name in self._inputs and self._outbox is not None:
            self._outbox.forget()  # the new client begins at the committed positions and reads it again

    def _drain(self) -> None:
        self._drained_when_quiet()

    # Reading

    def _read(self, state: FeedState) -> None:
        """Begin a reading, unless one is under way; without credit it begins when credit comes."""
        if state.reading or self.state is not State.RUNNING:
            state.due = 0.0
            return
        if not self._box.has_credit():
            state.due = 0.0
            return
        state.reading, state.due = True, self.clock.monotonic() + state.feed.every
        plan = state.feed.plan()
        if isinstance(plan, Failure):
            self._read_failed(state, plan.error)
            return
        state.answers = []
        self._put_next(state, plan.data)

    def _put_next(self, state: FeedState, plan: Plan[list[Crop]]) -> None:
        asked = len(state.answers)
        if asked == len(plan.requests):
            self._harvest(state, transformed(plan, state.answers))
            return
        then = partial(self._answered, state, plan)
        self.call(plan.client, plan.requests[asked], then, timeout=plan.timeout)

    def _answered(self, state: FeedState, plan: Plan[list[Crop]], answer: Result[Any]) -> None:
        if isinstance(answer, Failure):
            self._read_failed(state, answer.error)
            return
        state.answers.append(answer.data)
        self._put_next(state, plan)

    def _harvest(self, state: FeedState, crops: Result[list[Crop]]) -> None:
        if isinstance(crops, Failure):
            self._read_failed(state, crops.error)
            return
        self._read_succeeded(state)
        brought = False
        for crop in crops.data:
            brought = brought or bool(crop.records or crop.letters)
            self.count("records", len(crop.records))
            if crop.letters:
                self.count("undecodable", len(crop.letters))
                self.log.warning("dead letters", count=len(crop.letters), first=crop.letters[0].error)
            if crop.records or crop.letters or crop.positions:
                self._send(self._box.offer(crop.kind, crop.records, crop.positions, crop.letters))
        self._after_settling()
        if state.feed.greedy and brought:
            self.actor_ref.tell(FeedDue(state.feed.name))
        else:
            self.after(state.due - self.clock.monotonic(), FeedDue(state.feed.name))

    def _read_succeeded(self, state: FeedState) -> None:
        state.reading, state.answers, state.failing = False, [], None
        state.backoff.reset()
        if not any(other.failing for other in self._states.values()):
            self.recover()

    def _read_failed(self, state: FeedState, error: PlatformError) -> None:
        state.reading, state.answers, state.failing = False, [], str(error)
        delay = state.backoff.next(error.retry_after if isinstance(error, Transient) else None)
        if not isinstance(error, Transient):
            delay = max(delay, state.feed.every)
        self.count("failed_reads")
        self.degrade(error, delay)
        self.after(delay, FeedDue(state.feed.name))
        self._drained_when_quiet()

    def _read_waiting(self) -> None:
        for state in self._states.values():
            if not state.due and not state.reading:
                self._read(state)

    # Sending and settling

    def _send(self, sendings: list[Sending]) -> None:
        for sending in sendings:
            self.address(sending.target).tell(sending.deliver)  # lost if it is restarting: it asks again by `Granted`

    def _rejected(self, message: Rejected) -> None:
        refused, now = self._box.rejected_records(message), self.clock.now()
        if message.target == self._box.dead_letters and any(record for record, _ in refused if _is_letter(record)):
            self.log.error("dead letters could not be stored", letters=[str(record)[:2000] for record, _ in refused])
            self._send(self._box.settled(message))
            return
        letters = [
            letter_for_record(record, rejection.error, origin=self.name, target=message.target, at=now)
            for record, rejection in refused
        ]
        if letters:
            self.count("rejected", len(letters))
            self.log.warning("records rejected", target=message.target, count=len(letters), first=letters[0].error)
        self._send(self._box.settled(message, letters))

    def _after_settling(self) -> None:
        for position in self._box.take_positions():
            self._uncommitted[position.stream, position.partition] = position
        self._start_commit()
        self._read_waiting()
        self._drained_when_quiet()

    def _start_commit(self) -> None:
        if self._committing or not self._uncommitted:
            return
        positions = tuple(self._uncommitted.values())
        plan = self._commit(positions)
        self._uncommitted.clear()
        if plan is not None:
            self._committing = True
            self.call(plan.client, plan.requests[0], partial(self._committed, positions), timeout=plan.timeout)

    def _committed(self, positions: Sequence[Position], answer: Result[Any]) -> None:
        self._committing = False
        if isinstance(answer, Failure):
            self.log.warning("positions not committed", reason=str(answer.error))
            for position in positions:
                self._uncommitted.setdefault((position.stream, position.partition), position)
            self.after(self.backoff.next(), CommitDue())
            return
        self._start_commit()
        self._drained_when_quiet()

    def _drained_when_quiet(self) -> None:
        if self.state is not State.DRAINING:
            return
        reading = any(state.reading for state in self._states.values())
        unsettled = self._outbox.unsettled if self._outbox else 0
        if not (reading or unsettled or self._committing or self._uncommitted):
            self.drained()

    @property
    def _box(self) -> Outbox:
        assert self._outbox is not None, "only a source with routes has feeds"
        return self._outbox


def _is_letter(record: object) -> bool:
    return type(record).__name__ == "DeadLetter"
