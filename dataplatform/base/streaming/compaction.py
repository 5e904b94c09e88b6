"""Compaction: of all values that were seen, the latest of each kind of thing, as many as are allowed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any

from attrs import define, field, frozen

__all__ = ["Compacted", "Item"]


@frozen
class Item:
    """A value with its place, a `key` within a `group`; of two in one place the one of the higher `rank` is kept.

    A coin is a group, and the exchanges or the times for which there is something to know of it are its keys.
    """

    group: Hashable
    key: Hashable
    rank: Any
    value: Any


@define(eq=False)
class Compacted:
    """The latest value of each place, of at most `most` places: the one that was not renewed the longest goes first.

    >>> coins = Compacted(most=2)
    >>> coins.add([Item("a", "usd", 1, "old"), Item("b", "usd", 1, "b"), Item("a", "usd", 2, "new")])
    0
    >>> coins.add([Item("a", "usd", 1, "late"), Item("c", "usd", 1, "c")])  # no room for "b"
    1
    >>> coins.values(["a", "b", "x"]), coins.values()
    (['new'], ['new', 'c'])
    """

    most: int
    _items: OrderedDict[tuple[Hashable, Hashable], Item] = field(factory=OrderedDict, init=False)  # as renewed
    _keys: dict[Hashable, dict[Hashable, None]] = field(factory=dict, init=False)  # of each group

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Iterable[Item]) -> int:
        """Take values in the order in which they were seen; answers how many others had to go for them."""
        for item in items:
            place = (item.group, item.key)
            before = self._items.get(place)
            if before is None:
                self._keys.setdefault(item.group, {})[item.key] = None
            elif item.rank < before.rank:
                continue
            self._items[place] = item
            self._items.move_to_end(place)
        evicted = max(0, len(self._items) - self.most)
        for _ in range(evicted):
            self._evict()
        return evicted

    def values(self, groups: Iterable[Hashable] | None = None) -> list[Any]:
        """Return the values of these groups, or all there are; groups that were never seen are absent."""
        if groups is None:
            return [item.value for item in self._items.values()]
        return [self._items[group, key].value for group in groups for key in self._keys.get(group, ())]

    def _evict(self) -> None:
        (group, key), _ = self._items.popitem(last=False)
        keys = self._keys[group]
        del keys[key]
        if not keys:
            del self._keys[group]
