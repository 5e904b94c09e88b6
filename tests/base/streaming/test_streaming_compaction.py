"""What is kept of all values that were seen: the latest of each place, and of those as many as are allowed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataplatform.base.streaming import Item
from dataplatform.base.streaming.view import Compacted

names = st.sampled_from("abc")
batches = st.lists(st.lists(st.builds(Item, names, names, st.integers(0, 3), st.uuids())))


def kept(batches: list[list[Item]]) -> list[Item]:
    """Return the last item of the highest rank of each place, in the order in which they came."""
    model: dict[tuple[object, object], Item] = {}
    for item in (item for batch in batches for item in batch):
        place = (item.group, item.key)
        if place not in model or item.rank >= model[place].rank:
            model.pop(place, None)
            model[place] = item
    return list(model.values())


@given(batches)
def test_with_room_for_all_the_latest_of_each_place_is_kept(batches: list[list[Item]]) -> None:
    compacted = Compacted(most=9)
    assert [compacted.add(batch) for batch in batches] == [0] * len(batches)
    expected = kept(batches)
    assert compacted.values() == [item.value for item in expected]
    for group in "abc":
        values = compacted.values([group])
        assert set(values) == {item.value for item in expected if item.group == group}
        assert len(values) == len(set(values))


@given(batches, st.integers(1, 9))
def test_with_less_room_there_are_never_more_and_each_that_goes_is_counted(
    batches: list[list[Item]], most: int
) -> None:
    compacted = Compacted(most)
    for batch in batches:
        places = {(item.group, item.key) for item in batch}
        before = len(compacted)
        evicted = compacted.add(batch)
        assert len(compacted) <= most
        assert before <= len(compacted) + evicted <= before + len(places)
        assert sorted(compacted.values(), key=str) == sorted(compacted.values("abc"), key=str)


def test_of_those_with_one_rank_the_later_is_kept() -> None:
    compacted = Compacted(most=1)
    compacted.add([Item("a", "usd", 1, "first"), Item("a", "usd", 1, "second")])
    assert compacted.values() == ["second"]


def test_the_one_that_was_not_renewed_the_longest_goes_and_its_group_with_its_last() -> None:
    compacted = Compacted(most=2)
    compacted.add([Item("a", "usd", 1, "a"), Item("b", "usd", 1, "b"), Item("a", "usd", 1, "again")])
    assert compacted.add([Item("c", "usd", 1, "c")]) == 1
    assert compacted.values(["a", "b", "c"]) == ["again", "c"]
