"""The account of a route: what was read for it, and what became of it."""

from __future__ import annotations

from attrs import define

__all__ = ["RouteAccount"]


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
