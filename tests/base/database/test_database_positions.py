"""Rows and the positions of where they came from, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from dataplatform.base.database import TableSpec, TimesOfRows, WriteRows, table_spec
from dataplatform.base.position import OffsetRange, Position, ReadPositions
from tests.base.database.clients import NOON, PATIENCE, Client, Clients, Reading
from tests.base.database.cluster import Cluster

Read = Callable[..., Position]


@pytest.fixture
def spec(name: str) -> TableSpec:
    """Return a table without a key: what is written twice stands there twice."""
    return table_spec(Reading, name, (), "time")


@pytest.fixture
def read(name: str) -> Read:
    """Return a position of this test's own reader."""

    def position(first: int, next_: int, partition: int = 0, **more: Any) -> Position:
        offsets = more.pop("offsets", range(first, next_))
        return Position("ticks", partition, first, next_, name, offsets, **more)

    return position


def batch(spec: TableSpec, *positions: Position, bad: Sequence[int] = ()) -> WriteRows:
    """Return a batch with a row for each offset, called by its partition and offset; some cannot be stored."""
    records = [
        Reading(sensor=f"{position.partition}/{position.log}/{offset}", text="\0" if offset in bad else "")
        for position in positions
        for offset in position.offsets
    ]
    return WriteRows(spec, spec.copy_lines(records), positions)


def stored(client: Client, spec: TableSpec) -> list[str]:
    return sorted((row[0] for row in client.written(spec)), key=lambda name: [int(part) for part in name.split("/")])


def of(offsets: Sequence[int], partition: int = 0, log: int = 0) -> list[str]:
    return [f"{partition}/{log}/{offset}" for offset in offsets]


def test_what_is_delivered_again_is_told_apart_from_what_is_written(
    client: Client, spec: TableSpec, read: Read
) -> None:
    assert client.get(batch(spec, read(10, 20))).rows == 10
    again = client.get(batch(spec, read(10, 20)))
    assert (again.rows, again.already_stored) == (0, 10)
    assert again.left_out == (OffsetRange(spec.name, "ticks", 0, 10, 20),)
    assert stored(client, spec) == of(range(10, 20))


def test_of_what_overlaps_only_the_new_part_is_stored(client: Client, spec: TableSpec, read: Read) -> None:
    client.get(batch(spec, read(10, 20)))
    overlapping = client.get(batch(spec, read(5, 25)))
    assert (overlapping.rows, overlapping.already_stored, overlapping.left_out) == (5, 15, ())
    assert stored(client, spec) == of(range(10, 25)), "what begins before the first position was never to be stored"


def test_a_range_that_is_left_out_is_told_with_all_that_is_stored_of_it(
    client: Client, spec: TableSpec, read: Read
) -> None:
    client.get(batch(spec, read(0, 50), read(0, 5, partition=1)))
    answer = client.get(batch(spec, read(0, 10), read(3, 8, partition=1)))
    assert answer.left_out == (OffsetRange(spec.name, "ticks", 0, 0, 50),), "of partition 1 there was something new"
    assert (answer.rows, answer.already_stored) == (3, 12)


def test_a_row_that_was_refused_before_is_neither_written_nor_stored_already(
    client: Client, spec: TableSpec, read: Read
) -> None:
    first = client.get(batch(spec, read(0, 6), bad=[2, 4]))
    again = client.get(batch(spec, read(0, 6), bad=[2, 4]))
    assert (first.rows, first.already_stored, len(first.refused)) == (4, 0, 2)
    assert (again.rows, again.already_stored, len(again.refused)) == (0, 4, 2)


def test_a_request_that_comes_again_because_its_answer_was_lost_is_answered_as_it_was(
    clients: Clients, server: Cluster, client: Client, spec: TableSpec, read: Read
) -> None:
    request, other = batch(spec, read(0, 6), bad=[2]), clients.start(server.dsn)
    answer = client.get(request)
    assert (answer.rows, answer.already_stored) == (5, 0)
    assert client.get(request) == answer, "this client wrote it, whoever was told"
    assert other.get(request).already_stored == 5
    assert stored(client, spec) == of([0, 1, 3, 4, 5])


