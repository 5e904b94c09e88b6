"""The outbox: what a source has sent and not yet seen settled. Pure bookkeeping; the source sends what it says.

It outlives the source's actor. A source that can read its input again (a topic) forgets what was unsettled when it
died and reads it anew; one that cannot (a poll of an API) keeps it here and sends it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile

from attrs import define, evolve, field, frozen

from dataplatform.dsl.flow.batches import (
    Abandoned,
    Batch,
    Deliver,
    Granted,
    Missing,
    Position,
    Rejected,
    Rejection,
    RouteAccount,
    Written,
)
from dataplatform.dsl.flow.standstill import Waiting
from dataplatform.dsl.records.kinds import DEAD_LETTERS, Kind
from dataplatform.dsl.records.types import DeadLetter, Record

__all__ = ["Outbox", "Sending"]


@frozen
class Sending:
    """What to tell whom."""

    target: str
    deliver: Deliver


@define(eq=False)
class Lane:
    """One target as the source sees it; without an incarnation it has granted nothing yet.

    `in_hand` are the ids of what the target's incarnation was sent and has not settled, forgotten batches included, so
    that it never has more than it granted; `waiting` are the batches for which there was no credit left, by id. Those
    `held` wait for dead letters to be kept first, and the ones behind them wait with them. Where each batch has to be
    settled before the next one is sent, there is never more than one in hand.
    """

    target: str
    one_by_one: bool = False
    incarnation: int | None = None
    credit: int = 0
    in_hand: set[str] = field(factory=set)
    waiting: dict[str, Batch] = field(factory=dict)
    held: set[str] = field(factory=set)
    settlements: int = 0  # counted in all

    @property
    def open(self) -> bool:
        return self.incarnation is not None and not self.waiting and len(self.in_hand) < self.credit

    @property
    def _has_room(self) -> bool:
        most = min(self.credit, 1) if self.one_by_one else self.credit
        return self.incarnation is not None and len(self.in_hand) < most

    def fill(self, source: str) -> list[Sending]:
        """Return what may be sent now, in order."""
        sendings: list[Sending] = []
        while self.waiting and self._has_room and next(iter(self.waiting)) not in self.held:
            assert self.incarnation is not None, "it has room"
            batch = self.waiting.pop(next(iter(self.waiting)))
            self.in_hand.add(batch.id)
            sendings.append(Sending(self.target, Deliver(batch, source, self.incarnation)))
        return sendings


@define(eq=False)
class Entry:
    """Input that was offered; its positions may be committed when nothing is out for it and all before it.

    `letters` are how many of its batches of dead letters are out, and `held` the batch that waits for them.
    """

    positions: tuple[Position, ...]
    out: int = 0
    letters: int = 0
    held: str = ""


@define(eq=False)
class Shipment:
    """One batch on its way to one target, and the routes whose accounts wait for it; `dead` if it holds their letters.

    Dead letters that were read from somewhere, as records, are a batch like any other.
    """

    batch: Batch
    target: str
    entry: Entry
    accounts: tuple[RouteAccount, ...]
    dead: bool = False


@frozen
class Forgotten:
    """A batch that its target's incarnation had in hand when the source forgot it, and will settle all the same."""

    accounts: tuple[RouteAccount, ...]
    records: int
    incarnation: int | None


