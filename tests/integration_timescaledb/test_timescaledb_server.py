"""TimescaleDB in WebAssembly behaves as a server does, so that what passes on it means something."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psutil
import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.support.timescaledb import Server, new_server

DEADLINE = 10.0
DAY = "generate_series('2026-01-01Z'::timestamptz, '2026-01-01T23:59:50Z', '10 seconds')"


def run(database: connection, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run one statement; return its rows."""
    with database.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def prices(database: connection) -> connection:
    """A hypertable of one coin's prices: one day, one every 10 s, four chunks."""
    run(database, "CREATE TABLE prices (coin_id text, time timestamptz, price float8, PRIMARY KEY (coin_id, time))")
    run(database, "SELECT create_hypertable('prices', by_range('time', INTERVAL '6 hours'))")
    run(database, f"INSERT INTO prices SELECT 'bitcoin', time, 77000 + extract(minute FROM time) FROM {DAY} AS time")
    return database


@pytest.fixture
def another(timescaledb: str) -> Iterator[connection]:
    another = psycopg2.connect(timescaledb)
    yield another
    another.close()


# The extension


def test_the_extension_is_timescaledb_with_its_community_features(database: connection) -> None:
    (version,) = run(database, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")[0]
    assert version.startswith("2.23.")
    assert run(database, "SHOW timescaledb.license") == [("timescale",)]


def test_compression_saves_space_and_changes_no_row(prices: connection) -> None:
    before = run(prices, "SELECT count(*), sum(price) FROM prices")
    assert len(run(prices, "SELECT show_chunks('prices')")) == 4
    run(prices, "ALTER TABLE prices SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'coin_id')")
    run(prices, "SELECT compress_chunk(chunk) FROM show_chunks('prices') AS chunk")
    ((whole, compressed),) = run(
        prices,
        "SELECT before_compression_total_bytes, after_compression_total_bytes FROM hypertable_columnstore_stats(%s)",
        "prices",
    )
    assert compressed < whole / 5
    assert run(prices, "SELECT count(*), sum(price) FROM prices") == before


def test_a_continuous_aggregate_makes_candles(prices: connection) -> None:
    run(
        prices,
        """CREATE MATERIALIZED VIEW candles WITH (timescaledb.continuous) AS
        SELECT time_bucket('1 hour', time) AS opened, coin_id, first(price, time) AS open, max(price) AS high,
            min(price) AS low, last(price, time) AS close FROM prices GROUP BY 1, 2 WITH NO DATA""",
    )
    run(prices, "CALL refresh_continuous_aggregate('candles', NULL, NULL)")
    candles = run(prices, "SELECT open, high, low, close FROM candles ORDER BY opened")
    assert candles == [(77000.0, 77059.0, 77000.0, 77059.0)] * 24


def test_a_policy_does_its_work_when_its_job_is_run_by_hand(prices: connection) -> None:
    ((job,),) = run(prices, "SELECT add_retention_policy('prices', drop_after => INTERVAL '1 day')")
    run(prices, "CALL run_job(%s)", job)
    assert run(prices, "SELECT count(*) FROM prices") == [(0,)]


def test_what_one_test_made_is_gone_in_the_next(prices: connection, timescaledb_server: Server) -> None:
    run(prices, "CREATE MATERIALIZED VIEW hours WITH (timescaledb.continuous) AS SELECT time_bucket('1 hour', time)"
                " AS hour, count(*) FROM prices GROUP BY 1")  # fmt: skip
    run(prices, "CREATE SCHEMA other CREATE TABLE anything (id serial)")
    run(prices, "CREATE VIEW latest AS SELECT max(time) FROM prices")
    run(prices, "SET statement_timeout = '1min'")
    run(prices, "CREATE TEMPORARY TABLE staging (id int)")
    prices.close()
    timescaledb_server.empty()
    fresh = psycopg2.connect(timescaledb_server.dsn)
    try:
        left = """SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'S') AND relnamespace = ANY
            (ARRAY['public', '_timescaledb_internal']::regnamespace[]) AND relname ~ 'prices|hours|latest|hyper_'"""
        assert run(fresh, left) == []
        assert run(fresh, "SELECT to_regclass('staging'), to_regnamespace('other')") == [(None, None)]
        assert run(fresh, "SHOW statement_timeout") == [("0",)]
        assert run(fresh, "SELECT extname FROM pg_extension WHERE extname = 'timescaledb'") == [("timescaledb",)]
    finally:
        fresh.close()


# COPY


def test_rows_go_by_copy_through_a_staging_table_into_a_compressed_hypertable(prices: connection) -> None:
    run(prices, "ALTER TABLE prices SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'coin_id')")
    run(prices, "SELECT compress_chunk(chunk) FROM show_chunks('prices') AS chunk")
    prices.autocommit = False
    with prices, prices.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE staging (LIKE prices) ON COMMIT DELETE ROWS")
        rows = "bitcoin\t2026-01-01 00:00:00Z\t1.5\nether\t2026-01-01 00:00:00Z\t2.5\n"
        cursor.copy_expert("COPY staging FROM STDIN", StringIO(rows))
        cursor.execute("INSERT INTO prices SELECT * FROM staging"
                       " ON CONFLICT (coin_id, time) DO UPDATE SET price = excluded.price")  # fmt: skip
    found = run(prices, "SELECT coin_id, price FROM prices WHERE time = '2026-01-01Z' ORDER BY 1")
    assert found == [("bitcoin", 1.5), ("ether", 2.5)]


def test_copy_takes_more_than_fits_into_one_message(prices: connection) -> None:
    rows = "".join(f"coin-{n}\t2026-01-02Z\t{n}.25\n" for n in range(50_000))
    with prices.cursor() as cursor:
        cursor.copy_expert("COPY prices FROM STDIN", StringIO(rows))
        assert cursor.rowcount == 50_000
    assert run(prices, "SELECT count(*), sum(price) FROM prices WHERE time >= '2026-01-02Z'") == [
        (50_000, sum(range(50_000)) + 12_500)
    ]


@pytest.mark.parametrize(
    ("copy", "rows", "error"),
    [
        ("COPY prices FROM STDIN", "bitcoin\tyesterweek\t1\n", psycopg2.errors.InvalidDatetimeFormat),
        ("COPY prices FROM STDIN", "bitcoin\t2026-01-01Z\t1\n", psycopg2.errors.UniqueViolation),
        ("COPY nothing FROM STDIN", "bitcoin\n", psycopg2.errors.UndefinedTable),
        ("SELECT 1; COPY prices FROM STDIN", "", psycopg2.errors.FeatureNotSupported),
    ],
)
def test_a_copy_that_fails_aborts_its_transaction_and_nothing_else(
    prices: connection, copy: str, rows: str, error: type[psycopg2.Error]
) -> None:
    prices.autocommit = False
    with prices.cursor() as cursor:
        cursor.execute("DELETE FROM prices")
        with pytest.raises(error):
            cursor.copy_expert(copy, StringIO(rows * 5_000 if rows else "x\n"))
        with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
            cursor.execute("SELECT 1")
    prices.rollback()
    assert run(prices, "SELECT count(*) FROM prices") == [(8_640,)]


# Sessions


def test_settings_given_at_connect_hold_for_the_session(timescaledb: str) -> None:
    session = psycopg2.connect(
        timescaledb,
        application_name="it's me",
        options=r"-c statement_timeout=4000 -c timezone=Asia/Tokyo --search_path=a,\ b",
    )
    try:
        names = ("application_name", "statement_timeout", "timezone", "search_path")
        assert [run(session, f"SHOW {name}")[0][0] for name in names] == ["it's me", "4s", "Asia/Tokyo", "a, b"]
    finally:
        session.close()


def test_a_setting_that_does_not_exist_is_refused_at_connect(timescaledb: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="no_such_setting"):
        psycopg2.connect(timescaledb, options="-c no_such_setting=1")


def test_sessions_take_turns_by_transaction(prices: connection, another: connection) -> None:
    prices.autocommit = False
    run(prices, "DELETE FROM prices")
    seen: SimpleQueue[list[tuple[Any, ...]]] = SimpleQueue()
    reader = threading.Thread(target=lambda: seen.put(run(another, "SELECT count(*) FROM prices")))
    reader.start()
    for _ in range(50):
        run(prices, "SELECT 1")
    assert seen.empty()
    prices.rollback()
    assert seen.get(timeout=DEADLINE) == [(8_640,)]
    reader.join()


def test_a_session_that_vanishes_in_a_transaction_leaves_nothing_behind(
    prices: connection, another: connection
) -> None:
    another.autocommit = True
    prices.autocommit = False
    run(prices, "DELETE FROM prices")
    with socket.socket(fileno=os.dup(prices.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
    assert run(another, "SELECT count(*) FROM prices") == [(8_640,)]


# The process


def test_a_database_in_a_folder_is_there_again_after_a_restart(tmp_path: Path) -> None:
    for expected in ([], [("bitcoin",)]):
        with new_server(tmp_path / "data") as server:
            database = psycopg2.connect(server.dsn)
            with database:
                run(database, "CREATE TABLE IF NOT EXISTS coins (id text)")
                assert run(database, "SELECT id FROM coins") == expected
                run(database, "INSERT INTO coins VALUES ('bitcoin')")
            database.close()


def test_the_server_ends_when_the_process_that_started_it_is_killed() -> None:
    program = (
        "from tests.support.timescaledb import new_server\n"
        "with new_server() as server: print(server.process.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        server = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
        server.wait(DEADLINE)
