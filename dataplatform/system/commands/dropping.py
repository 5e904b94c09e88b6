"""Dropping dead letters: marked as done with, so that nobody is shown or replays them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from attrs import define, field

from dataplatform.base.agent import Clock
from dataplatform.dsl.types import DeadLetter
from dataplatform.system.commands.letters import DeadLetterStore, Mark

__all__ = ["Dropping"]

AT_ONCE = 500  # marks in one request


@define
class Dropping:
    """Chooses letters, then marks them; with `ids` those of them only that begin like one of these."""

    box: DeadLetterStore
    clock: Clock
    ids: tuple[str, ...] = ()
    _chosen: set[str] = field(factory=set)

    def choose(self, letters: Iterable[DeadLetter]) -> None:
        """Choose among letters; of each only the id is kept, as it may hold megabytes."""
        beginnings = self.ids or ("",)
        self._chosen = {letter.id for letter in letters if letter.id.startswith(beginnings)}

    def unclear(self) -> Iterator[tuple[str, int]]:
        """Yield the beginnings of ids that are not those of exactly one letter, and of how many they are."""
        for beginning in self.ids:
            count = sum(one.startswith(beginning) for one in self._chosen)
            if count != 1:
                yield beginning, count

    def drop(self) -> int:
        """Mark the chosen letters durably, and return how many they are; raises `PlatformError` in an outage."""
        now, chosen = self.clock.now(), iter(sorted(self._chosen))
        while ids := list(islice(chosen, AT_ONCE)):
            self.box.mark([Mark(id=one, time=now, targets="") for one in ids])
        return len(self._chosen)
