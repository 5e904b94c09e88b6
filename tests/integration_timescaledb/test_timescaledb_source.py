"""The TimescaleDB source on TimescaleDB itself: candles from continuous aggregates, found by their indexes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from dataplatform.base.database import MeasureStorage, TimescaleClient, TimescaleSettings, as_query
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery, Gap, OHLCVSeries
from dataplatform.dsl.records.timeframes import floor
from dataplatform.dsl.records.types import CryptoOHLCVData
from dataplatform.result import get_data
from dataplatform.sources.timescale import TimescaleSource, TimescaleSourceOptions, statements
from tests.support.solo import PATIENCE, Solo, solo
from tests.support.storage import FIRST, first_release, migrated, query, run

pytestmark = pytest.mark.long
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURS = 10  # of prices from FIRST on, of three coins, one a minute
MORE_COINS = """
    INSERT INTO crypto_prices (coin_id, symbol, exchange_id, usd_price, last_updated, source, attribution)
    SELECT 'more-' || coin, symbol, exchange_id, usd_price, last_updated, source, attribution
    FROM crypto_prices, generate_series(1, 40) coin WHERE coin_id = 'coin-1'
"""
COMPRESS = "SELECT compress_chunk(chunk) FROM show_chunks('crypto_prices') chunk"


@pytest.fixture
def agents() -> Iterator[Solo]:
    with solo() as agents:
        yield agents


def reader(agents: Solo, dsn: str) -> ReaderProxy:
    settings = TimescaleSettings(dsn, statement_timeout=60)
    agents.start("client", TimescaleClient, settings)
    options = TimescaleSourceOptions(client="client", simulated=True)
    return ReaderProxy(agents.start("reader", TimescaleSource, options, "client"))


def candles(source: ReaderProxy, timeframe: str, start: datetime = FIRST, end: datetime | None = None) -> OHLCVSeries:
    asked = DateRangeOHLCVQuery("coin-2", start, end or FIRST + 12 * HOUR, timeframe)
    return get_data(source.get_ohlcv_by_date_range(asked).get(timeout=PATIENCE))


def prices(timeframe: timedelta) -> list[tuple[datetime, float, float, float, float]]:
    """Return opens, highs, lows and closes of coin-2, worked out from what `first_release` stores."""
    minutes = [(FIRST + timedelta(minutes=i), 200.0 + i % 7) for i in range(60 * HOURS)]
    opens = sorted({floor_(moment, timeframe) for moment, _ in minutes})
    found = []
    for opened in opens:
        inside = [price for moment, price in minutes if opened <= moment < opened + timeframe]
        found.append((opened, inside[0], max(inside), min(inside), inside[-1]))
    return found


def floor_(moment: datetime, every: timedelta) -> datetime:
    return moment - (moment - datetime(1970, 1, 1, tzinfo=UTC)) % every


def ohlc(candle: CryptoOHLCVData) -> tuple[datetime, float, float, float, float]:
    return candle.timestamp, candle.open, candle.high, candle.low, candle.close


@pytest.mark.parametrize(
    ("timeframe", "every"),
    [("1m", HOUR / 60), ("7m", 7 * HOUR / 60), ("30m", HOUR / 2), ("4h", 4 * HOUR), ("1d", DAY)],
)
def test_candles_come_from_the_longest_aggregate_that_fits(
    timescaledb: str, agents: Solo, timeframe: str, every: timedelta
) -> None:
    first_release(timescaledb)
    migrated(timescaledb)
    start = floor_(FIRST, every)  # a candle that began before the prices is a whole one, too
    found = candles(reader(agents, timescaledb), timeframe, start)
    assert list(map(ohlc, found.candles)) == prices(every)


def test_candles_are_answered_and_gaps_are_told_after_the_prices_were_dropped(timescaledb: str, agents: Solo) -> None:
    first_release(timescaledb)
    run(
        timescaledb,
        "DELETE FROM crypto_prices WHERE last_updated >= %(first)s::timestamptz + interval '3 hours'"
        " AND last_updated < %(first)s::timestamptz + interval '5 hours'",
        first=FIRST,
    )
    migrated(timescaledb)
    source = reader(agents, timescaledb)
    before = candles(source, "1h")
    run(timescaledb, "SELECT drop_chunks('crypto_prices', older_than => %(when)s::timestamptz)", when=FIRST + 2 * DAY)

    assert query(timescaledb, "SELECT count(*) FROM crypto_prices") == [(0,)]
    assert candles(source, "1h") == before
    assert [candle.timestamp - FIRST for candle in before.candles] == [HOUR * n for n in (0, 1, 2, 5, 6, 7, 8, 9)]
    assert before.gaps == (
        Gap(FIRST + 3 * HOUR, FIRST + 5 * HOUR, 2),
        Gap(FIRST + 10 * HOUR, FIRST + 12 * HOUR, 2),
    )


def test_prices_that_are_not_materialized_yet_are_in_the_latest_candle(timescaledb: str, agents: Solo) -> None:
    migrated(timescaledb)
    now = datetime.now(UTC)
    opened = floor(now, "30m") - HOUR / 2
    columns = "coin_id, symbol, exchange_id, usd_price, last_updated, source, attribution"
    for minute, usd in enumerate((5.0, 9.0, 2.0, 6.0)):
        run(
            timescaledb,
            f"INSERT INTO crypto_prices ({columns}) VALUES ('new', 'n', 'aggregate', %(usd)s, %(at)s, 'simulator', '')",
            usd=usd,
            at=opened + timedelta(minutes=minute),
        )
    found = get_data(reader(agents, timescaledb).get_current_ohlcv("new", "30m").get(timeout=PATIENCE))
    assert ohlc(found) == (opened, 5.0, 9.0, 2.0, 6.0)


def test_queries_of_a_coin_and_a_range_use_indexes(timescaledb: str) -> None:
    first_release(timescaledb)
    run(timescaledb, MORE_COINS)
    migrated(timescaledb)
    run(timescaledb, "ANALYZE")
    end = FIRST + HOURS * HOUR
    kept = statements.in_order(statements.kept_candles(["coin-2"], "1m", FIRST, end, simulated=True))
    assert "crypto_prices_1m_coin_id_idx" in plan(timescaledb, kept)
    assert "crypto_prices_pkey" in plan(timescaledb, statements.history("coin-2", FIRST, end, simulated=True))
    latest = statements.latest_prices(["coin-2"], end, simulated=True)
    assert "crypto_prices_last_updated_idx" in plan(timescaledb, latest)


def plan(dsn: str, statement: statements.Select) -> str:
    """Return the server's plan, which must read no table as a whole but the small one of stale days."""
    asked = as_query(statement)
    lines = "\n".join(line for (line,) in query(dsn, f"EXPLAIN {asked.sql}", **asked.parameters))
    assert "Seq Scan" not in lines.replace("Seq Scan on stale_candles", ""), lines
    return lines


def test_what_compression_saved_is_told(timescaledb: str, agents: Solo) -> None:
    first_release(timescaledb)
    migrated(timescaledb)
    client = agents.start("client", TimescaleClient, TimescaleSettings(timescaledb, statement_timeout=60))

    def sizes() -> dict[str, tuple[int, int, int, bool]]:
        told = get_data(client.ask(MeasureStorage(), PATIENCE))
        assert told.timescaledb is not None
        shown = ((table.saved or 0) > 0.5 for table in told.tables)
        return {
            table.name: (table.rows, table.chunks, table.compressed_chunks, saved)
            for table, saved in zip(told.tables, shown, strict=True)
        }

    before = sizes()
    run(timescaledb, COMPRESS)
    after = sizes()

    assert before["crypto_prices"] == (1800, 1, 0, False)
    assert after["crypto_prices"] == (1800, 1, 1, True)
    assert after["crypto_prices_1h"] == (30, 1, 0, False)
    assert after["dead_letters"] == (0, 0, 0, False)
