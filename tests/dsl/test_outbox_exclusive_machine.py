"""The outbox of a source whose target commits the positions, end to end: whatever happens, each record comes once.

The target is a model: it stores a batch and how far its input has come in one, refuses what is bad, and abandons what
does not begin where it stands. The input is a log in which each offset has records, good and bad, and dead input.
"""

from __future__ import annotations

from collections import deque

import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dataplatform.dsl.flow import Batch, Granted, Outbox, Position, Rejected, Rejection, Sending, Written
from dataplatform.dsl.flow.batches import Abandoned, Missing
from dataplatform.dsl.records.kinds import DEAD_LETTERS, PRICES
from dataplatform.errors import Permanent
from tests.dsl.records import letter, price

TOPIC, MOST = "topic", 3
NO = Permanent("rejected", "no")
names = st.sampled_from((TOPIC, "letters"))
rarely = st.sampled_from((False, False, False, True))


@define(eq=False)
class Side:
    """A target: the life it is in, and what it has in hand."""

    incarnation: int = 1
    hand: deque[Batch] = field(factory=deque)


@define
class Input:
    """What is at one offset of the log: the names of its records, those that the target refuses, and of dead input."""

    good: tuple[str, ...]
    bad: tuple[str, ...]
    dead: tuple[str, ...]


