"""The sending side of the flow: an agent that reads its feeds while its targets have credit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import frozen

from dataplatform.base.agent import Address, Agent, Answer, Context, Degraded, State
from dataplatform.dsl.flow.batches import (
    Abandoned,
    Granted,
    Missing,
    Position,
    Recount,
    Rejected,
    SourceRequest,
    Written,
)
from dataplatform.dsl.flow.dead_letters import as_text, letter_for_record, letter_lost, undelivered
from dataplatform.dsl.flow.feeds import Feed, FeedResult, FeedState
from dataplatform.dsl.flow.outbox import Outbox, Sending
from dataplatform.dsl.flow.plan import Plan, PlanRun
from dataplatform.dsl.flow.standstill import Standstill, stalled
from dataplatform.dsl.records.types import DeadLetter, Record
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["FlowSource", "Pause", "Resume"]

STALL_AFTER = 15.0  # seconds
LOOKS = 3  # in that time


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


@frozen
class LookDue:
    """It is time to look whether anything stands still."""


FlowMessage: TypeAlias = (
    FeedDue | CommitDue | LookDue | Granted | Missing | Written | Rejected | Abandoned | Pause | Resume
)


class FlowSource(Agent):
    """Reads feeds, sends what they bring in to every target, and commits positions when all of them wrote it.

    A subclass says which feeds there are (`_feeds`) and, when its input can be read again, that it is `replayable`
    and how positions are committed (`_commit`).

    Nothing that has work stands still in silence. A target that settles nothing for `stall_after` seconds is shown, and
    asked which batches it has; a reading or a commit whose answer never came, or whose next try was lost, is made anew.
    """

    kind: ClassVar[str] = "source"
    replayable: ClassVar[bool] = False

    def __init__(
        self, context: Context, client: str, outbox: Outbox | None = None, *, stall_after: float = STALL_AFTER
    ) -> None:
        super().__init__(context)
        self.client = self.address(client)
        self._outbox = outbox
        self._states: dict[str, FeedState] = {}
        self._inputs: set[str] = set()
        self._uncommitted: dict[tuple[str, int], Position] = {}
        self._committing: tuple[Position, ...] = ()
        self._commit_expected = inf  # when an answer is to come at the latest (monotonic seconds)
        self._rereadings = 0
        self._stall_after = stall_after
        self._standstill = Standstill(stall_after)
        self._stalled: PlatformError | None = None

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
        self.after(self._stall_after / LOOKS, LookDue())

    def _opened(self) -> None:
        """Be ready; a source that was paused when it crashed or was restarted is so still."""
        super()._opened()
        if self._outbox is not None and self._outbox.paused:
            self.become(State.PAUSED)

    def receive(self, message: FlowMessage) -> Answer[Any] | None:
        match message:
            case FeedDue(feed):
                if not (state := self._states[feed]).reading:
                    self._read(state)
            case CommitDue():
                self._start_commit()
            case LookDue():
                self._watch()
            case Granted():
                self._send(self._box.granted(message))
                self._read_waiting()
            case Missing():
                self.count("batches_sent_again", len(message.batch_ids))
                self._send(self._box.missing(message))
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
        state.attempt += 1
        if state.run is None:
            state.due = self.clock.monotonic() + state.feed.every
            plan = state.feed.plan()
            if isinstance(plan, Failure):
                self._read_failed(state, plan.error)
                return
            state.run = PlanRun(self, plan.data, of_route=True)
        state.run.go_on(partial(self._read_ended, state, state.attempt))

    def _read_ended(self, state: FeedState, attempt: int, feed_results: Result[list[FeedResult]]) -> None:
        if attempt != state.attempt:
            return  # its end was waited for in vain, and what it has read is read again
        if not isinstance(feed_results, Failure):
            self._noted(feed_results.notes)
            self._feed_succeeded(state, feed_results.data)
            return
        if self.replayable and feed_results.error.code == "timeout":
            self._read_again()
        self._read_failed(state, feed_results.error)

    def _read_again(self) -> None:
        """Go back to the committed positions, and forget what was read beyond them.

        A new client begins there; one whose answer came too late has handed out input that nobody took.
        """
        self._box.forget()
        self._rereadings += 1

    def _feed_succeeded(self, state: FeedState, feed_results: Sequence[FeedResult]) -> None:
        self._read_succeeded(state)
        for feed_result in feed_results:
            self._offer(feed_result)
        self._after_settling()
        if state.feed.greedy and any(feed_result.records or feed_result.letters for feed_result in feed_results):
            self.actor_ref.tell(FeedDue(state.feed.name))
        else:
            self.after(state.due - self.clock.monotonic(), FeedDue(state.feed.name))

    def _noted(self, notes: Sequence[str]) -> None:
        if notes:
            self.count("notes", len(notes))
            self.log.warning("read with notes", count=len(notes), first=notes[0])

    def _offer(self, feed_result: FeedResult) -> None:
        self.count("records", len(feed_result.records))
        if feed_result.letters:
            self.count("undecodable", len(feed_result.letters))
            self.log.warning("dead letters", count=len(feed_result.letters), first=feed_result.letters[0].error)
        if feed_result.records or feed_result.letters or feed_result.positions:
            self._send(
                self._box.offer(feed_result.kind, feed_result.records, feed_result.positions, feed_result.letters)
            )

    def _read_succeeded(self, state: FeedState) -> None:
        state.succeeded()
        self._show()

    def _show(self) -> None:
        """Show what is wrong, a failing feed before what stands still; recover where nothing is."""
        for state in self._states.values():
            if state.failing is not None:
                self.degrade(state.failing, max(0.0, state.next_try - self.clock.monotonic()))
                return
        if self._stalled is not None:
            self.degrade(self._stalled)
        elif trouble := self._trouble():
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
            self._committing = positions
            self._commit_expected = self.clock.monotonic() + plan.timeout * len(plan.requests)
            PlanRun(self, plan).go_on(partial(self._committed, positions))

    def _committed(self, positions: tuple[Position, ...], answer: Result[Any]) -> None:
        if positions is not self._committing:
            return  # its answer was waited for in vain, and they are committed again
        self._committing, self._commit_expected = (), inf
        if isinstance(answer, Failure):
            self.log.warning("positions not committed", reason=str(answer.error))
            for position in positions:
                self._uncommitted.setdefault((position.stream, position.partition), position)
            self.after(self.backoff.next(), CommitDue())
            return
        self.backoff.reset()
        self._start_commit()
        self._drained_when_quiet()

    # Standing still

    def _watch(self) -> None:
        """Show what stands still, and begin anew what will not come any more."""
        self.after(self._stall_after / LOOKS, LookDue())
        now = self.clock.monotonic()
        for state in self._states.values():
            if state.is_lost(now, self._stall_after):
                self._read_lost(state)
        if now > self._commit_expected + self._stall_after:
            self._commit_lost()
        before, self._stalled = self._stalled, self._stalled_target()
        if before is not None or self._stalled is not None:
            self._show()

    def _read_lost(self, state: FeedState) -> None:
        self.count("lost_readings")
        self.log.warning("reading again", because=f"{state.feed.name} was to go on long ago")
        if state.reading:
            state.attempt += 1
            state.run = None
            error = Transient("timeout", f"{self.client.name} has not been heard of")
            self._read_ended(state, state.attempt, Failure(error))
        else:
            self._read(state)

    def _commit_lost(self) -> None:
        self.count("lost_commits")
        error = Transient("timeout", f"{self.client.name} has not been heard of")
        self._committed(self._committing, Failure(error))

    def _stalled_target(self) -> PlatformError | None:
        """Return what to show of targets that settle nothing; those are asked what they have."""
        found = self._standstill.look(self._box.waiting(), self.clock.monotonic(), self.clock.now())
        for waiting, _ in found:
            if waiting.incarnation is not None:
                recount = Recount(self.name, waiting.incarnation, waiting.in_hand)
                self.address(waiting.target).tell(recount)
        if not found:
            return None
        waiting, since = found[0]
        status = self.address(waiting.target).status()
        return stalled(waiting, since, status.degraded.reason if status and status.degraded else None)

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
