"""Tables that are derived from attrs classes, and the text that COPY takes for their rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import astuple, fields, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.base.database import TableSpec, table_spec
from dataplatform.dsl.records.kinds import KINDS, Kind
from tests.base.database.clients import NOON, Client, Reading, rows
from tests.base.database.cluster import Cluster

LONGEST_BIGINT = 2**63 - 1
COLUMNS = """
    SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns
    WHERE table_name = %(name)s ORDER BY ordinal_position
"""
KEY = """
    SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.key_column_usage
    WHERE table_name = %(name)s
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename = %(name)s AND indexdef NOT LIKE '%%UNIQUE%%'"


# The table


def test_a_field_is_a_column_of_its_type_and_missing_values_are_allowed_where_the_class_allows_them(
    client: Client, spec: TableSpec
) -> None:
    client.write(spec, Reading(sensor="a"))
    time = "timestamp with time zone"
    columns = {"text": "text", "number": "double precision", "count": "bigint", "flag": "boolean", "raw": "bytea"}
    assert client.query(COLUMNS, name=spec.name) == [
        ("sensor", "text", False),
        ("time", time, False),
        *[(column, type_, False) for column, type_ in columns.items()],
        *[(f"maybe_{column}", type_, True) for column, type_ in columns.items()],
        ("maybe_time", time, True),
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_record_has_a_table_with_its_key_and_an_index_on_its_time(
    client: Client, name: str, kind: Kind
) -> None:
    spec = table_spec(kind.type, name, kind.key, kind.time)
    client.write(spec)
    assert tuple(column for column, *_ in client.query(COLUMNS, name=name)) == kind.columns == spec.columns
    assert client.query(KEY, name=name) == [(list(kind.key),)]
    ((index,),) = client.query(INDEXES, name=name)
    assert index.endswith((f"({kind.time} DESC)", f'("{kind.time}" DESC)'))


def test_the_statements_of_a_table_can_be_read() -> None:
    spec = table_spec(Pair, "pairs", ("id",), "time")
    assert [" ".join(statement.split()) for statement in spec.create] == [
        "CREATE TABLE IF NOT EXISTS pairs ( id TEXT NOT NULL, time TIMESTAMP WITH TIME ZONE, PRIMARY KEY (id) )",
        "CREATE INDEX IF NOT EXISTS pairs_time_idx ON pairs (time DESC)",
    ]
    assert spec.copy == "COPY staging_pairs (id, time) FROM STDIN"
    assert " ".join(spec.upsert.split()) == (
        "INSERT INTO pairs (id, time) SELECT DISTINCT ON (staging_pairs.id) staging_pairs.id, staging_pairs.time"
        " FROM staging_pairs ORDER BY staging_pairs.id, staging_pairs.ctid DESC"
        " ON CONFLICT (id) DO UPDATE SET time = excluded.time"
    )


@frozen
class Pair:
    id: str
    time: datetime | None


@frozen
class Lone:
    time: datetime


def test_a_table_may_have_a_single_column_which_is_its_key(client: Client, name: str) -> None:
    spec = table_spec(Lone, name, ("time",), "time")
    client.write(spec, Lone(NOON), Lone(NOON), Lone(NOON + timedelta(1)))
    assert client.query(f"SELECT count(*) FROM {name}") == [(2,)]


@pytest.mark.parametrize("odd", ["Order", "select", 'with "quotes"', "with space", "ümlaut"])
def test_a_table_may_have_any_name(client: Client, name: str, odd: str) -> None:
    spec = table_spec(Reading, f"{name} {odd}", ("sensor", "time"), "time")
    client.write(spec, Reading(sensor="a"))
    client.write(spec, Reading(sensor="a"))
    assert client.query(f"SELECT count(*) FROM {spec.quoted_name}") == [(1,)]


# The rows

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
tricky = st.sampled_from(
    ["\\", "\\N", "\\.", "\t", "\n", "\r\n", "\\t", "", " ", "NULL", "'", '"', "\b\f\v", "é😀\u2028"]
)
any_text = texts | st.lists(tricky | texts, max_size=4).map("".join)
counts = st.integers(-LONGEST_BIGINT - 1, LONGEST_BIGINT)
times = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001  the time zones come with it
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
)
numbers = st.floats(allow_nan=False)
records = st.builds(
    Reading,
    sensor=any_text,
    time=times,
    text=any_text,
    number=numbers,
    count=counts,
    flag=st.booleans(),
    raw=st.binary(max_size=20),
    maybe_text=st.none() | any_text,
    maybe_number=st.none() | numbers,
    maybe_count=st.none() | counts,
    maybe_flag=st.none() | st.booleans(),
    maybe_raw=st.none() | st.binary(max_size=20),
    maybe_time=st.none() | times,
)


