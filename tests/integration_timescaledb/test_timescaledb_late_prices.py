"""Prices that come late to candles that TimescaleDB keeps: answered at once, refreshed after a while, never lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from attrs import define

from dataplatform.base.agent import SystemClock
from dataplatform.base.database import CandleRefresher, TimescaleClient, TimescaleSettings
from dataplatform.base.database.candle_refresh import Refresh, StaleDay, refresh
from dataplatform.base.database.stale_candles import LATE_AFTER
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery
from dataplatform.dsl.records.timeframes import floor
from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.dsl.storage.tables import STORAGE
from dataplatform.result import get_data
from dataplatform.sources.timescale import TimescaleSource, TimescaleSourceOptions
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget
from tests.support.solo import PATIENCE, Solo, solo
from tests.support.storage import first_release, migrated, query, run
from tests.support.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
TODAY = floor(SystemClock().now(), "1d")
LATE = TODAY - 10 * DAY
NOTED = "SELECT day, version, incomplete FROM stale_candles ORDER BY day"
TIMEFRAMES = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR, "4h": 4 * HOUR, "1d": DAY}


def price(usd: float, at: datetime, coin_id: str = "bitcoin") -> CryptoPriceData:
    return CryptoPriceData(coin_id=coin_id, symbol="btc", usd_price=usd, last_updated=at, source="coingecko")


def day_of_prices(day: datetime, coin_id: str = "bitcoin", every: timedelta = 10 * MINUTE) -> list[CryptoPriceData]:
    return [price(100.0 + place % 11, day + place * every, coin_id) for place in range(int(DAY / every))]


@define
class Database:
    """A database with candles, a reader and a writer."""

    dsn: str
    agents: Solo
    reader: ReaderProxy
    writer: WriterProxy

    def write(self, *prices: CryptoPriceData) -> None:
        assert get_data(self.writer.publish_prices(prices).get(timeout=PATIENCE)).refused == ()

    def refresh(self) -> list[Refresh]:
        """Refresh all days that are noted."""
        conn = psycopg2.connect(self.dsn, options="-c timezone=UTC")
        conn.autocommit = True
        noted = query(self.dsn, "SELECT table_name, day, version FROM stale_candles WHERE NOT incomplete ORDER BY day")
        try:
            return [refresh(conn, STORAGE.candles, StaleDay(*row)) for row in noted]
        finally:
            conn.close()

    def candles(self, interval: str, start: datetime, end: datetime, coin_id: str = "bitcoin") -> list[Candle]:
        asked = DateRangeOHLCVQuery(coin_id, start, end, interval)
        found = get_data(self.reader.get_ohlcv_by_date_range(asked).get(timeout=PATIENCE)).candles
        return [(one.timestamp, one.open, one.high, one.low, one.close) for one in found]

    def kept(self, interval: str, day: datetime = LATE, coin_id: str = "bitcoin") -> int:
        """Return how many prices the kept candles of a day are made of."""
        sql = (
            f"SELECT coalesce(sum(prices), 0) FROM crypto_prices_{interval}"
            ' WHERE coin_id = %(coin)s AND "timestamp" >= %(day)s AND "timestamp" < %(day)s + INTERVAL \'1 day\''
        )
        ((count,),) = query(self.dsn, sql, coin=coin_id, day=day)
        return int(count)

    def noted(self) -> list[tuple[datetime, int, bool]]:
        return [(day, version, incomplete) for day, version, incomplete in query(self.dsn, NOTED)]


Candle = tuple[datetime, float, float, float, float]


def made_of(prices: Sequence[CryptoPriceData], every: timedelta) -> list[Candle]:
    """Return the candles of prices, worked out by hand."""
    found: dict[datetime, list[float]] = {}
    for one in sorted(prices, key=lambda one: one.last_updated):
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        found.setdefault(one.last_updated - (one.last_updated - epoch) % every, []).append(one.usd_price)
    return [(opened, usd[0], max(usd), min(usd), usd[-1]) for opened, usd in sorted(found.items())]


@pytest.fixture
def database(timescaledb: str) -> Iterator[Database]:
    """A database that has refreshed its candles until an hour ago, of prices of yesterday."""
    migrated(timescaledb)
    with solo() as agents:
        agents.start("client", TimescaleClient, TimescaleSettings(timescaledb, statement_timeout=60))
        reader = agents.start("reader", TimescaleSource, TimescaleSourceOptions(client="client"), "client")
        writer = agents.start("writer", TimescaleTarget, TimescaleOptions(client="client"), "client")
        found = Database(timescaledb, agents, ReaderProxy(reader), WriterProxy(writer))
        found.write(*day_of_prices(TODAY - DAY, "ethereum"), *day_of_prices(TODAY - 2 * DAY, "ethereum"))
        assert found.refresh() == [Refresh.DONE, Refresh.DONE]
        assert found.noted() == []
        yield found


def test_prices_of_ten_days_ago_are_in_every_candle_at_once_and_in_the_kept_ones_after_a_refresh(
    database: Database,
) -> None:
    prices = day_of_prices(LATE)
    database.write(*prices)
    assert database.kept("1m") == 0, "by themselves they never get there"
    assert database.noted() == [(LATE, 1, False)]
    for interval, every in TIMEFRAMES.items():
        assert database.candles(interval, LATE, LATE + DAY) == made_of(prices, every), interval

    assert database.refresh() == [Refresh.DONE]

    assert database.noted() == []
    for interval, every in TIMEFRAMES.items():
        assert database.candles(interval, LATE, LATE + DAY) == made_of(prices, every), interval
    assert {interval: database.kept(interval) for interval in ("1m", "5m", "1h", "1d")} == dict.fromkeys(
        ("1m", "5m", "1h", "1d"), len(prices)
    )


def test_a_corrected_price_is_in_the_candles_at_once_and_after_a_refresh(database: Database) -> None:
    prices = day_of_prices(LATE)
    database.write(*prices)
    database.refresh()
    corrected = price(7.0, prices[50].last_updated)
    database.write(corrected)
    right = made_of([*prices[:50], corrected, *prices[51:]], HOUR)
    assert right != made_of(prices, HOUR)
    assert database.candles("1h", LATE, LATE + DAY) == right
    assert database.refresh() == [Refresh.DONE]
    assert database.candles("1h", LATE, LATE + DAY) == right


def test_candles_around_a_noted_day_come_from_where_they_are_kept(database: Database) -> None:
    days = [LATE + place * DAY for place in range(3)]
    prices = [one for day in days for one in day_of_prices(day)]
    database.write(*prices)
    database.refresh()
    more = price(999.0, days[1] + 30 * MINUTE + timedelta(seconds=1))
    database.write(more)
    assert database.noted() == [(days[1], 1, False)]
    for interval, every in (("1h", HOUR), ("4d", 4 * DAY)):
        start = floor(LATE, interval)
        found = database.candles(interval, start, start + 8 * DAY)
        assert found == made_of([*prices, more], every)


def test_a_day_that_is_noted_anew_during_its_refresh_stays_noted(database: Database) -> None:
    database.write(*day_of_prices(LATE))
    (stale,) = [StaleDay(*row) for row in query(database.dsn, "SELECT table_name, day, version FROM stale_candles")]
    database.write(price(3.0, LATE + 5 * MINUTE))
    conn = psycopg2.connect(database.dsn, options="-c timezone=UTC")
    conn.autocommit = True
    assert refresh(conn, STORAGE.candles, stale) is Refresh.DONE
    conn.close()
    assert database.noted() == [(LATE, 2, False)]


def test_candles_whose_prices_were_dropped_stay_as_they_are_and_late_prices_are_answered_beside_them(
    database: Database,
) -> None:
    prices = day_of_prices(LATE)
    database.write(*prices)
    database.refresh()
    run(database.dsn, "SELECT drop_chunks('crypto_prices', older_than => %(end)s::timestamptz)", end=LATE + DAY)
    again = prices[3]
    new = day_of_prices(LATE, "solana", HOUR)
    database.write(price(1.0, again.last_updated), *new)

    for _ in range(2):
        assert database.candles("5m", LATE, LATE + DAY, "solana") == made_of(new, 5 * MINUTE)
        assert database.candles("1d", LATE, LATE + DAY) == made_of(prices, DAY)
        database.refresh()
    assert database.noted() == [(LATE, 1, True)]
    assert database.candles("10m", LATE, LATE + DAY) == made_of(prices, 10 * MINUTE)
    assert database.kept("1m") == len(prices)


def test_a_noted_day_without_any_price_left_is_forgotten_and_its_candles_stay(database: Database) -> None:
    prices = day_of_prices(LATE)
    database.write(*prices)
    database.refresh()
    database.write(prices[0])
    run(database.dsn, "SELECT drop_chunks('crypto_prices', older_than => %(end)s::timestamptz)", end=LATE + DAY)
    assert database.refresh() == [Refresh.NOTHING]
    assert database.noted() == []
    assert database.candles("1h", LATE, LATE + DAY) == made_of(prices, HOUR)


def test_prices_that_come_in_time_are_not_noted_and_change_candles_that_are_not_over(database: Database) -> None:
    now = SystemClock().now().replace(microsecond=0)
    database.write(price(5.0, now), price(4.0, now - LATE_AFTER / 2))
    assert database.noted() == []
    late = now - 2 * HOUR
    database.write(price(6.0, late))
    assert [day for day, *_ in database.noted()] == [floor(late, "1d")]
    assert database.refresh() == [Refresh.DONE]
    database.write(price(9.0, now + timedelta(seconds=1)))
    ((highest,),) = query(database.dsn, "SELECT max(high) FROM crypto_prices_1d WHERE coin_id = 'bitcoin'")
    assert highest == 9.0, "no refresh has made an end of today's candle"


def test_an_agent_refreshes_what_was_noted_before_it_started_and_what_is_noted_later(database: Database) -> None:
    first, second = day_of_prices(LATE), day_of_prices(LATE + DAY)
    database.write(*first)
    database.agents.start(
        "refresher", CandleRefresher, "client", TimescaleSettings(database.dsn, statement_timeout=60), STORAGE
    )
    until(lambda: database.noted() == [], "the day was refreshed")
    assert database.kept("1d") == len(first)
    database.write(*second)
    until(lambda: database.noted() == [], "the other day was refreshed")
    assert database.kept("1d", LATE + DAY) == len(second)


def test_a_database_that_had_candles_before_has_all_its_days_looked_at(timescaledb: str) -> None:
    first_release(timescaledb)
    migrated(timescaledb)
    run(timescaledb, "DROP TABLE stale_candles", "UPDATE alembic_version SET version_num = '0004'")
    migrated(timescaledb)
    days = query(timescaledb, "SELECT table_name, day FROM stale_candles")
    assert days == query(
        timescaledb, "SELECT DISTINCT 'crypto_prices', time_bucket('1 day', last_updated) FROM crypto_prices"
    )


def test_new_candles_leave_today_open(timescaledb: str) -> None:
    first_release(timescaledb)
    now = SystemClock().now().replace(microsecond=0)
    insert = (
        "INSERT INTO crypto_prices (coin_id, symbol, exchange_id, usd_price, last_updated, source, attribution)"
        " VALUES ('today', 't', 'aggregate', %(usd)s, %(at)s, 'x', '')"
    )
    run(timescaledb, insert, usd=1.0, at=now)
    migrated(timescaledb)
    run(timescaledb, insert, usd=2.0, at=now + timedelta(seconds=1))
    for interval in ("1m", "5m", "1h", "1d"):
        ((highest,),) = query(timescaledb, f"SELECT max(high) FROM crypto_prices_{interval} WHERE coin_id = 'today'")
        assert highest == 2.0, interval
