"""The outbox against a model of it: whatever happens, nothing is lost, counted twice, or committed too early."""

from __future__ import annotations

from collections import deque
from itertools import count

import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dataplatform.dsl.flow import Batch, Granted, Outbox, Position, Rejected, Rejection, Sending, Written
from dataplatform.dsl.records.kinds import DEAD_LETTERS, PRICES
from dataplatform.dsl.records.types import CryptoPriceData, DeadLetter, Record
from dataplatform.errors import Permanent
from tests.dsl.records import letter, price

TARGETS = ("table", "topic")
NO = Permanent("rejected", "no")
targets = st.sampled_from(("table", "topic", "letters"))
rarely = st.sampled_from((False, False, False, True))


@define(eq=False)
class Parcel:
    """One batch for one target as it should be: what it holds, which offer it is of, which routes count it."""

    content: tuple[str, ...]
    dead: bool
    offer: int
    routes: tuple[str, ...]


@define(eq=False)
class Side:
    """A target as the source should see it."""

    incarnation: int = 1
    known: bool = False
    credit: int = 0
    unsettled: deque[Parcel] = field(factory=deque)
    sent: list[Parcel] = field(factory=list)  # unsettled ones which this incarnation was sent
    hand: dict[str, Batch] = field(factory=dict)  # what it really got and has not settled, by id


@define
class Tally:
    """The account of a route as it should be."""

    read: int = 0
    written: int = 0
    already: int = 0
    dead: int = 0


