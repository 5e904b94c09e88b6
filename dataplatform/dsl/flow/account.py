"""The account of a route: what was read for it, and what became of it."""

from __future__ import annotations

from attrs import define

__all__ = ["RouteAccount"]


@define(eq=False)
class RouteAccount:
    """Counts of records on the way from one source to one target; `read == written + dead_lettered + in_flight`."""

    source: str
    target: str
    read: int = 0
    written: int = 0
    dead_lettered: int = 0
    batches_in_flight: int = 0

    @property
    def in_flight(self) -> int:
        return self.read - self.written - self.dead_lettered