class ExclusiveOutboxMachine(RuleBasedStateMachine):
    """Plays a source that reads a log, a target that commits its positions, and everything that befalls them."""

    @initialize(letters=names)
    def begin(self, letters: str) -> None:
        self.outbox = Outbox("source", (TOPIC,), letters, exclusive=True)
        self.sides = {name: Side() for name in dict.fromkeys((TOPIC, letters))}
        self.log: list[Input] = []
        self.next = 0  # what the source reads next
        self.reached = 0  # up to which the target has committed
        self.stored: list[str] = []
        self.kept: set[str] = set()  # dead letters
        self.earlier: set[str] = set()  # ids of batches that the source sent in an earlier life
        self.outbox.reopen(replayable=True)
        for name in self.sides:
            self.grant(name)

    # What happens

    @rule(good=st.integers(0, 2), bad=st.integers(0, 2), dead=st.sampled_from((0, 0, 1, 2)))
    def the_log_grows(self, good: int, bad: int, dead: int) -> None:
        at = len(self.log)
        named = [tuple(f"{kind}-{at:04}-{n}" for n in range(many)) for kind, many in
                 (("coin", good), ("bad", bad), ("dead", dead))]  # fmt: skip
        self.log.append(Input(*named))

    @precondition(lambda self: self.next < len(self.log))
    @rule()
    def the_source_reads(self) -> None:
        """It reads while it has credit; one reading may bring more than that."""
        at, self.next = self.next, self.next + 1
        found = self.log[at]
        records = [price(name) for name in (*found.bad[:1], *found.good, *found.bad[1:])]
        letters = [letter(name) for name in found.dead]
        self.deliver(self.outbox.offer(PRICES, [*records], (Position("log", 0, at, at + 1),), letters))

    @rule(name=names)
    def a_target_deals_with_a_batch(self, name: str) -> None:
        side = self.sides.get(name)
        if side is not None and side.hand:
            self.settle(name, side.hand.popleft())

    @rule()
    def the_group_gives_the_partition_away_and_back(self) -> None:
        """The target then abandons what it has in hand, although it begins where it stands."""
        side = self.sides[TOPIC]
        if side.hand and side.hand[0].kind is PRICES:
            self.abandon(side.hand.popleft().id)

    @rule(name=names, wrote=st.booleans(), really=rarely)
    def a_target_dies(self, name: str, wrote: bool, really: bool) -> None:  # noqa: FBT001
        side = self.sides.get(name)
        if side is None or not really:
            return
        if side.hand and wrote:
            self.write(side.hand[0])  # and nobody hears of it
        side.incarnation += 1
        side.hand.clear()
        self.grant(name)

    @rule(name=names)
    def a_batch_is_lost_on_its_way_and_missed(self, name: str) -> None:
        side = self.sides.get(name)
        if side is not None and side.hand:
            lost = side.hand.pop()
            self.deliver(self.outbox.missing(Missing(name, side.incarnation, frozenset({lost.id}))))

    @rule()
    def the_input_is_read_again(self) -> None:
        self.outbox.forget()
        self.next = self.reached

    @rule(really=rarely)
    def the_source_begins_a_new_life(self, really: bool) -> None:  # noqa: FBT001
        if not really:
            return
        self.outbox.reopen(replayable=True)
        self.next = self.reached
        for name, side in self.sides.items():
            side.hand = deque(list(side.hand)[:1])  # a target drops what it has not begun to write
            self.earlier |= {batch.id for batch in side.hand}
            self.grant(name)

    def teardown(self) -> None:
        """In the end all that the log holds is stored or kept, when everybody goes on."""
        if not hasattr(self, "outbox"):
            return
        while self.next < len(self.log) or any(side.hand for side in self.sides.values()):
            for name in self.sides:
                self.a_target_deals_with_a_batch(name)
            if self.next < len(self.log):
                self.the_source_reads()
        assert self.reached == len(self.log)
        assert self.stored == [name for found in self.log for name in found.good]
        assert self.kept == {name for found in self.log for name in (*found.dead, *found.bad)}
        self.outbox.take_positions()
        assert self.outbox.unsettled == 0
        assert self.outbox.undelivered() == []
        assert self.outbox.has_credit()

    # What should be

    @invariant()
    def accounts_balance(self) -> None:
        for account in self.outbox.routes():
            assert account.read == account.written + account.already_stored + account.dead_lettered + account.in_flight
            assert min(account.written, account.dead_lettered, account.in_flight) >= 0

    @invariant()
    def no_record_is_stored_twice_or_out_of_order(self) -> None:
        assert self.stored == [name for found in self.log[: self.reached] for name in found.good]

    @invariant()
    def one_life_of_the_source_never_has_two_batches_under_way(self) -> None:
        ours = [batch for batch in self.sides[TOPIC].hand if batch.kind is PRICES and batch.id not in self.earlier]
        assert len(ours) <= 1

    # The model

    def grant(self, name: str) -> None:
        self.deliver(self.outbox.granted(Granted(name, self.sides[name].incarnation, MOST)))

    def deliver(self, sendings: list[Sending]) -> None:
        for sending in sendings:
            side = self.sides[sending.target]
            assert sending.deliver.incarnation == side.incarnation
            side.hand.append(sending.deliver.batch)

    def settle(self, name: str, batch: Batch) -> None:
        bad = [index for index, record in enumerate(batch.records) if getattr(record, "coin_id", "").startswith("bad")]
        if self.write(batch):
            self.deliver(self.outbox.settled(Written(batch.id, name)))
        elif batch.positions[0].first < self.reached:
            self.abandon(batch.id)
        else:
            answer = Rejected(batch.id, name, tuple(Rejection(index, NO) for index in bad))
            found = self.outbox.rejected_records(answer)
            letters = [letter(getattr(record, "coin_id", "")) for record, _ in found]
            self.deliver(self.outbox.settled(answer, letters))

    def write(self, batch: Batch) -> bool:
        """Write a batch, unless it is to be abandoned or refused; one that was written before is so still."""
        if batch.kind is DEAD_LETTERS:
            self.kept |= {getattr(record, "id", "") for record in batch.records}
            return True
        (position,) = batch.positions
        if position.next <= self.reached:
            return True
        coins = [getattr(record, "coin_id", "") for record in batch.records]
        assert position.first <= self.reached, "what is before it was never written"
        if position.first < self.reached or any(coin.startswith("bad") for coin in coins):
            return False
        found = self.log[position.first]
        assert set(found.dead) | set(found.bad) <= self.kept, "its dead letters are kept first"
        self.stored += coins
        self.reached = position.next
        return True

    def abandon(self, batch_id: str) -> None:
        """Have the source read again, and go on, as it does when it hears of that."""
        self.outbox.forget()
        self.next = self.reached
        self.deliver(self.outbox.settled(Abandoned(batch_id, TOPIC)))


TestExclusiveOutbox = pytest.mark.timeout(600)(ExclusiveOutboxMachine.TestCase)
TestExclusiveOutbox.settings = settings(deadline=None, max_examples=80, stateful_step_count=40)