def test_a_request_that_was_not_committed_is_not_taken_for_one_that_was(
    impatient: Client, server: Cluster, spec: TableSpec, read: Read
) -> None:
    impatient.get(batch(spec, read(0, 3)))
    request = batch(spec, read(3, 6))
    with server.session() as session, session.cursor() as cursor:
        cursor.execute(f"BEGIN; LOCK TABLE {spec.name}")
        impatient.fail(request)
    assert impatient.get(request).rows == 3
    assert stored(impatient, spec) == of(range(6))


def test_partitions_stand_for_themselves(client: Client, spec: TableSpec, read: Read) -> None:
    client.get(batch(spec, read(0, 3, partition=1), read(0, 2, partition=0)))
    client.get(batch(spec, read(0, 3, partition=0), read(2, 5, partition=1)))
    assert stored(client, spec) == of(range(3)) + of(range(5), partition=1)


def test_readers_stand_for_themselves(client: Client, spec: TableSpec) -> None:
    for reader in ("a", "b"):
        client.get(batch(spec, Position("ticks", 0, 0, 3, f"{spec.name}-{reader}", range(3))))
    assert stored(client, spec) == ["0/0/0", "0/0/0", "0/0/1", "0/0/1", "0/0/2", "0/0/2"]


def test_offsets_without_a_record_are_no_gap(client: Client, spec: TableSpec, read: Read) -> None:
    client.get(batch(spec, read(0, 10, offsets=[1, 4, 7])))
    client.get(batch(spec, read(5, 15, offsets=[7, 11])))
    client.get(batch(spec, read(15, 30, offsets=[])))
    assert stored(client, spec) == of([1, 4, 7, 11])
    assert positions(client, spec) == [(0, 0, 30)]


def positions(client: Client, spec: TableSpec) -> list[tuple[Any, ...]]:
    sql = "SELECT partition, log, next FROM stream_positions WHERE reader = %(reader)s ORDER BY 1, 2"
    return client.query(sql, reader=spec.name)


def test_a_batch_that_fails_moves_no_position(impatient: Client, server: Cluster, spec: TableSpec, read: Read) -> None:
    impatient.get(batch(spec, read(0, 3)))
    with server.session() as session, session.cursor() as cursor:
        cursor.execute(f"BEGIN; LOCK TABLE {spec.name}")
        impatient.fail(batch(spec, read(3, 6)))
    assert positions(impatient, spec) == [(0, 0, 3)]
    impatient.get(batch(spec, read(3, 6)))
    assert stored(impatient, spec) == of(range(6))


def test_a_row_that_cannot_be_stored_is_named_each_time_it_is_delivered_until_it_is_settled(
    client: Client, spec: TableSpec, read: Read
) -> None:
    for first in (0, 2):
        answer = client.get(batch(spec, read(first, 6), bad=[2, 4]))
        assert [index + first for index, _ in answer.refused] == [2, 4]
    assert stored(client, spec) == of([0, 1, 3, 5])
    client.get(batch(spec, read(6, 8, settled=4)))
    assert [index for index, _ in client.get(batch(spec, read(0, 6), bad=[2, 4])).refused] == [4]
    assert stored(client, spec) == of([0, 1, 3, 5, 6, 7])


def test_of_two_who_write_the_same_the_second_waits_and_leaves_out_what_the_first_stored(
    clients: Clients, server: Cluster, client: Client, spec: TableSpec, read: Read
) -> None:
    other = clients.start(server.dsn, lock_timeout=PATIENCE, statement_timeout=PATIENCE)
    client.get(batch(spec, read(0, 5)))
    with server.session() as session, session.cursor() as cursor:
        cursor.execute("BEGIN; SELECT 1 FROM stream_positions WHERE reader = %s FOR UPDATE", (spec.name,))
        late = other.ref.ask(batch(spec, read(3, 12)), block=False)
        cursor.execute("UPDATE stream_positions SET next = 9 WHERE reader = %s", (spec.name,))
        cursor.execute("COMMIT")
    answer = late.get(timeout=PATIENCE).data
    assert (answer.rows, answer.already_stored) == (3, 6)
    assert stored(client, spec) == of([*range(5), *range(9, 12)])


