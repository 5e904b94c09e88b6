"""Rows written by INSERT, for servers and proxies without COPY: what is stored is what COPY stores."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dataplatform.base.database import TableSpec, TimescaleSettings, table_spec
from dataplatform.base.database import writing as inserting
from tests.base.database.clients import NOON, Client, Clients, Reading, readings, rows
from tests.base.database.cluster import Cluster

HOSTILE = [
    "",
    "\\",
    "\\N",
    "\\\\N",
    "\\t",
    "a\tb\nc\rd",
    "'; DROP TABLE x; --",
    "%s %(a)s",
    "{1,2}",
    'NULL "',
    "\u2122",
]
READINGS = [
    Reading(sensor="whole", text="x", number=-1.5e-300, count=-(2**63), flag=True, raw=b"\\\0\xff"),
    Reading(sensor="numbers", number=0.1, maybe_number=1e300, maybe_count=2**63 - 1, maybe_flag=False),
    Reading(sensor="maybe", maybe_text="", maybe_raw=b"", maybe_time=NOON + timedelta(microseconds=1)),
    *[Reading(sensor=f"text {place}", text=text, maybe_text=text) for place, text in enumerate(HOSTILE)],
]


@pytest.fixture
def inserter(clients: Clients, server: Cluster) -> Client:
    return clients.start(server.dsn, write_strategy="insert")


def test_what_is_inserted_is_what_copy_stores(client: Client, inserter: Client, name: str) -> None:
    copied, inserted = readings(f"{name}_copied"), readings(f"{name}_inserted")
    client.write(copied, *READINGS)
    inserter.write(inserted, *READINGS)
    assert len(client.written(copied)) == len(READINGS)
    assert inserter.written(inserted) == client.written(copied)


def test_a_row_that_is_there_is_updated_and_the_last_of_a_batch_is_taken(inserter: Client, spec: TableSpec) -> None:
    inserter.write(spec, Reading(sensor="a", text="old"), Reading(sensor="b", text="stays"))
    inserter.write(spec, *[Reading(sensor="a", text=f"{place}") for place in range(20)])
    assert inserter.query(f"SELECT sensor, text FROM {spec.name} ORDER BY 1") == [("a", "19"), ("b", "stays")]


def test_a_batch_of_several_pages_is_one_transaction(
    inserter: Client, spec: TableSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inserting, "PAGE", 3)
    inserter.write(spec, *[Reading(sensor=f"{place % 8}", count=place) for place in range(20)])
    found = inserter.query(f"SELECT sensor, count, xmin::text FROM {spec.name} ORDER BY 1")
    assert [row[:2] for row in found] == [(f"{place}", 16 + place if place < 4 else 8 + place) for place in range(8)]
    assert len({transaction for *_, transaction in found}) == 1


def test_rows_of_a_table_without_a_key_are_all_kept(inserter: Client, name: str) -> None:
    spec = table_spec(Reading, name, (), "time")
    inserter.write(spec, Reading(sensor="a"), Reading(sensor="a"))
    assert inserter.query(f"SELECT count(*) FROM {name}") == [(2,)]


def test_a_row_that_cannot_be_stored_harms_no_other(inserter: Client, spec: TableSpec) -> None:
    good, bad = Reading(sensor="good"), Reading(sensor="bad", text="NUL: \0")
    answer = inserter.get(rows(spec, good, bad, good))
    assert [index for index, _ in answer.refused] == [1]
    assert inserter.query(f"SELECT sensor FROM {spec.name}") == [("good",)]


def test_no_temporary_table_is_needed(inserter: Client, spec: TableSpec) -> None:
    inserter.write(spec, Reading(sensor="a"))
    assert inserter.query("SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'") == []


def test_another_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="write_strategy"):
        TimescaleSettings("", write_strategy="merge")
