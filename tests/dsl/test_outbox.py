"""The outbox by example: who is sent what and when, and what is released and counted when it is settled."""

from __future__ import annotations

import pytest

from dataplatform.dsl.flow import Granted, Outbox, Position, Rejected, Rejection, RouteAccount, Sending, Written
from dataplatform.dsl.records.kinds import DEAD_LETTERS, PRICES
from dataplatform.dsl.records.types import CryptoPriceData, DeadLetter
from dataplatform.errors import Permanent
from tests.dsl.records import letter, prices

NO = Permanent("rejected", "no")


def outbox(*targets: str, letters: str = "letters", credit: int = 2, replayable: bool = True) -> Outbox:
    """Return an outbox whose targets, and the dead letters' one, have granted their credit."""
    made = Outbox("source", targets or ("table",), letters)
    made.reopen(replayable=replayable)
    for name in dict.fromkeys([*made.targets, letters]):
        made.granted(Granted(name, 1, credit))
    return made


def offer(box: Outbox, *coins: str, at: int = 0) -> list[Sending]:
    return box.offer(PRICES, prices(*coins), (Position("log", 0, at, at + 1),))


def held(sendings: list[Sending]) -> list[tuple[str, list[str]]]:
    """Return whom the sendings go to, and the ids of what they hold."""
    return [(sending.target, [name(one) for one in sending.deliver.batch.records]) for sending in sendings]


def name(record: object) -> str:
    if isinstance(record, DeadLetter):
        return record.id
    assert isinstance(record, CryptoPriceData)
    return record.coin_id


def written(box: Outbox, sending: Sending) -> list[Sending]:
    return box.settled(Written(sending.deliver.batch.id, sending.target))


def account(box: Outbox, target: str = "table") -> RouteAccount:
    (found,) = [route for route in box.routes() if route.target == target]
    return found


def counts(box: Outbox, target: str = "table") -> tuple[int, int, int, int]:
    route = account(box, target)
    return route.read, route.written, route.dead_lettered, route.in_flight


def test_nothing_is_sent_and_nothing_read_before_a_target_grants_credit() -> None:
    box = Outbox("source", ("table",), "letters")
    box.reopen(replayable=True)
    assert not box.has_credit()
    assert offer(box, "a") == []
    assert held(box.granted(Granted("table", 1, 2))) == [("table", ["a"])]
    assert not box.has_credit(), "the dead letters' target has granted nothing yet"
    box.granted(Granted("letters", 1, 2))
    assert box.has_credit()


def test_a_batch_is_meant_for_the_incarnation_that_granted() -> None:
    (sending,) = offer(outbox(), "a")
    assert (sending.deliver.incarnation, sending.deliver.source) == (1, "source")
    assert sending.deliver.batch.kind is PRICES


def test_what_exceeds_the_credit_waits_and_follows_in_order() -> None:
    box = outbox(credit=2)
    first, second = offer(box, "a") + offer(box, "b")
    assert offer(box, "c") == offer(box, "d") == []
    assert not box.has_credit()
    assert held(written(box, first)) == [("table", ["c"])]
    assert held(written(box, second)) == [("table", ["d"])]


def test_a_higher_credit_of_the_same_incarnation_sends_only_what_waits() -> None:
    box = outbox(credit=1)
    offer(box, "a"), offer(box, "b")
    assert held(box.granted(Granted("table", 1, 3))) == [("table", ["b"])]


def test_a_new_incarnation_is_sent_all_that_is_unsettled_as_far_as_its_credit_reaches() -> None:
    box = outbox(credit=3)
    sendings = [sending for coin in "abc" for sending in offer(box, coin)]
    written(box, sendings[1])
    again = box.granted(Granted("table", 2, 1))
    assert held(again) == [("table", ["a"])]
    assert again[0].deliver.incarnation == 2
    assert held(written(box, again[0])) == [("table", ["c"])]


