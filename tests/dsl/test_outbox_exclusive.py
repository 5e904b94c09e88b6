"""The outbox of a source whose one target commits the positions itself: letters first, and one batch at a time."""

from __future__ import annotations

import pytest

from dataplatform.dsl.flow import Granted, Outbox, Position, Rejected, Rejection, Sending, Written
from dataplatform.dsl.flow.batches import Abandoned
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.errors import Permanent
from tests.dsl.records import letter, prices
from tests.dsl.test_outbox import counts, held, written

NO = Permanent("rejected", "no")
CREDIT = 3


@pytest.fixture(params=["letters", "table"])
def box(request: pytest.FixtureRequest) -> Outbox:
    """Return an outbox whose dead letters go elsewhere, or to the same target."""
    box = Outbox("source", ("table",), request.param, exclusive=True)
    box.reopen(replayable=True)
    for name in {"table", request.param}:
        box.granted(Granted(name, 1, CREDIT))
    return box


def offer(box: Outbox, *coins: str, at: int = 0, letters: int = 0) -> list[Sending]:
    dead = [letter(f"letter {at + number}") for number in range(letters)]
    return box.offer(PRICES, prices(*coins), (Position("log", 0, at, at + 10),), dead)


def rejected(box: Outbox, sending: Sending, *indices: int) -> list[Sending]:
    message = Rejected(sending.deliver.batch.id, sending.target, tuple(Rejection(index, NO) for index in indices))
    return box.settled(message, [letter(f"of {index}") for index, _ in enumerate(indices)])


def test_a_batch_is_sent_when_the_one_before_is_settled_and_the_next_may_be_read_meanwhile(box: Outbox) -> None:
    (first,) = offer(box, "a")
    assert first.deliver.batch.exclusive
    assert box.has_credit()
    assert offer(box, "b", at=10) == []
    assert not box.has_credit()
    assert held(written(box, first)) == [("table", ["b"])]


def test_positions_are_sent_even_without_a_record(box: Outbox) -> None:
    (sending,) = offer(box)
    assert (sending.deliver.batch.records, sending.deliver.batch.positions) == ([], (Position("log", 0, 0, 10),))


def test_a_batch_waits_until_the_letters_of_its_input_are_kept_and_those_behind_it_wait_too(box: Outbox) -> None:
    (letters,) = offer(box, "a", letters=2)
    assert held([letters]) == [(box.dead_letters, ["letter 0", "letter 1"])]
    assert offer(box, "b", at=10) == []
    (sending,) = written(box, letters)
    assert held([sending]) == [("table", ["a"])]
    assert held(written(box, sending)) == [("table", ["b"])]


def test_of_a_batch_with_refused_records_the_others_are_sent_again_when_the_letters_are_kept(box: Outbox) -> None:
    (sending,) = offer(box, "a", "b", "c")
    offer(box, "d", at=10)
    (letters,) = rejected(box, sending, 0, 2)
    assert held([letters]) == [(box.dead_letters, ["of 0", "of 1"])]
    (rest,) = written(box, letters)
    assert held([rest]) == [("table", ["b"])]
    assert rest.deliver.batch.positions == sending.deliver.batch.positions
    assert rest.deliver.batch.id != sending.deliver.batch.id
    assert held(written(box, rest)) == [("table", ["d"])]
    assert counts(box) == (4, 1, 2, 1)


def test_positions_are_released_when_the_rest_is_written(box: Outbox) -> None:
    (sending,) = offer(box, "a", "b")
    (letters,) = rejected(box, sending, 1)
    assert box.take_positions() == []
    (rest,) = written(box, letters)
    assert box.take_positions() == []
    written(box, rest)
    assert box.take_positions() == [Position("log", 0, 0, 10)]


def test_a_new_incarnation_of_the_target_gets_them_in_the_same_order(box: Outbox) -> None:
    (sending,) = offer(box, "a", "b")
    offer(box, "c", at=10)
    rejected(box, sending, 0)
    found = box.granted(Granted(box.dead_letters, 2, CREDIT)) + box.granted(Granted("table", 3, CREDIT))
    assert {target for target, _ in held(found)} == {box.dead_letters}
    (rest,) = written(box, found[-1])
    assert held([rest]) == [("table", ["b"])]
    assert held(written(box, rest)) == [("table", ["c"])]


def test_what_is_abandoned_is_forgotten_with_all_behind_it_and_gives_back_its_credit(box: Outbox) -> None:
    (sending,) = offer(box, "a")
    offer(box, "b", at=10, letters=1)
    box.forget()
    box.settled(Abandoned(sending.deliver.batch.id, "table"))
    assert counts(box) == (0, 0, 0, 0)
    (again,) = offer(box, "a")
    assert held(written(box, again) + offer(box, "b", at=10)) == [("table", ["b"])]


def test_records_that_are_written_count_once(box: Outbox) -> None:
    (sending,) = offer(box, "a", "b")
    box.settled(Written(sending.deliver.batch.id, "table"))
    assert counts(box) == (2, 2, 0, 0)