def test_every_record_comes_back_as_it_was(client: Client, spec: TableSpec, server: Cluster) -> None:
    client.write(spec)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(records, min_size=1, max_size=8, unique_by=lambda record: (record.sensor, record.time)))
    def comes_back(batch: list[Reading]) -> None:
        server.run(f"TRUNCATE {spec.name}")
        client.write(spec, *batch)
        found = {(row[0], row[1]): plain(row) for row in client.written(spec)}
        assert found == {(record.sensor, record.time): plain(astuple(record)) for record in batch}

    comes_back()


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row with its bytes as bytes, and with what tells 0 from False and -0.0."""
    values = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    return tuple((type(value).__name__, repr(value) if isinstance(value, float) else value) for value in values)


def test_missing_and_empty_and_zero_are_three_things(client: Client, spec: TableSpec) -> None:
    client.write(
        spec,
        Reading(sensor="missing"),
        Reading(sensor="there", maybe_text="", maybe_number=0.0, maybe_count=0, maybe_flag=False, maybe_raw=b""),
    )
    optional = [field.name for field in fields(Reading) if field.name.startswith("maybe_")]
    missing = client.query(
        f"SELECT {', '.join(f'{name} IS NULL' for name in optional)} FROM {spec.name} ORDER BY sensor"
    )
    assert missing == [(True,) * 6, (False,) * 5 + (True,)]


def test_a_number_that_is_none_of_the_finite_ones_comes_back(client: Client, spec: TableSpec) -> None:
    wanted = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
    client.write(spec, *[Reading(sensor=name, number=number) for name, number in wanted.items()])
    assert {row[0]: repr(row[3]) for row in client.written(spec)} == {name: name for name in wanted}


def test_times_are_stored_to_the_microsecond_and_come_back_in_utc(client: Client, spec: TableSpec) -> None:
    there = datetime(2026, 7, 1, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-9)))
    client.write(spec, Reading(sensor="a", time=there))
    ((_, time, *_rest),) = client.written(spec)
    assert time == there
    assert time.utcoffset() == timedelta(0)


def test_no_records_have_no_lines(client: Client, spec: TableSpec) -> None:
    assert spec.copy_lines([]) == []
    client.write(spec)
    assert client.written(spec) == []


def test_records_may_come_from_a_generator(spec: TableSpec) -> None:
    some = [Reading(sensor="a"), Reading(sensor="b")]
    assert spec.copy_lines(record for record in some) == spec.copy_lines(some)


# Writing


def test_a_row_that_is_there_is_updated_and_never_doubled(client: Client, spec: TableSpec) -> None:
    client.write(spec, Reading(sensor="a", number=1.0), Reading(sensor="b", number=1.0))
    client.write(spec, Reading(sensor="a", number=2.0, maybe_text="x"), Reading(sensor="c"))
    client.write(spec, Reading(sensor="a", number=2.0, maybe_text=None))
    assert [(row[0], row[3], row[7]) for row in client.written(spec)] == [
        ("a", 2.0, None),
        ("b", 1.0, None),
        ("c", 0.0, None),
    ]


def test_of_rows_with_one_key_in_a_batch_the_last_one_stays(client: Client, spec: TableSpec) -> None:
    batch = [Reading(sensor=f"s{number % 7}", number=float(number)) for number in range(1_000)]
    client.write(spec, *batch)
    assert [(row[0], row[3]) for row in client.written(spec)] == [
        (f"s{n}", float(max(range(n, 1_000, 7)))) for n in range(7)
    ]


def test_the_staging_table_is_empty_after_a_batch(client: Client, spec: TableSpec) -> None:
    client.write(spec, Reading(sensor="a"))
    client.write(spec, Reading(sensor="a"), Reading(sensor="b"))
    assert client.query(f"SELECT count(*) FROM staging_{spec.name}") == [(0,)]


@pytest.mark.parametrize("bad", [[0], [2], [0, 3], [1, 2], [0, 1, 2, 3]])
@pytest.mark.parametrize("known", [0, 1])
def test_rows_that_cannot_be_stored_are_named_and_harm_no_other(
    client: Client, spec: TableSpec, bad: list[int], known: int
) -> None:
    client.write(spec, *[Reading(sensor="0", number=-1.0)] * known)
    texts = ["\0" if index in bad else "" for index in range(4)]
    answer = client.get(rows(spec, *[Reading(sensor=str(index), text=text) for index, text in enumerate(texts)]))
    assert [index for index, _ in answer.refused] == bad
    assert {error.code for _, error in answer.refused} == {"rejected"}
    assert answer.rows == 4 - len(bad)
    stored = {row[0]: row[3] for row in client.written(spec)}
    assert stored == ({"0": -1.0} if known else {}) | {str(index): 0.0 for index in range(4) if index not in bad}


def test_a_table_without_a_key_takes_every_row_as_a_new_one(client: Client, name: str) -> None:
    spec = table_spec(Reading, name, (), "time")
    client.write(spec, Reading(sensor="a"), Reading(sensor="a"))
    client.write(spec, Reading(sensor="a"))
    assert [row[0] for row in client.written(spec)] == ["a", "a", "a"]