def test_an_answer_of_an_earlier_incarnation_settles_what_waits_to_be_sent_again() -> None:
    box = outbox(credit=2)
    sendings = offer(box, "a") + offer(box, "b")
    again = box.granted(Granted("table", 2, 1))
    assert held(again) == [("table", ["a"])]
    assert written(box, sendings[1]) == []
    assert written(box, again[0]) == [], "b has been settled, and is not sent a second time"
    assert counts(box) == (2, 2, 0, 0)
    assert box.has_credit()


def test_positions_are_released_in_order_when_all_targets_have_settled() -> None:
    box = outbox("table", "topic")
    first, second = offer(box, "a", at=1), offer(box, "b", at=2)
    for sending in second:
        written(box, sending)
    written(box, first[0])
    assert box.take_positions() == []
    assert box.unsettled == 2
    written(box, first[1])
    assert box.take_positions() == [Position("log", 0, 1, 2), Position("log", 0, 2, 3)]
    assert box.take_positions() == []
    assert box.unsettled == 0


def test_positions_without_records_are_sent_and_settled_in_their_turn() -> None:
    box = outbox()
    (sending,) = offer(box, "a", at=1)
    (empty,) = box.offer(PRICES, [], (Position("log", 0, 2, 3),))
    assert empty.deliver.batch.positions == (Position("log", 0, 2, 3),)
    written(box, empty)
    assert box.take_positions() == []
    written(box, sending)
    assert len(box.take_positions()) == 2


def test_an_offer_of_nothing_is_settled_at_once() -> None:
    box = outbox()
    assert box.offer(PRICES, [], ()) == []
    assert box.unsettled == 1
    assert box.take_positions() == []
    assert box.unsettled == 0


def test_rejected_records_become_dead_letters_which_their_positions_wait_for() -> None:
    box = outbox()
    (sending,) = offer(box, "a", "b", "c")
    answer = Rejected(sending.deliver.batch.id, "table", (Rejection(1, NO),))
    assert [(name(record), rejection.error) for record, rejection in box.rejected_records(answer)] == [("b", NO)]
    assert not box.holds_letters(answer)
    (on,) = box.settled(answer, [letter("of-b")])
    assert held([on]) == [("letters", ["of-b"])]
    assert on.deliver.batch.kind is DEAD_LETTERS
    assert counts(box) == (3, 2, 0, 1)
    assert box.take_positions() == []
    assert box.holds_letters(Written(on.deliver.batch.id, "letters"))
    written(box, on)
    assert counts(box) == (3, 2, 1, 0)
    assert len(box.take_positions()) == 1


def test_a_rejection_that_comes_twice_makes_no_letters_twice() -> None:
    box = outbox()
    (sending,) = offer(box, "a")
    answer = Rejected(sending.deliver.batch.id, "table", (Rejection(0, NO),))
    box.settled(answer, [letter("of-a")])
    assert box.rejected_records(answer) == []
    assert not box.holds_letters(answer)
    assert box.settled(answer) == []
    assert counts(box) == (1, 0, 0, 1)


def test_a_target_that_takes_the_dead_letters_gets_them_behind_what_waits() -> None:
    box = outbox(letters="table", credit=1)
    (sending,) = offer(box, "a")
    offer(box, "b")
    answer = Rejected(sending.deliver.batch.id, "table", (Rejection(0, NO),))
    (second,) = box.settled(answer, [letter("of-a")])
    assert held([second]) == [("table", ["b"])]
    assert held(written(box, second)) == [("table", ["of-a"])]


def test_letters_of_input_that_is_no_record_count_on_every_route_and_are_sent_once() -> None:
    box = outbox("table", "topic")
    sendings = box.offer(PRICES, [], (), [letter("1"), letter("2")])
    assert held(sendings) == [("letters", ["1", "2"])]
    assert counts(box, "table") == counts(box, "topic") == (2, 0, 0, 2)
    written(box, sendings[0])
    assert counts(box, "table") == counts(box, "topic") == (2, 0, 2, 0)


def test_dead_letters_that_were_read_as_records_count_as_written() -> None:
    box = outbox()
    (sending,) = box.offer(DEAD_LETTERS, [letter("1")])
    assert not box.holds_letters(Written(sending.deliver.batch.id, "table"))
    written(box, sending)
    assert counts(box) == (1, 1, 0, 0)


