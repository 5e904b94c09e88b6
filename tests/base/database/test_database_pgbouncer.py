"""A database behind PgBouncer that pools transactions: each may run in another session, and none keeps a setting."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from io import StringIO
from typing import Any

import psycopg2
import pytest
from attrs import evolve

from dataplatform.base.database import Query, TableSpec, TimescaleSettings, table_spec
from dataplatform.base.database.connection import connect, is_pooled
from dataplatform.base.database.migrations import migrate
from dataplatform.base.position import Position
from dataplatform.dsl.storage.tables import STORAGE
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Success
from tests.base.database.clients import Client, Clients, Reading, readings, rows
from tests.base.database.cluster import Cluster
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.waiting import SHORT

SETTINGS = """
    SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('timezone'),
        current_setting('idle_in_transaction_session_timeout')
"""
SESSIONS = 3


@pytest.fixture(scope="module")
def proxy(server: Cluster) -> Iterator[PgBouncer]:
    with pgbouncer(server) as proxy:
        with ExitStack() as stack:  # as many transactions at once make it open as many sessions
            for _ in range(SESSIONS):
                open_ = stack.enter_context(closing(psycopg2.connect(proxy.dsn)))
                open_.cursor().execute("SELECT 1")
                stack.callback(open_.rollback)  # else the proxy would end the session, too
        yield proxy


@pytest.fixture
def pooled(clients: Clients, proxy: PgBouncer) -> Client:
    return clients.start(proxy.dsn)


def test_the_proxy_gives_each_transaction_another_session_and_refuses_options(
    pooled: Client, proxy: PgBouncer, clients: Clients
) -> None:
    sessions = {pooled.query("SELECT pg_backend_pid()")[0] for _ in range(8)}
    assert len(sessions) > 1
    refused = clients.start(f"{proxy.dsn}?options=-c%20work_mem%3D5MB").fail(Query("SELECT 1"))
    assert isinstance(refused, Permanent)
    assert "unsupported startup parameter" in refused.message
    assert refused.remedy == "leave options out of the DSN: the proxy refuses what is set there"


def test_a_connection_knows_whether_its_session_is_its_own(server: Cluster, proxy: PgBouncer) -> None:
    for dsn, expected in ((server.dsn, False), (proxy.dsn, True)):
        opened = connect(TimescaleSettings(dsn), "trial")
        assert is_pooled(opened) is expected
        opened.close()


def test_every_transaction_has_our_settings_and_leaves_none_to_others(
    proxy: PgBouncer, clients: Clients, server: Cluster
) -> None:
    seconds = {"statement_timeout": 40.0, "lock_timeout": 20.0}
    pooled, direct = (clients.start(dsn, **seconds) for dsn in (proxy.dsn, server.dsn))
    for _ in range(8):
        assert pooled.query(SETTINGS) == direct.query(SETTINGS) == [("40s", "20s", "UTC", "80s")]
    assert server.run("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%%'") == [(0,)]


@pytest.fixture
def autocommit(proxy: PgBouncer) -> Iterator[Any]:
    """A connection through the proxy, as a refresh or a migration has it: each statement is a transaction."""
    settings = TimescaleSettings(proxy.dsn, statement_timeout=SHORT, lock_timeout=1.5)
    with closing(connect(settings, "trial")) as opened:
        opened.autocommit = True
        yield opened


def test_a_statement_without_a_transaction_has_our_settings_too(autocommit: Any, server: Cluster) -> None:
    with autocommit.cursor() as cursor:
        for _ in range(8):
            cursor.execute(SETTINGS)
            assert cursor.fetchall() == [("2s", "1500ms", "UTC", "4s")]
        with pytest.raises(psycopg2.errors.QueryCanceled):
            cursor.execute("SELECT pg_sleep(60)")
        cursor.execute("SELECT 1")
    assert server.run("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%%'") == [(0,)]


def test_so_have_copies_and_each_of_many(autocommit: Any, server: Cluster, name: str) -> None:
    server.run(f"CREATE TABLE {name} (number int, waits text DEFAULT current_setting('lock_timeout'))")
    with autocommit.cursor() as cursor:
        cursor.copy_expert(f"COPY {name} (number) FROM STDIN", StringIO("1\n2\n"))
        cursor.executemany(f"INSERT INTO {name} (number) VALUES (%s)", [(3,), (4,)])
    autocommit.autocommit = False
    with autocommit, autocommit.cursor() as cursor:
        cursor.copy_expert(f"COPY {name} (number) FROM STDIN", StringIO("5\n"))
    assert server.run(f"SELECT number, waits FROM {name} ORDER BY 1") == [(n, "1500ms") for n in range(1, 6)]


def test_so_has_a_cursor_on_the_server_that_begins_a_transaction(autocommit: Any) -> None:
    autocommit.autocommit = False
    with autocommit, autocommit.cursor("trial") as cursor:
        cursor.execute(SETTINGS)
        assert cursor.fetchall() == [("2s", "1500ms", "UTC", "4s")]


def test_a_procedure_may_commit(autocommit: Any, server: Cluster, name: str) -> None:
    server.run(f"CREATE TABLE {name} (number int)")
    body = f"BEGIN INSERT INTO {name} VALUES (1); COMMIT; INSERT INTO {name} VALUES (2); END"
    server.run(f"CREATE PROCEDURE {name}_twice() LANGUAGE plpgsql AS $$ {body} $$")
    with autocommit.cursor() as cursor:
        cursor.execute(f"CALL {name}_twice()")
    assert server.run(f"SELECT number FROM {name} ORDER BY 1") == [(1,), (2,)]


def test_a_statement_that_takes_too_long_is_cut_off(clients: Clients, proxy: PgBouncer) -> None:
    error = clients.start(proxy.dsn, statement_timeout=SHORT).fail(Query("SELECT pg_sleep(60)"))
    assert isinstance(error, Transient)
    assert "(57014)" in error.message
    assert "statement_timeout" in error.remedy


def test_settings_cost_no_message_of_their_own(proxy: PgBouncer, server: Cluster) -> None:
    opened = connect(TimescaleSettings(proxy.dsn), "trial")
    with opened, opened.cursor() as cursor:
        cursor.execute("SELECT %s::int, current_query()", (5,))
        ((number, query),) = cursor.fetchall()
        assert number == 5
        assert query.startswith("SET LOCAL statement_timeout")
        cursor.execute("SELECT current_query()")
        assert cursor.fetchall() == [("SELECT current_query()",)]
    opened.close()


def test_rows_are_written_updated_and_read(pooled: Client, spec: TableSpec) -> None:
    for number in range(12):  # by COPY first, then past the rows that are there
        pooled.write(spec, Reading(sensor="same", count=number), Reading(sensor=f"new {number}"))
    assert pooled.query(f"SELECT count(*), max(count) FROM {spec.name}") == [(13, 11)]


def test_a_row_that_cannot_be_stored_harms_no_other(pooled: Client, spec: TableSpec) -> None:
    pooled.write(spec, Reading(sensor="a"))
    answer = pooled.get(rows(spec, Reading(sensor="a", text="new"), Reading(sensor="bad", text="NUL: \0")))
    assert [index for index, _ in answer.refused] == [1]
    assert pooled.query(f"SELECT sensor, text FROM {spec.name}") == [("a", "new")]


def test_records_are_written_exactly_once(pooled: Client, name: str) -> None:
    spec = table_spec(Reading, name, (), "time")
    for first in (0, 0, 2, 1):
        request = rows(spec, *[Reading(sensor=f"{offset}") for offset in range(first, first + 3)])
        pooled.get(evolve(request, positions=(Position(name, 0, first, first + 3, "reader", range(first, first + 3)),)))
    assert sorted(row[0] for row in pooled.query(f"SELECT sensor FROM {name}")) == ["0", "1", "2", "3", "4"]


def test_several_migrate_at_once_and_no_lock_is_left_behind(proxy: PgBouncer, server: Cluster, name: str) -> None:
    server.run(f"CREATE DATABASE {name}")
    settings = TimescaleSettings(proxy.dsn.replace("/postgres", f"/{name}"))
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda _: migrate(settings, STORAGE), range(3)))
    assert any(isinstance(outcome, Success) for outcome in outcomes)
    again = migrate(settings, STORAGE)
    assert isinstance(again, Success), again
    assert again.data.done == ()
    assert server.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_no_session_keeps_a_temporary_table(pooled: Client, server: Cluster, name: str) -> None:
    spec = readings(name)
    for _ in range(4):
        pooled.write(spec, Reading(sensor="same"))
    assert (
        server.run("SELECT relname FROM pg_class WHERE relpersistence = 't' AND relname LIKE %(n)s", n=f"%{name}%")
        == []
    )
