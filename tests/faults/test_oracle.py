"""The oracle itself, on known evidence: it finds each thing that can go wrong, and nothing where all is well."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, evolve

from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import PRICES as PRICES_KIND
from dataplatform.errors import Permanent
from tests.faults.destinations import misplaced
from tests.faults.oracle import Evidence, judge
from tests.faults.producing import Ledger
from tests.faults.subjects import KEYS, PRICES, Identity, malformed

RECORDS: list[Identity] = [(partition, number) for number in range(20) for partition in range(2)]
POISON = {(0, 20): b"no record", (1, 20): b"none either"}
FIRST, LAST = RECORDS[0], RECORDS[-1]


def ledger() -> Ledger:
    return Ledger(acknowledged=dict.fromkeys(RECORDS, 0), poison=dict(POISON))


def evidence() -> Evidence:
    letters = [(partition, offset, raw) for (partition, offset), raw in POISON.items()]
    return Evidence(RECORDS, RECORDS, 0, letters, Counter(RECORDS))


def found(evidence: Evidence, ledger: Ledger) -> dict[str, list[Identity]]:
    return {name: list(which) for name, which in judge(ledger, evidence, PRICES).faults.items()}


def test_nothing_is_found_where_everything_is_there_once_and_in_order() -> None:
    verdict = judge(ledger(), evidence(), PRICES)
    assert verdict.faults == {}
    assert (verdict.acknowledged, verdict.poison, verdict.letters, verdict.shown()) == (40, 2, 2, "")


def without(record: Identity) -> list[Identity]:
    return [one for one in RECORDS if one != record]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"stored": without(LAST), "arrivals": without(LAST)}, {"lost": [LAST]}),
        ({"stored": without(FIRST)}, {"lost": [FIRST]}),
        ({"arrivals": [*RECORDS, FIRST]}, {"repeated": [FIRST]}),
        ({"stored": [*RECORDS, FIRST]}, {"repeated": [FIRST]}),
        ({"arrivals": [*RECORDS, (9, 9)], "stored": [*RECORDS, (9, 9)]}, {"invented": [(9, 9)]}),
        ({"arrivals": RECORDS[::-1]}, {"disordered": [one for one in RECORDS if one[1] < 20 - KEYS]}),
        ({"log": Counter(without(LAST))}, {"lost_by_broker": [LAST]}),
        ({"letters": [(0, 20, b"no record")]}, {"letters_lost": [(1, 20)]}),
        ({"letters": [(0, 20, b"other"), (1, 20, b"none either")]}, {"letters_wrong": [(0, 20)]}),
        ({"letters": [*evidence().letters, (0, 20, b"no record")]}, {"letters_repeated": [(0, 20)]}),
        ({"letters": [*evidence().letters, (1, 5, b"good")]}, {"letters_wrong": [(1, 5)]}),
    ],
)
def test_each_thing_that_goes_wrong_is_found(change: dict[str, Any], expected: dict[str, list[Identity]]) -> None:
    assert found(evolve(evidence(), **change), ledger()) == {name: sorted(which) for name, which in expected.items()}


def test_what_the_log_holds_twice_may_arrive_twice() -> None:
    twice = [*RECORDS, FIRST]
    assert found(evolve(evidence(), arrivals=twice, log=Counter(twice)), ledger()) == {}


def test_a_record_that_was_never_acknowledged_may_be_there_or_not() -> None:
    unsure = ledger()
    unsure.uncertain.add(LAST)
    del unsure.acknowledged[LAST]
    assert found(evidence(), unsure) == {}
    assert found(evolve(evidence(), arrivals=without(LAST), stored=without(LAST)), unsure) == {}


def test_a_record_that_the_database_refused_is_in_the_dead_letters_instead() -> None:
    letter = (None, None, PRICES.encode(LAST))
    refused = evolve(evidence(), stored=without(LAST), arrivals=without(LAST), letters=[*evidence().letters, letter])
    assert found(refused, ledger()) == {}
    assert found(evolve(refused, stored=RECORDS, arrivals=RECORDS), ledger()) == {"repeated": [LAST]}


def test_rows_that_are_not_as_they_were_sent_are_shown() -> None:
    assert judge(ledger(), evolve(evidence(), unsound=3), PRICES).shown() == "unsound: 3 rows"


@pytest.mark.parametrize("identity", [(0, 0), (3, 1_234_567)])
def test_records_are_records_and_tell_whose_they_are(identity: Identity) -> None:
    raw = PRICES.encode(identity)
    record = codec(PRICES_KIND).decode(raw)
    assert PRICES.identity(record.coin_id, record.usd_price) == PRICES.decode(raw) == identity  # type: ignore[union-attr]


def test_a_message_is_as_sent_however_it_is_written_and_not_with_another_price_or_time() -> None:
    raw = PRICES.encode((1, 7))
    (rewritten,) = codec(PRICES_KIND).encode([codec(PRICES_KIND).decode(raw)])
    assert rewritten != raw
    assert PRICES.same(rewritten, (1, 7))
    assert not PRICES.same(rewritten, (1, 8))
    assert not PRICES.same(rewritten.replace(b"faults", b"others"), (1, 7))
    assert not PRICES.same(rewritten.replace(b"00:00:00.007", b"00:00:01.007"), (1, 7))


@define
class Message:
    partition: int
    key: bytes
    value: bytes


@pytest.mark.parametrize(
    ("partition", "key", "expected"), [(2, b"coin-0-1", 0), (3, b"coin-0-1", 1), (2, b"coin-0-2", 1)]
)
def test_messages_of_a_key_belong_under_it_and_into_one_partition(partition: int, key: bytes, expected: int) -> None:
    messages = [Message(2, b"coin-0-1", PRICES.encode((0, 1))), Message(partition, key, PRICES.encode((0, 6)))]
    assert misplaced(messages, PRICES) == expected


def test_malformed_records_are_none_and_all_differ() -> None:
    dice = random.Random(1)
    raws = [malformed(dice, (0, number), PRICES) for number in range(500)]
    assert len(set(raws)) == len(raws)
    decode: Callable[[bytes], object] = codec(PRICES_KIND).decode
    for raw in raws:
        with pytest.raises(Permanent):
            decode(raw)