def test_a_plain_server_keeps_no_candles_so_that_no_late_row_is_noted(
    client: Client, spec: TableSpec, read: Read
) -> None:
    client.get(evolve(batch(spec, read(0, 3)), times=TimesOfRows.of([NOON - timedelta(days=400), NOON])))
    assert client.query("SELECT count(*) FROM stale_candles") == [(0,)]


def test_positions_can_be_read_before_and_after_there_are_any(client: Client, spec: TableSpec, read: Read) -> None:
    assert client.get(ReadPositions(spec.name)) == ()
    client.get(batch(spec, read(0, 3, seal="2:77"), read(5, 9, partition=1)))
    client.get(batch(spec, read(0, 2, log=1, parted=1, seal="1:5:1:1")))
    assert client.get(ReadPositions(spec.name)) == (
        Position("ticks", 0, 2, 2, spec.name, log=1, parted=1, seal="1:5:1:1"),
        Position("ticks", 1, 9, 9, spec.name),
    )


def test_a_database_that_was_put_back_is_behind_and_is_given_nothing_until_reading_has_gone_back(
    client: Client, server: Cluster, spec: TableSpec, read: Read
) -> None:
    client.get(batch(spec, read(0, 10)))
    client.get(batch(spec, read(10, 20)))
    server.run(f"DELETE FROM {spec.name} WHERE split_part(sensor, '/', 3)::int >= 10")
    server.run("UPDATE stream_positions SET next = 10 WHERE reader = %(reader)s", reader=spec.name)
    answer = client.get(batch(spec, read(20, 30)))
    assert (answer.behind, answer.rows) == (True, 0)
    assert stored(client, spec) == of(range(10))
    for first in (10, 20):
        assert not client.get(batch(spec, read(first, first + 10))).behind
    assert stored(client, spec) == of(range(30))


def test_a_rule_that_is_looked_at_late_names_its_row_all_the_same(
    client: Client, server: Cluster, spec: TableSpec, read: Read
) -> None:
    client.get(batch(spec, read(0, 1)))
    server.run(f"ALTER TABLE {spec.name} ADD UNIQUE (sensor) DEFERRABLE INITIALLY DEFERRED")
    request = batch(spec, read(1, 5))
    answer = client.get(evolve(request, lines=[line.replace("0/0/3", "0/0/0") for line in request.lines]))
    assert [index for index, _ in answer.refused] == [2]
    assert stored(client, spec) == of([0, 1, 2, 4])
    assert positions(client, spec) == [(0, 0, 5)]


@pytest.mark.long
def test_any_number_of_rows_may_be_refused(clients: Clients, server: Cluster, spec: TableSpec, read: Read) -> None:
    client = clients.start(server.dsn, statement_timeout=10.0)
    answer = client.get(batch(spec, read(0, 4_000), bad=range(4_000)))
    assert len(answer.refused) == 4_000
    assert positions(client, spec) == [(0, 0, 4_000)]


# Logs that were lost


def test_a_new_log_is_not_taken_for_the_old_one(client: Client, spec: TableSpec, read: Read) -> None:
    client.get(batch(spec, read(0, 10)))
    client.get(batch(spec, read(0, 4, log=1, parted=0)))
    assert stored(client, spec) == of(range(10)) + of(range(4), log=1)


def test_what_was_refused_before_they_parted_is_refused_in_the_new_log_too(
    client: Client, spec: TableSpec, read: Read
) -> None:
    client.get(batch(spec, read(0, 10), bad=[3, 9]))
    again = client.get(batch(spec, read(0, 12, log=1, parted=8), bad=[3]))
    assert [index for index, _ in again.refused] == [3]


def test_up_to_where_logs_part_they_are_the_same(client: Client, spec: TableSpec, read: Read) -> None:
    client.get(batch(spec, read(0, 10)))
    client.get(batch(spec, read(3, 9, log=1, parted=6)))
    assert stored(client, spec) == of(range(10)) + of(range(6, 9), log=1)


def test_a_late_batch_of_an_old_log_brings_only_what_the_new_one_lacks(
    client: Client, spec: TableSpec, read: Read
) -> None:
    client.get(batch(spec, read(0, 4)))
    client.get(batch(spec, read(4, 9, log=1, parted=6)))
    client.get(batch(spec, read(4, 10)))
    assert stored(client, spec) == of([0, 1, 2, 3, 6, 7, 8, 9]) + of(range(4, 9), log=1)
