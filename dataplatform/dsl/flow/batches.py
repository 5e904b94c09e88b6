"""What sources and targets are asked, and what they say to each other: one message per batch.

The account of a route: what was read for it, and what became of it.
"""

from __future__ import annotations

from typing import TypeVar

from attrs import define, field, frozen

from dataplatform.base.agent import Request
from dataplatform.base.position import Position
from dataplatform.dsl.records.kinds import Kind
from dataplatform.dsl.records.types import Record
from dataplatform.errors import PlatformError

__all__ = [
    "Abandoned",
    "Batch",
    "Deliver",
    "Granted",
    "Missing",
    "Position",
    "Recount",
    "Rejected",
    "Rejection",
    "RouteAccount",
    "SourceRequest",
    "TargetRequest",
    "Written",
]

T_co = TypeVar("T_co", covariant=True)


class SourceRequest(Request[T_co]):
    """What every source is asked, and no other agent."""

    __slots__ = ()


class TargetRequest(Request[T_co]):
    """What every target is asked, and no other agent."""

    __slots__ = ()


@frozen
class Batch:
    """Records of one kind, and the positions that may be committed once all targets have written them.

    An `exclusive` batch goes to one target alone, which commits the positions itself, together with the records.
    """

    id: str
    kind: Kind
    records: list[Record] = field(repr=lambda records: f"{len(records)} records")
    positions: tuple[Position, ...] = ()
    exclusive: bool = False


@frozen
class Deliver:
    """A source hands a batch to a target, meant for the incarnation that granted the credit and for no other."""

    batch: Batch
    source: str
    incarnation: int


@frozen
class Granted:
    """A target allows a source `batches` in flight. A new incarnation has lost what the one before had in hand."""

    target: str
    incarnation: int
    batches: int


@frozen
class Recount:
    """A source has waited long for these batches to be settled, and asks whether they are there and being written."""

    source: str
    incarnation: int
    batch_ids: frozenset[str]


@frozen
class Missing:
    """A target has none of these batches, whatever became of them."""

    target: str
    incarnation: int
    batch_ids: frozenset[str]


@frozen
class Written:
    """All records of the batch are durable in the target; `already_stored` of them were so before."""

    batch_id: str
    target: str
    already_stored: int = 0


@frozen
class Abandoned:
    """Nothing of the batch was written, and nothing will: its stream has to be read again from where it is settled."""

    batch_id: str
    target: str


@frozen
class Rejection:
    """The record at `index` of a batch can never be written."""

    index: int
    error: PlatformError


@frozen
class Rejected:
    """The batch is durable in the target except for records that never will be.

    Where the target commits the batch's positions itself, nothing of it is: the others are to be sent again once the
    dead letters are kept.
    """

    batch_id: str
    target: str
    rejections: tuple[Rejection, ...]
    already_stored: int = 0


@define(eq=False)
class RouteAccount:
    """Counts of records on the way from one source to one target.

    `read == written + already_stored + dead_lettered + in_flight`. What was `written` by all members of a group is what
    the target gained: a row that updates another one with its key is written, one that is left out because it was
    written before, by whomever, is `already_stored`. A record that is read again counts as read again.
    """

    source: str
    target: str
    read: int = 0
    written: int = 0
    already_stored: int = 0
    dead_lettered: int = 0
    batches_in_flight: int = 0

    @property
    def in_flight(self) -> int:
        return self.read - self.written - self.already_stored - self.dead_lettered
