"""The outbox: what a source has sent and not yet seen settled. Pure bookkeeping; the source sends what it says.

It outlives the source's actor. A source that can read its input again (a topic) forgets what was unsettled when it
died and reads it anew; one that cannot (a poll of an API) keeps it here and sends it again.
"""

from __future__ import annotations

from itertools import count, takewhile

from attrs import define, evolve, field, frozen

from dataplatform.dsl.flow.account import RouteAccount
from dataplatform.dsl.flow.batch import Batch, Deliver, Granted, Position, Rejected, Rejection, Written
from dataplatform.dsl.kinds import DEAD_LETTERS, Kind
from dataplatform.dsl.types import DeadLetter, Record

__all__ = ["Outbox", "Sending"]


@frozen
class Sending:
    """What to tell whom."""

    target: str
    deliver: Deliver


@define(eq=False)
class Lane:
    """One target as the source sees it; without an incarnation it has granted nothing yet."""

    target: str
    incarnation: int | None = None
    credit: int = 0
    in_flight: int = 0

    @property
    def open(self) -> bool:
        return self.incarnation is not None and self.in_flight < self.credit


@define(eq=False)
class Entry:
    """Input that was offered; its positions may be committed when nothing is out for it and all before it."""

    positions: tuple[Position, ...]
    out: int = 0


@define(eq=False)
class Shipment:
    """One batch on its way to one target, and the routes whose accounts wait for it."""

    batch: Batch
    target: str
    entry: Entry
    accounts: tuple[RouteAccount, ...]

    @property
    def dead(self) -> bool:
        return self.batch.kind is DEAD_LETTERS


@define(eq=False)
class Outbox:
    """The unsettled batches of one source, the credit of its targets, and the accounts of its routes.

    `dead_letters` is the target that takes the dead letters of all its routes.
    """

    source: str
    targets: tuple[str, ...]
    dead_letters: str
    _accounts: dict[str, RouteAccount] = field(init=False)
    _lanes: dict[str, Lane] = field(init=False)
    _entries: list[Entry] = field(factory=list, init=False)
    _shipments: dict[tuple[str, str], Shipment] = field(factory=dict, init=False)
    _life: int = field(default=0, init=False)
    _numbers: count[int] = field(factory=lambda: count(1), init=False)

    def __attrs_post_init__(self) -> None:
        self._accounts = {target: RouteAccount(self.source, target) for target in self.targets}
        self._lanes = {name: Lane(name) for name in dict.fromkeys([*self.targets, self.dead_letters])}

    def reopen(self, *, replayable: bool) -> None:
        """Begin a new life of the source: no target has granted anything to it yet."""
        self._life += 1
        for lane in self._lanes.values():
            lane.incarnation, lane.in_flight = None, 0
        if replayable:
            self.forget()

    def forget(self) -> None:
        """Drop what is unsettled, because its input will be read again; its settlements to come are ignored."""
        for lane in self._lanes.values():
            lane.in_flight = 0
        for account in self._accounts.values():
            account.read -= account.in_flight
        self._entries.clear()
        self._shipments.clear()

    @property
    def unsettled(self) -> int:
        """How many offers are not settled, or not yet taken by `take_positions`."""
        return len(self._entries)

    def has_credit(self) -> bool:
        """Tell whether every target would take one more batch."""
        return all(lane.open for lane in self._lanes.values())

    def routes(self) -> list[RouteAccount]:
        """Return a copy of the accounts, safe to call from any thread."""
        shipments = list(self._shipments.values())
        return [
            evolve(account, batches_in_flight=len({id(s.entry) for s in shipments if account in s.accounts}))
            for account in self._accounts.values()
        ]

    def offer(
        self,
        kind: Kind | None,
        records: list[Record],
        positions: tuple[Position, ...] = (),
        letters: list[DeadLetter] | None = None,
    ) -> list[Sending]:
        """Take in records for every route, and the dead letters of input that is no record."""
        entry = Entry(positions)
        self._entries.append(entry)
        letters = letters or []
        for account in self._accounts.values():
            account.read += len(records) + len(letters)
        sendings = []
        if records and kind is not None:
            batch = Batch(self._number(), kind, records, positions)
            for account in self._accounts.values():
                sendings += self._ship(Shipment(batch, account.target, entry, (account,)))
        if letters:
            sendings += self._ship_letters(letters, entry, tuple(self._accounts.values()))
        return sendings

    def granted(self, message: Granted) -> list[Sending]:
        """Note a target's credit; what an earlier incarnation of it had in hand is sent again, in order."""
        lane = self._lanes.get(message.target)
        if lane is None:
            return []
        lane.credit = message.batches
        if lane.incarnation == message.incarnation:
            return []
        lane.incarnation, lane.in_flight = message.incarnation, 0
        again = [shipment for shipment in self._shipments.values() if shipment.target == lane.target]
        return [sending for shipment in again for sending in self._send(shipment, lane)]

    def settled(self, message: Written | Rejected, letters: list[DeadLetter] | None = None) -> list[Sending]:
        """Note that a target is done with a batch; `letters` are those of `rejected_records`, to be sent on."""
        shipment = self._shipments.pop((message.batch_id, message.target), None)
        if shipment is None:
            return []
        self._lanes[message.target].in_flight -= 1
        shipment.entry.out -= 1
        for account in shipment.accounts:
            if shipment.dead:
                account.dead_lettered += len(shipment.batch.records)
            else:
                account.written += len(shipment.batch.records) - len(letters or ())
        return self._ship_letters(letters, shipment.entry, shipment.accounts) if letters else []

    def rejected_records(self, message: Rejected) -> list[tuple[Record, Rejection]]:
        """Return the records a target refused, with the reasons."""
        shipment = self._shipments.get((message.batch_id, message.target))
        if shipment is None:
            return []
        return [(shipment.batch.records[rejection.index], rejection) for rejection in message.rejections]

    def take_positions(self) -> list[Position]:
        """Return the positions that may be committed now: those before the oldest unsettled offer."""
        settled = list(takewhile(lambda entry: not entry.out, self._entries))
        del self._entries[: len(settled)]
        return [position for entry in settled for position in entry.positions]

    def _ship_letters(
        self, letters: list[DeadLetter], entry: Entry, accounts: tuple[RouteAccount, ...]
    ) -> list[Sending]:
        batch = Batch(self._number(), DEAD_LETTERS, list(letters))
        return self._ship(Shipment(batch, self.dead_letters, entry, accounts))

    def _ship(self, shipment: Shipment) -> list[Sending]:
        self._shipments[shipment.batch.id, shipment.target] = shipment
        shipment.entry.out += 1
        return self._send(shipment, self._lanes[shipment.target])

    def _send(self, shipment: Shipment, lane: Lane) -> list[Sending]:
        if lane.incarnation is None:
            return []  # sent when the target grants credit
        lane.in_flight += 1
        return [Sending(lane.target, Deliver(shipment.batch, self.source, lane.incarnation))]

    def _number(self) -> str:
        """Return a batch's id, unique over all lives of the source."""
        return f"{self.source}-{self._life}-{next(self._numbers)}"
