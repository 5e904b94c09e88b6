"""The kinds of record: what is said of each of them once, and derived everywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from attrs import evolve, fields_dict

from dataplatform.dsl.records import kinds as kinds_module
from dataplatform.dsl.records.kinds import DEAD_LETTERS, KINDS, LEVEL1, PRICES, Kind, kind_named, kind_of
from dataplatform.dsl.records.types import Record
from dataplatform.dsl.storage.tables import LAYOUTS
from tests.dsl.records import letter, price, prices, record

by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def test_every_type_of_record_has_one_kind() -> None:
    assert [kind.type for kind in KINDS] == list(get_args(Record))


def test_names_tables_and_topics_are_each_used_once() -> None:
    for names in ([kind.name for kind in KINDS], [kind.table for kind in KINDS], [kind.topic for kind in KINDS]):
        assert len(set(names)) == len(KINDS)


@by_kind
def test_a_kind_is_found_by_a_record_and_by_its_name(kind: Kind) -> None:
    assert kind_of(record(kind)) is kind
    assert kind_named(kind.name) is kind


def test_no_kind_has_an_unknown_name() -> None:
    assert kind_named("tulips") is None


@by_kind
def test_keys_and_times_are_fields_of_the_type(kind: Kind) -> None:
    assert {*kind.key, kind.time, kind.message_key} <= set(fields_dict(kind.type))
    assert (kind.time in kind.key) == (kind.table in {layout.table for layout in LAYOUTS})  # a hypertable needs it
    assert all(fields_dict(kind.type)[name].default is not None for name in kind.key), "a key is never unknown"


def test_messages_are_keyed_so_that_each_coins_records_stay_in_order() -> None:
    assert PRICES.keys(prices("bitcoin", "比特币")) == [b"bitcoin", "比特币".encode()]
    assert LEVEL1.keys([record(LEVEL1)]) == [b"BTC/USD"]
    assert DEAD_LETTERS.keys([letter(origin="topics")]) == [b"topics"]
    assert PRICES.keys([price("a", exchange_id="kraken")]) == [b"a"]


def test_only_the_kinds_themselves_and_their_schema_files_name_those_of_the_platform_alone() -> None:
    package = Path(kinds_module.__file__).parents[2]
    naming = {str(file.relative_to(package)) for file in package.rglob("*.py") if "KINDS" in file.read_text()}
    assert naming == {"dsl/records/kinds.py", "dsl/storage/schemas/files.py"}


def test_a_kind_says_fields_that_its_type_has() -> None:
    for change in ({"key": ("coin",)}, {"time": "when"}, {"message_key": "id"}):
        with pytest.raises(ValueError, match="CryptoPriceData has no field"):
            evolve(PRICES, **change)
    with pytest.raises(TypeError, match="no attrs class"):
        evolve(PRICES, type=int)
    with pytest.raises(ValueError, match="publish_one"):
        evolve(PRICES, publish_one="Publish One")