@define(eq=False)
class Outbox:
    """The unsettled batches of one source, the credit of its targets, and the accounts of its routes.

    `dead_letters` is the target that takes the dead letters of all its routes; it may be the target of a route too.
    `paused` says that the source is to read nothing, its next incarnation included. Where one target is `exclusive`, it
    commits the positions of its batches itself, together with the records: then each batch waits until the dead letters
    of its input are kept, and for the batch before it.
    """

    source: str
    targets: tuple[str, ...]
    dead_letters: str
    paused: bool = False
    exclusive: bool = False
    _accounts: dict[str, RouteAccount] = field(init=False)
    _lanes: dict[str, Lane] = field(init=False)
    _entries: list[Entry] = field(factory=list, init=False)
    _shipments: dict[tuple[str, str], Shipment] = field(factory=dict, init=False)
    _forgotten: dict[tuple[str, str], Forgotten] = field(factory=dict, init=False)
    _life: int = field(default=0, init=False)
    _numbers: count[int] = field(factory=lambda: count(1), init=False)

    def __attrs_post_init__(self) -> None:
        self._accounts = {target: RouteAccount(self.source, target) for target in self.targets}
        self._lanes = {
            name: Lane(name, one_by_one=self.exclusive and name in self.targets)
            for name in dict.fromkeys([*self.targets, self.dead_letters])
        }

    def reopen(self, *, replayable: bool) -> None:
        """Begin a new life of the source: no target has granted anything to it yet."""
        self._life += 1
        self._forgotten.clear()
        if replayable:
            self.forget()
        for lane in self._lanes.values():
            lane.incarnation = None
            lane.in_hand.clear()

    def forget(self) -> None:
        """Drop what is unsettled, because its input will be read again.

        The targets still hold what they were sent; when they settle it, that gives back credit, and what they wrote of
        it counts as read and written, as it will be stored already when it is read again.
        """
        for key, shipment in self._shipments.items():
            lane = self._lanes[shipment.target]
            if shipment.batch.id in lane.in_hand and not shipment.dead:
                self._forgotten[key] = Forgotten(shipment.accounts, len(shipment.batch.records), lane.incarnation)
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.held.clear()
        for account in self._accounts.values():
            account.read -= account.in_flight
        self._entries.clear()
        self._shipments.clear()

    @property
    def unsettled(self) -> int:
        """How many offers are not settled, or not yet taken by `take_positions`."""
        return len(self._entries)

    def undelivered(self) -> list[tuple[str, Batch]]:
        """Return the targets and batches that are not settled, in order."""
        return [(shipment.target, shipment.batch) for shipment in self._shipments.values()]

    def has_credit(self) -> bool:
        """Tell whether every target would take one more batch."""
        return all(lane.open for lane in self._lanes.values())

    def routes(self) -> list[RouteAccount]:
        """Return a copy of the accounts, safe to call from any thread: `read` is copied last, so it is never short."""
        shipments = list(self._shipments.values())
        return [
            RouteAccount(
                account.source,
                account.target,
                batches_in_flight=len({id(s.entry) for s in shipments if account in s.accounts}),
                written=account.written,
                already_stored=account.already_stored,
                dead_lettered=account.dead_lettered,
                read=account.read,
            )
            for account in self._accounts.values()
        ]

    def offer(
        self,
        kind: Kind,
        records: list[Record],
        positions: tuple[Position, ...] = (),
        letters: Sequence[DeadLetter] = (),
    ) -> list[Sending]:
        """Take in records for every route, and the dead letters of input that is no record."""
        entry = Entry(positions)
        self._entries.append(entry)
        for account in self._accounts.values():
            account.read += len(records) + len(letters)
        accounts = tuple(self._accounts.values())
        sendings = self._ship_letters(letters, entry, accounts) if self.exclusive else []
        if records or positions:
            batch = Batch(self._number(), kind, records, positions, self.exclusive)
            for account in accounts:
                shipment = Shipment(batch, account.target, entry, (account,))
                sendings += self._ship(shipment, held=self.exclusive and bool(letters))
        return sendings if self.exclusive else sendings + self._ship_letters(letters, entry, accounts)

    def granted(self, message: Granted) -> list[Sending]:
        """Note a target's credit; what an earlier incarnation of it had in hand is sent again, in order."""
        lane = self._lanes.get(message.target)
        if lane is None:
            return []
        lane.credit = message.batches
        if lane.incarnation != message.incarnation:
            lane.incarnation = message.incarnation
            lane.in_hand.clear()
            self._forgotten = {
                key: one
                for key, one in self._forgotten.items()
                if key[1] != lane.target or one.incarnation == message.incarnation
            }
            lane.waiting = {batch.id: batch for target, batch in self.undelivered() if target == lane.target}
        return lane.fill(self.source)

    def waiting(self) -> list[Waiting]:
        """Return the targets that have batches to settle, and what they have in hand of them."""
        return [
            Waiting(lane.target, batches, lane.settlements, frozenset(lane.in_hand), lane.incarnation)
            for lane in self._lanes.values()
            if (batches := len(lane.in_hand) + len(lane.waiting))
        ]

    def missing(self, message: Missing) -> list[Sending]:
        """Take back what a target was sent and has not got, and send it again, in order, unless it was forgotten."""
        lane = self._lanes.get(message.target)
        if lane is None or lane.incarnation != message.incarnation:
            return []
        lost = lane.in_hand & message.batch_ids
        lane.in_hand -= lost
        again = {batch.id: batch for target, batch in self.undelivered() if target == lane.target and batch.id in lost}
        lane.waiting = again | lane.waiting
        return lane.fill(self.source)

    def settled(self, message: Written | Rejected | Abandoned, letters: Sequence[DeadLetter] = ()) -> list[Sending]:
        """Note that a target is done with a batch; `letters` are those of `rejected_records`, to be sent on."""
        lane = self._lanes.get(message.target)
        if lane is None:
            return []
        lane.in_hand.discard(message.batch_id)
        lane.settlements += 1
        shipment = self._shipments.pop((message.batch_id, message.target), None)
        if shipment is None:
            self._count_forgotten(lane, message)
            return lane.fill(self.source)
        lane.waiting.pop(message.batch_id, None)  # an earlier incarnation's answer came late
        shipment.entry.out -= 1
        if lane.one_by_one and isinstance(message, Rejected) and not shipment.dead:
            rest = self._rest(shipment, message)
            sendings = self._ship(rest, first=True, held=bool(letters))
            return sendings + self._ship_letters(letters, shipment.entry, shipment.accounts)
        already = 0 if isinstance(message, Abandoned) else message.already_stored
        for account in shipment.accounts:
            if shipment.dead:
                account.dead_lettered += len(shipment.batch.records)
            else:
                account.already_stored += already
                account.written += len(shipment.batch.records) - len(letters) - already
        released = self._release(shipment.entry) if shipment.dead else []
        return released + lane.fill(self.source) + self._ship_letters(letters, shipment.entry, shipment.accounts)

    def rejected_records(self, message: Rejected) -> list[tuple[Record, Rejection]]:
        """Return the records a target refused, with the reasons."""
        shipment = self._shipments.get((message.batch_id, message.target))
        if shipment is None:
            return []
        return [(shipment.batch.records[rejection.index], rejection) for rejection in message.rejections]

    def holds_letters(self, message: Written | Rejected) -> bool:
        """Tell whether the batch holds dead letters of this source's routes, of which no letters are made."""
        shipment = self._shipments.get((message.batch_id, message.target))
        return shipment is not None and shipment.dead

    def take_positions(self) -> list[Position]:
        """Return the positions that may be committed now: those before the oldest unsettled offer."""
        settled = list(takewhile(lambda entry: not entry.out, self._entries))
        del self._entries[: len(settled)]
        return [position for entry in settled for position in entry.positions]

    def _ship_letters(
        self, letters: Sequence[DeadLetter], entry: Entry, accounts: tuple[RouteAccount, ...]
    ) -> list[Sending]:
        if not letters:
            return []
        batch = Batch(self._number(), DEAD_LETTERS, list(letters))
        entry.letters += 1
        return self._ship(Shipment(batch, self.dead_letters, entry, accounts, dead=True), first=self.exclusive)

    def _rest(self, shipment: Shipment, message: Rejected) -> Shipment:
        """Return what is left of a batch of which nothing was written, as a batch of its own."""
        refused = {rejection.index for rejection in message.rejections}
        rest = [record for index, record in enumerate(shipment.batch.records) if index not in refused]
        return evolve(shipment, batch=evolve(shipment.batch, id=self._number(), records=rest))

    def _ship(self, shipment: Shipment, *, first: bool = False, held: bool = False) -> list[Sending]:
        """Put the batch behind what waits for its target already, for as long as that has no credit left.

        What has to be dealt with `first` is put before it; what is `held` waits for the letters of its entry.
        """
        key, lane = (shipment.batch.id, shipment.target), self._lanes[shipment.target]
        self._shipments = {key: shipment} | self._shipments if first else self._shipments | {key: shipment}
        shipment.entry.out += 1
        if held:
            lane.held.add(shipment.batch.id)
            shipment.entry.held = shipment.batch.id
        waiting = {shipment.batch.id: shipment.batch}
        lane.waiting = waiting | lane.waiting if first else lane.waiting | waiting
        return lane.fill(self.source)

    def _release(self, entry: Entry) -> list[Sending]:
        """Note that letters are kept; when all of an entry are, its batch waits for them no longer."""
        entry.letters -= 1
        freed = [lane for lane in self._lanes.values() if entry.held in lane.held and not entry.letters]
        for lane in freed:
            lane.held.discard(entry.held)
        return [sending for lane in freed for sending in lane.fill(self.source)]

    def _count_forgotten(self, lane: Lane, message: Written | Rejected | Abandoned) -> None:
        """Count what was written of a batch that was forgotten while its target had it in hand."""
        forgotten = self._forgotten.pop((message.batch_id, message.target), None)
        if forgotten is None or isinstance(message, Abandoned) or (lane.one_by_one and isinstance(message, Rejected)):
            return
        refused = len(message.rejections) if isinstance(message, Rejected) else 0
        wrote = forgotten.records - refused - message.already_stored
        for account in forgotten.accounts:
            account.read += wrote
            account.written += wrote

    def _number(self) -> str:
        """Return a batch's id, unique over all lives of the source."""
        return f"{self.source}-{self._life}-{next(self._numbers)}"
