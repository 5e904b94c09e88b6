"""The sending side of the flow: an agent that reads its feeds while its targets have credit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import frozen

from dataplatform.base.agent import Address, Agent, Answer, Context, Degraded, State
from dataplatform.dsl.feeds import Crop, Feed, FeedState
from dataplatform.dsl.flow.batch import Abandoned, Granted, Position, Rejected, Written
from dataplatform.dsl.flow.letters import letter_for_record
from dataplatform.dsl.flow.losses import as_text, letter_lost, undelivered
from dataplatform.dsl.flow.outbox import Outbox, Sending
from dataplatform.dsl.operations import SourceRequest
from dataplatform.dsl.plan import Plan, PlanRun
from dataplatform.dsl.types import DeadLetter, Record
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["FlowSource", "Pause", "Resume"]


@frozen
class FeedDue:
    """It is time to read the feed."""

    feed: str


@frozen
class CommitDue:
    """It is time to try the failed commit again."""


@frozen
class Pause(SourceRequest[None]):
    """Read nothing until `Resume`; what is in flight settles."""


@frozen
class Resume(SourceRequest[None]):
    """Read on."""


FlowMessage: TypeAlias = FeedDue | CommitDue | Granted | Written | Rejected | Abandoned | Pause | Resume


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
        self._rereadings = 0

    # Hooks

    def _feeds(self) -> Sequence[Feed]:
        """Return the feeds to read; none by default."""
        return ()

    def _commit(self, positions: Sequence[Position]) -> Plan[Any] | None:
        """Return how to commit positions, at most one per partition; None where there is nothing to commit."""
        del positions
        return None

    def _trouble(self) -> Degraded | None:
        """Return what keeps a part of the input from being read, while the rest is; nothing by default."""
        return None

    # Messages

    def _open(self) -> None:
        if self._outbox is None:
            return
        self._outbox.reopen(replayable=self.replayable)
        self._states = {feed.name: FeedState(feed) for feed in self._feeds()}
        for name in self._states:
            self.actor_ref.tell(FeedDue(name))

    def _opened(self) -> None:
        """Be ready; a source that was paused when it crashed or was restarted is so still."""
        super()._opened()
        if self._outbox is not None and self._outbox.paused:
            self.become(State.PAUSED)

    def receive(self, message: FlowMessage) -> Answer[Any] | None:
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
            case Abandoned():
                self.log.info("reading again", because=f"{message.target} has left out a batch")
                self._read_again()
                self._send(self._box.settled(message))
                self._after_settling()
            case Pause():
                return self._turn(State.PAUSED)
            case Resume():
                return self._turn(State.RUNNING)
            case _:
                assert_never(message)
        return None

    def _turn(self, state: State) -> Result[None]:
        if self.state is State.DRAINING:
            return self._stopping()
        if self._outbox is not None:
            self._outbox.paused = state is State.PAUSED
        self.become(state)
        self._read_waiting()
        return Success(None)

    def _peer_joined(self, peer: Address, *, downstream: bool) -> None:
        if not downstream:
            self._inputs.add(peer.name)

    def _peer_restarted(self, name: str) -> None:
        if self.replayable and name in self._inputs and self._outbox is not None:
            self._read_again()

    def _drain(self) -> None:
        self._drained_when_quiet()

    def _close(self) -> None:
        """Report what a stop leaves undelivered, unless it can be read again; after a crash it is sent again."""
        if self._outbox is None or self.replayable or not self.context.stopping.is_set():
            return
        if batches := self._outbox.undelivered():
            self.incident(undelivered(self.name, batches, self.clock.now()))
        self._outbox = None  # a second `_close` has nothing to report

    # Reading

    @property
    def reader(self) -> str:
        """A name for this stretch of reading; with another one, reading has to go back to the committed positions."""
        return f"{self.name}-{self.context.incarnation}-{self._rereadings}"

    def _read(self, state: FeedState) -> None:
        """Begin or go on with a reading; while there is no credit, or the source is paused, wait for that to end."""
        state.blocked = self.state is not State.RUNNING or not self._box.has_credit()
        if state.blocked:
            return
        state.reading = True
        if state.run is None:
            state.due = self.clock.monotonic() + state.feed.every
            plan = state.feed.plan()
            if isinstance(plan, Failure):
                self._read_failed(state, plan.error)
                return
            state.run = PlanRun(self, plan.data)
        state.run.go_on(partial(self._read_ended, state))

    def _read_ended(self, state: FeedState, crops: Result[list[Crop]]) -> None:
        if not isinstance(crops, Failure):
            self._noted(crops.notes)
            self._harvest(state, crops.data)
            return
        if self.replayable and crops.error.code == "timeout":
            self._read_again()
        self._read_failed(state, crops.error)

    def _read_again(self) -> None:
        """Go back to the committed positions, and forget what was read beyond them.

        A new client begins there; one whose answer came too late has handed out input that nobody took.
        """
        self._box.forget()
        self._rereadings += 1

    def _harvest(self, state: FeedState, crops: Sequence[Crop]) -> None:
        self._read_succeeded(state)
        for crop in crops:
            self._take_in(crop)
        self._after_settling()
        if state.feed.greedy and any(crop.records or crop.letters for crop in crops):
            self.actor_ref.tell(FeedDue(state.feed.name))
        else:
            self.after(state.due - self.clock.monotonic(), FeedDue(state.feed.name))

    def _noted(self, notes: Sequence[str]) -> None:
        if notes:
            self.count("notes", len(notes))
            self.log.warning("read with notes", count=len(notes), first=notes[0])

    def _take_in(self, crop: Crop) -> None:
        self.count("records", len(crop.records))
        if crop.letters:
            self.count("undecodable", len(crop.letters))
            self.log.warning("dead letters", count=len(crop.letters), first=crop.letters[0].error)
        if crop.records or crop.letters or crop.positions:
            self._send(self._box.offer(crop.kind, crop.records, crop.positions, crop.letters))

    def _read_succeeded(self, state: FeedState) -> None:
        """Recover, unless another feed is failing: then that is the reason to show."""
        state.succeeded()
        for other in self._states.values():
            if other.failing is not None:
                self.degrade(other.failing, max(0.0, other.next_try - self.clock.monotonic()))
                return
        if trouble := self._trouble():
            self.share(trouble)
        else:
            self.recover()

    def _read_failed(self, state: FeedState, error: PlatformError) -> None:
        delay = state.failed(error)
        state.next_try = self.clock.monotonic() + delay
        self.count("failed_reads")
        self.degrade(state.failing or error, delay)
        self.after(delay, FeedDue(state.feed.name))
        self._drained_when_quiet()

    def _read_waiting(self) -> None:
        for state in self._states.values():
            if state.blocked:
                self._read(state)

    # Sending and settling

    def _send(self, sendings: list[Sending]) -> None:
        for sending in sendings:
            self.address(sending.target).tell(sending.deliver)  # lost if it is restarting: it asks again by `Granted`

    def _rejected(self, message: Rejected) -> None:
        letters: list[DeadLetter] = []
        for record, rejection in self._box.rejected_records(message):
            if isinstance(record, DeadLetter) and self._box.holds_letters(message):
                self._letter_lost(record, rejection.error, message.target)
            else:
                letters.append(self._letter(record, rejection.error, message.target))
        if letters:
            self.count("rejected", len(letters))
            self.log.warning("records rejected", target=message.target, count=len(letters), first=letters[0].error)
        self._send(self._box.settled(message, letters))

    def _letter(self, record: Record, error: PlatformError, target: str) -> DeadLetter:
        return letter_for_record(record, error, origin=self.name, target=target, at=self.clock.now())

    def _letter_lost(self, letter: DeadLetter, error: PlatformError, target: str) -> None:
        """Leave the letter in the log, and its loss in the report: no dead letters are made of dead letters."""
        self.count("dead_letters_lost")
        self.log.error("dead letter lost", target=target, error=str(error), letter=as_text(letter))
        self.incident(letter_lost(letter, error, source=self.name, target=target, at=self.clock.now()))

    def _after_settling(self) -> None:
        for position in self._box.take_positions():
            self._uncommitted[position.stream, position.partition] = position
        self._start_commit()
        self._read_waiting()
        self._drained_when_quiet()

    def _start_commit(self) -> None:
        if self._box.exclusive:
            self._uncommitted.clear()  # the target has done so
        if self._committing or not self._uncommitted:
            return
        positions = tuple(self._uncommitted.values())
        plan = self._commit(positions)
        self._uncommitted.clear()
        if plan is not None:
            self._committing = True
            PlanRun(self, plan).go_on(partial(self._committed, positions))

    def _committed(self, positions: Sequence[Position], answer: Result[Any]) -> None:
        self._committing = False
        if isinstance(answer, Failure):
            self.log.warning("positions not committed", reason=str(answer.error))
            for position in positions:
                self._uncommitted.setdefault((position.stream, position.partition), position)
            self.after(self.backoff.next(), CommitDue())
            return
        self.backoff.reset()
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