class OutboxMachine(RuleBasedStateMachine):
    """Plays a source, its targets and everything that befalls them."""

    @initialize(letters=st.sampled_from(["letters", "table"]), replayable=st.booleans(), credit=st.integers(1, 3))
    def begin(self, letters: str, replayable: bool, credit: int) -> None:  # noqa: FBT001  Hypothesis passes by keyword
        self.letters, self.replayable = letters, replayable
        self.outbox = Outbox("source", TARGETS, letters)
        self.sides = {name: Side() for name in dict.fromkeys([*TARGETS, letters])}
        self.tallies = {name: Tally() for name in TARGETS}
        self.offers: list[int] = []  # numbers of the offers whose positions are still to be released
        self.released: list[int] = []
        self.settled_ids: list[tuple[str, str]] = []
        self.forgotten_in_hand: dict[tuple[str, str], int] = {}  # of the target's present incarnation
        self.late: list[tuple[str, Batch]] = []  # what a target had in hand when it or the source began a new life
        self.numbers = count(1)
        self.outbox.reopen(replayable=replayable)
        for name in self.sides:
            self.a_target_grants_credit(name, credit, reborn=False)

    # What happens

    @rule(target_name=targets, credit=st.integers(1, 3), reborn=rarely)
    def a_target_grants_credit(self, target_name: str, credit: int, reborn: bool) -> None:  # noqa: FBT001
        side = self.sides.get(target_name)
        if side is None:
            stranger = Granted(target_name, 1, credit)
            assert self.outbox.granted(stranger) == []
            return
        if reborn:
            side.incarnation += 1
            self.forgotten_in_hand = {key: n for key, n in self.forgotten_in_hand.items() if key[0] != target_name}
        if reborn or not side.known:
            self.lose_hands(target_name)
        side.known, side.credit = True, credit
        self.expect(self.outbox.granted(Granted(target_name, side.incarnation, credit)), target_name)

    @rule(sizes=st.lists(st.tuples(st.integers(1, 3), st.sampled_from((0, 0, 1, 2))), min_size=1, max_size=4))
    def the_source_offers(self, sizes: list[tuple[int, int]]) -> None:
        for records, dead in sizes:
            self.offer(records, dead)

    def offer(self, records: int, dead: int) -> None:
        number = next(self.numbers)
        self.offers.append(number)
        made: list[Record] = [price(f"{number}-{n}") for n in range(records)]
        lost = [letter(f"dead-{number}-{n}") for n in range(dead)]
        for name in TARGETS:
            self.tallies[name].read += records + dead
            self.ship(name, Parcel(ids(made), dead=False, offer=number, routes=(name,)))
        if dead:
            self.ship(self.letters, Parcel(ids(lost), dead=True, offer=number, routes=TARGETS))
        sendings = self.outbox.offer(PRICES, made, (Position("s", 0, number, number + 1),), lost)
        self.expect(sendings, *self.sides)

    @rule(target_name=targets, refused=st.sets(st.integers(0, 2)), already=st.integers(0, 3))
    def a_target_settles(self, target_name: str, refused: set[int], already: int) -> None:
        side = self.sides.get(target_name)
        if side is not None and side.hand:
            batch = side.hand[next(iter(side.hand))]
            found = {index for index in refused if index < len(batch.records)}
            already = 0 if batch.kind is DEAD_LETTERS else min(already, len(batch.records) - len(found))
            self.settles(target_name, batch, found, already)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def an_answer_of_an_earlier_incarnation_comes_late(self, data: st.DataObject) -> None:
        target_name, batch = data.draw(st.sampled_from(self.late))
        self.settles(target_name, batch, set())

    def settles(self, target_name: str, batch: Batch, refused: set[int], already: int = 0) -> None:
        side, batch_id = self.sides[target_name], batch.id
        side.hand.pop(batch_id, None)
        answer = self.answer(target_name, batch_id, refused, already)
        parcel = next((one for one in side.unsettled if one.content == ids(batch.records)), None)
        letters: list[DeadLetter] = []
        if isinstance(answer, Rejected):
            found = self.outbox.rejected_records(answer)
            holds_letters = self.outbox.holds_letters(answer)
            assert holds_letters == bool(parcel and parcel.dead)
            assert [record for record, _ in found] == [batch.records[index] for index in sorted(refused) if parcel]
            letters = [] if holds_letters else [letter(f"of-{ids([record])[0]}-{target_name}") for record, _ in found]
        if parcel is None:
            wrote = self.forgotten_in_hand.pop((target_name, batch_id), None)
            if wrote is not None:
                self.tallies[target_name].read += wrote - len(refused) - already
                self.tallies[target_name].written += wrote - len(refused) - already
        else:
            self.settle(side, parcel, letters, already)
            self.settled_ids.append((target_name, batch_id))
        self.expect(self.outbox.settled(answer, letters), *self.sides)

    @precondition(lambda self: self.settled_ids)
    @rule(data=st.data(), refused=st.booleans())
    def a_settlement_comes_twice(self, data: st.DataObject, refused: bool) -> None:  # noqa: FBT001
        target_name, batch_id = data.draw(st.sampled_from(self.settled_ids))
        if batch_id in self.sides[target_name].hand:
            return
        answer = self.answer(target_name, batch_id, {0} if refused else set())
        if isinstance(answer, Rejected):
            assert self.outbox.rejected_records(answer) == []
        self.expect(self.outbox.settled(answer), target_name)

    @rule(target_name=targets)
    def a_stranger_settles(self, target_name: str) -> None:
        self.expect(self.outbox.settled(Written("elsewhere-1-1", target_name)), *self.sides)

    @rule()
    def the_source_takes_positions(self) -> None:
        out = {parcel.offer for side in self.sides.values() for parcel in side.unsettled}
        ready = []
        while self.offers and self.offers[0] not in out:
            ready.append(self.offers.pop(0))
        assert self.outbox.take_positions() == [Position("s", 0, number, number + 1) for number in ready]
        self.released += ready

    @rule(really=rarely)
    def the_source_begins_a_new_life(self, really: bool) -> None:  # noqa: FBT001
        if not really:
            return
        self.outbox.reopen(replayable=self.replayable)
        self.forgotten_in_hand.clear()
        if self.replayable:
            self.forgotten()
        for name, side in self.sides.items():
            side.known = False
            self.lose_hands(name)

    @precondition(lambda self: self.replayable)
    @rule()
    def the_input_is_read_again(self) -> None:
        self.outbox.forget()
        self.forgotten()

    # What should be

    @invariant()
    def accounts_balance(self) -> None:
        for account in self.outbox.routes():
            tally = self.tallies[account.target]
            parcels = [p for side in self.sides.values() for p in side.unsettled if account.target in p.routes]
            out = sum(len(parcel.content) for parcel in parcels)
            counts = (account.read, account.written, account.already_stored, account.dead_lettered)
            assert counts == (tally.read, tally.written, tally.already, tally.dead)
            assert account.in_flight == out
            assert account.read == account.written + account.already_stored + account.dead_lettered + out
            assert account.batches_in_flight == len({parcel.offer for parcel in parcels})

    @invariant()
    def there_is_credit_when_every_target_would_take_one_more(self) -> None:
        would = all(
            side.known and len(side.sent) == len(side.unsettled) and len(side.hand) < side.credit
            for side in self.sides.values()
        )
        assert self.outbox.has_credit() == would

    @invariant()
    def what_is_undelivered_is_what_is_not_settled(self) -> None:
        undelivered = self.outbox.undelivered()
        for name, side in self.sides.items():
            contents = [ids(batch.records) for target, batch in undelivered if target == name]
            assert contents == [parcel.content for parcel in side.unsettled]
        assert self.outbox.unsettled == len(self.offers)

    @invariant()
    def positions_are_released_once_and_in_order(self) -> None:
        assert self.released == sorted(set(self.released))

    # The model

    def ship(self, name: str, parcel: Parcel) -> None:
        self.sides[name].unsettled.append(parcel)

    def settle(self, side: Side, parcel: Parcel, letters: list[DeadLetter], already: int) -> None:
        side.unsettled.remove(parcel)
        if parcel in side.sent:
            side.sent.remove(parcel)
        for route in parcel.routes:
            if parcel.dead:
                self.tallies[route].dead += len(parcel.content)
            else:
                self.tallies[route].already += already
                self.tallies[route].written += len(parcel.content) - len(letters) - already
        if letters:
            self.ship(self.letters, Parcel(ids(letters), dead=True, offer=parcel.offer, routes=parcel.routes))

    def lose_hands(self, name: str) -> None:
        side = self.sides[name]
        self.late += [(name, batch) for batch in side.hand.values()]
        side.hand.clear()
        side.sent.clear()

    def forgotten(self) -> None:
        for name, tally in self.tallies.items():
            parcels = [p for side in self.sides.values() for p in side.unsettled if name in p.routes]
            tally.read -= sum(len(parcel.content) for parcel in parcels)
        for name, side in self.sides.items():
            contents = [parcel.content for parcel in side.unsettled if not parcel.dead]
            for batch in side.hand.values():
                if ids(batch.records) in contents:
                    self.forgotten_in_hand[name, batch.id] = len(batch.records)
        for side in self.sides.values():
            side.unsettled.clear()
            side.sent.clear()
        self.offers.clear()

    def expect(self, sendings: list[Sending], *names: str) -> None:
        """Check that exactly the next unsent batches go out, in order, as far as the credit reaches; take them in."""
        for name in names:
            side = self.sides.get(name)
            going = [sending for sending in sendings if sending.target == name]
            if side is None:
                assert going == []
                continue
            unsent = [parcel for parcel in side.unsettled if parcel not in side.sent]
            room = max(0, side.credit - len(side.hand)) if side.known else 0
            due = unsent[:room]
            assert [ids(sending.deliver.batch.records) for sending in going] == [parcel.content for parcel in due]
            for sending, parcel in zip(going, due, strict=True):
                assert sending.deliver.incarnation == side.incarnation
                assert sending.deliver.source == "source"
                assert sending.deliver.batch.kind is (DEAD_LETTERS if parcel.dead else PRICES)
                side.hand[sending.deliver.batch.id] = sending.deliver.batch
            side.sent += due
        assert {sending.target for sending in sendings} <= set(names)

    @staticmethod
    def answer(target: str, batch_id: str, refused: set[int], already: int = 0) -> Written | Rejected:
        if not refused:
            return Written(batch_id, target, already)
        return Rejected(batch_id, target, tuple(Rejection(index, NO) for index in sorted(refused)), already)


def ids(records: list[Record] | list[DeadLetter]) -> tuple[str, ...]:
    return tuple(one.coin_id if isinstance(one, CryptoPriceData) else getattr(one, "id", "") for one in records)


TestOutbox = pytest.mark.timeout(600)(OutboxMachine.TestCase)  # a failing run takes its time to become a short one
TestOutbox.settings = settings(deadline=None, max_examples=80, stateful_step_count=40)
