"""Migrations and features on TimescaleDB itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from dataplatform.base.database import Query, TimescaleClient, TimescaleSettings
from dataplatform.base.database.hypertables import candles_ddl
from dataplatform.dsl.records import kinds
from dataplatform.dsl.storage.tables import LAYOUTS, STORAGE, table_of
from dataplatform.result import get_data
from tests.base.database.clients import rows
from tests.dsl.records import price
from tests.support.solo import PATIENCE, solo
from tests.support.storage import FIRST, candles, difference, first_release, migrated, query, run
from tests.support.timescaledb import new_server

pytestmark = pytest.mark.long
PRICES = "SELECT * FROM crypto_prices ORDER BY coin_id, last_updated"
POLICIES = """
    SELECT hypertable_name, proc_name,
        CAST(coalesce(config->>'compress_after', config->>'drop_after', config->>'start_offset') AS interval)
    FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL ORDER BY 1, 2
"""
COMPRESSED = """
    SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed AND hypertable_name = 'crypto_prices'
"""
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def test_a_new_database_gets_hypertables_columnstores_policies_and_aggregates(timescaledb: str) -> None:
    done = migrated(timescaledb)

    assert done.lacks == ""
    hypertables = "SELECT hypertable_name FROM timescaledb_information.hypertables WHERE hypertable_schema = 'public'"
    assert {name for (name,) in query(timescaledb, hypertables)} == {layout.table for layout in LAYOUTS}
    stores = "SELECT hypertable::text, segmentby FROM timescaledb_information.hypertable_columnstore_settings"
    assert dict(query(timescaledb, stores))["crypto_prices"] == "coin_id,exchange_id,source"
    policies = query(timescaledb, POLICIES)
    assert ("crypto_prices", "policy_compression", 6 * HOUR) in policies
    assert ("crypto_prices", "policy_retention", 90 * DAY) in policies
    assert ("crypto_prices_1d", "policy_refresh_continuous_aggregate", 7 * DAY) in policies
    assert not any(name == "crypto_ohlcv" and what == "policy_retention" for name, what, _ in policies)
    assert difference(timescaledb) == []


def test_a_database_of_the_first_release_keeps_its_rows_and_a_second_run_changes_nothing(timescaledb: str) -> None:
    first_release(timescaledb)
    before = query(timescaledb, PRICES)

    assert "crypto_prices is a hypertable" in migrated(timescaledb).done

    assert query(timescaledb, PRICES) == before
    assert difference(timescaledb) == []
    assert migrated(timescaledb).done == ()


def test_dead_letters_in_a_hypertable_become_a_plain_table_with_each_letter_once(timescaledb: str) -> None:
    first_release(timescaledb)
    for day in range(3):
        letter = "INSERT INTO dead_letters VALUES ('same', %(time)s, 'origin', 'topic', 0, 7, '', 'error', 'raw')"
        run(timescaledb, letter, time=FIRST + day * DAY)
    run(
        timescaledb,
        "SELECT create_hypertable('dead_letters', by_range('time', INTERVAL '1 day'), migrate_data => true)",
        "ALTER TABLE dead_letters SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'origin')",
        "SELECT compress_chunk(chunk) FROM show_chunks('dead_letters') chunk",
        "SELECT add_retention_policy('dead_letters', INTERVAL '90 days')",
    )

    migrated(timescaledb)

    assert query(timescaledb, "SELECT id, time FROM dead_letters") == [("same", FIRST + 2 * DAY)]
    assert not any(table == "dead_letters" for table, *_ in query(timescaledb, POLICIES))
    assert difference(timescaledb) == []


def test_the_candles_are_those_of_a_plain_server_and_new_rows_appear_in_them_at_once(timescaledb: str) -> None:
    first_release(timescaledb)
    migrated(timescaledb)

    hours = candles(timescaledb, "1h")
    assert hours[0] == (FIRST, 200.0, 206.0, 200.0, 203.0, 60, "c2", "Simulated data")
    assert [len(candles(timescaledb, name)) for name in ("1m", "5m", "1h", "1d")] == [600, 120, 10, 1]

    late = "coin_id, symbol, exchange_id, usd_price, last_updated, source, attribution"
    run(
        timescaledb,
        f"INSERT INTO crypto_prices ({late}) VALUES ('coin-2', 'c2', 'aggregate', 999, '2026-09-03 00:30Z', 'x', '')",
    )
    assert candles(timescaledb, "1h")[-1][1] == 999
    assert candles(timescaledb, "1d")[-1][:2] == (FIRST + 2 * DAY, 999)


def test_a_late_row_is_in_the_candles_once_they_are_refreshed(timescaledb: str) -> None:
    first_release(timescaledb)
    migrated(timescaledb)
    run(timescaledb, "UPDATE crypto_prices SET usd_price = 1 WHERE coin_id = 'coin-2' AND last_updated = %(first)s",
        first=FIRST)  # fmt: skip
    for view in STORAGE.candles:
        run(timescaledb, f"CALL refresh_continuous_aggregate('{view.name}', '2026-08-30Z', '2026-09-05Z')")

    assert [candles(timescaledb, name)[0][1] for name in ("1m", "5m", "1h", "1d")] == [1, 1, 1, 1]


def test_compressed_rows_are_read_and_written_as_before_by_the_client(timescaledb: str) -> None:
    first_release(timescaledb)
    migrated(timescaledb)
    before = query(timescaledb, PRICES)
    run(timescaledb, "SELECT compress_chunk(chunk) FROM show_chunks('crypto_prices') chunk")
    assert query(timescaledb, COMPRESSED) == [(1,)]
    assert query(timescaledb, PRICES) == before

    spec = table_of(kinds.PRICES)
    known = price(coin_id="coin-1", symbol="c1", usd_price=5.0, source="simulator", last_updated=FIRST)
    new = evolve(known, last_updated=FIRST + timedelta(seconds=1))
    with solo() as agents:
        client = agents.start("client", TimescaleClient, TimescaleSettings(timescaledb, statement_timeout=60))
        get_data(client.ask(rows(spec, known, new), PATIENCE))
    assert query(timescaledb, "SELECT count(*), min(usd_price) FROM crypto_prices") == [(len(before) + 1, 5.0)]


def test_the_client_may_unpack_as_many_compressed_rows_as_an_upsert_touches(timescaledb: str) -> None:
    limit = "SELECT current_setting('timescaledb.max_tuples_decompressed_per_dml_transaction')"
    with solo() as agents:
        client = agents.start("client", TimescaleClient, TimescaleSettings(timescaledb))
        assert get_data(client.ask(Query(limit), PATIENCE)).rows == [("0",)]


def test_retention_drops_what_is_older_than_is_kept_and_leaves_the_candles(timescaledb: str) -> None:
    first_release(timescaledb)
    migrated(timescaledb)
    before = candles(timescaledb, "1h")
    drop = "SELECT drop_chunks('crypto_prices', older_than => %(when)s::timestamptz)"
    run(timescaledb, drop, when=datetime(2026, 9, 3, tzinfo=UTC))

    assert query(timescaledb, "SELECT count(*) FROM crypto_prices") == [(0,)]
    assert candles(timescaledb, "1h") == before


def test_another_layout_changes_exactly_what_differs(timescaledb: str) -> None:
    migrated(timescaledb)
    prices, *others = LAYOUTS
    other = evolve(prices, chunk=6 * HOUR, compress_after=12 * HOUR, keep=None)

    done = migrated(timescaledb, evolve(STORAGE, layouts=(other, *others))).done

    assert done == (
        "crypto_prices: new chunks of 6:00:00",
        "crypto_prices: compress_after 12:00:00",
        "crypto_prices: drop_after None",
    )
    assert migrated(timescaledb, evolve(STORAGE, layouts=(other, *others))).done == ()


def test_views_of_the_time_before_the_extension_become_aggregates_with_the_same_candles() -> None:
    with new_server() as server:
        first_release(server.dsn)
        for view in STORAGE.candles:
            run(server.dsn, candles_ddl(view, continuous=False))
        before = {view.timeframe: candles(server.dsn, view.timeframe) for view in STORAGE.candles}

        assert "crypto_prices_1d is a continuous aggregate" in migrated(server.dsn).done
        assert {view.timeframe: candles(server.dsn, view.timeframe) for view in STORAGE.candles} == before