def test_what_is_forgotten_is_not_counted_as_read_and_not_sent_any_more() -> None:
    box = outbox(credit=1)
    offer(box, "a")
    offer(box, "b")
    box.forget()
    assert counts(box) == (0, 0, 0, 0)
    assert (box.unsettled, box.undelivered(), box.take_positions()) == (0, [], [])
    assert box.granted(Granted("table", 2, 1)) == []


def test_what_was_written_of_a_forgotten_batch_counts_once_and_is_stored_already_when_it_is_read_again() -> None:
    box = outbox()
    (stale,) = offer(box, "a", "b", "c")
    box.forget()
    late = Rejected(stale.deliver.batch.id, "table", (Rejection(1, NO),), already_stored=1)
    for _ in range(2):
        box.settled(late)
        assert counts(box) == (1, 1, 0, 0)
    (again,) = offer(box, "a", "b", "c")
    box.settled(Written(again.deliver.batch.id, "table", already_stored=2))
    assert counts(box) == (4, 2, 0, 0)
    assert account(box).already_stored == 2


def test_what_a_lost_incarnation_had_in_hand_of_forgotten_batches_counts_for_nothing() -> None:
    box = outbox()
    (stale,) = offer(box, "a")
    box.forget()
    box.granted(Granted("table", 2, 5))
    written(box, stale)
    assert counts(box) == (0, 0, 0, 0)


def test_what_is_forgotten_still_takes_up_credit_until_the_target_has_settled_it() -> None:
    box = outbox(credit=1)
    (stale,) = offer(box, "a")
    box.forget()
    assert not box.has_credit()
    assert offer(box, "a") == []
    assert held(written(box, stale)) == [("table", ["a"])]
    assert counts(box) == (2, 1, 0, 1)


def test_a_new_life_of_a_source_that_can_read_again_begins_with_nothing() -> None:
    box = outbox(credit=1)
    (old,) = offer(box, "a")
    box.reopen(replayable=True)
    assert not box.has_credit()
    assert counts(box) == (0, 0, 0, 0)
    assert box.granted(Granted("table", 1, 1)) == []
    (new,) = offer(box, "a")
    assert new.deliver.batch.id != old.deliver.batch.id
    assert written(box, old) == []
    assert counts(box) == (2, 1, 0, 1), "what was in hand is written, and read again"


def test_a_new_life_of_a_source_that_cannot_read_again_sends_what_was_unsettled_under_its_old_name() -> None:
    box = outbox(replayable=False)
    old = offer(box, "a") + offer(box, "b")
    box.reopen(replayable=False)
    assert counts(box) == (2, 0, 0, 2)
    again = box.granted(Granted("table", 1, 5))
    assert [one.deliver.batch for one in again] == [one.deliver.batch for one in old]
    assert written(box, old[0]) == written(box, again[1]) == []
    assert counts(box) == (2, 2, 0, 0)


@pytest.mark.parametrize("target", ["table", "nobody"])
def test_strangers_and_their_batches_change_nothing(target: str) -> None:
    box = outbox()
    offer(box, "a")
    assert box.settled(Written("source-9-9", target)) == []
    assert box.rejected_records(Rejected("source-9-9", target, (Rejection(0, NO),))) == []
    assert box.granted(Granted("nobody", 1, 9)) == []
    assert counts(box) == (1, 0, 0, 1)


def test_an_account_tells_how_many_batches_are_in_flight() -> None:
    box = outbox("table", "topic")
    sendings = offer(box, "a", "b") + offer(box, "c")
    assert account(box).batches_in_flight == 2
    answer = Rejected(sendings[0].deliver.batch.id, "table", (Rejection(0, NO),))
    box.settled(answer, [letter("of-a")])
    assert (account(box).batches_in_flight, account(box).in_flight) == (2, 2), "one of them as a dead letter"
    assert account(box, "topic").in_flight == 3
