"""The TimescaleDB source against a real PostgreSQL: what was written is what is read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from dataplatform.base.agent import Ready, SystemClock
from dataplatform.base.database import TimescaleClient, TimescaleSettings
from dataplatform.base.embedded import EmbeddedPostgres, postgres_dsn
from dataplatform.dsl.operations.operations import (
    GetAvailableTickers,
    GetCurrentOHLCV,
    GetCurrentPrice,
    GetLevel1Data,
    GetMarketAnalytics,
    GetOHLCVByDateRange,
    GetPriceHistory,
)
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, PRICES
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Gap, Level1Query
from dataplatform.dsl.records.timeframes import floor
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Success, get_data
from dataplatform.sources.timescale import TimescaleSource, TimescaleSourceOptions
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget
from tests.support.clocks import StandingClock
from tests.support.solo import PATIENCE, failure, solo
from tests.support.storage import run

NOW = SystemClock().now().replace(microsecond=0)
MIDNIGHT = floor(NOW, "1d")


@frozen
class Database:
    """A reader of real data, one of simulated data, and a writer, on one PostgreSQL."""

    dsn: str
    reader: ReaderProxy
    simulated: ReaderProxy
    writer: WriterProxy

    def write(self, *records: CryptoPriceData | CryptoOHLCVData | Level1Data | CryptoMarketAnalytics) -> None:
        answer = get_data(self.writer.publish_batch(records).get(timeout=PATIENCE))
        assert answer.refused == ()


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with new_database() as database:
        yield database


@contextmanager
def new_database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as folder, solo(StandingClock(NOW)) as agents:
        data = Path(folder)
        agents.start("postgres", EmbeddedPostgres, data)
        assert agents.parent.told(Ready, "postgres")
        agents.start("client", TimescaleClient, TimescaleSettings(postgres_dsn(data)))
        reader = agents.start("reader", TimescaleSource, TimescaleSourceOptions(client="client"), "client")
        options = TimescaleSourceOptions(client="client", simulated=True)
        simulated = agents.start("simulated", TimescaleSource, options, "client")
        writer = agents.start("writer", TimescaleTarget, TimescaleOptions(client="client"), "client")
        yield Database(postgres_dsn(data), ReaderProxy(reader), ReaderProxy(simulated), WriterProxy(writer))


def price(coin_id: str, at: datetime = NOW, usd: float = 1.5, *, source: str = "coingecko") -> CryptoPriceData:
    return CryptoPriceData(
        coin_id=coin_id, symbol="x", usd_price=usd, market_cap=usd * 1e6, last_updated=at, source=source
    )


def candle(coin_id: str, opened: datetime, timeframe: str = "4h") -> CryptoOHLCVData:
    return CryptoOHLCVData(
        coin_id=coin_id, timestamp=opened, open=2, high=4, low=1, close=3, timeframe=timeframe, source="coingecko"
    )


def test_tables_that_nobody_has_written_to_are_empty_and_no_error(database: Database) -> None:
    assert failure(database.reader.get_current_price("nowhere").get(timeout=PATIENCE)) == "not_found"
    assert failure(database.reader.get_level1_data(Level1Query("nowhere")).get(timeout=PATIENCE)) == "not_found"


def test_the_latest_price_is_the_one_with_the_latest_time_not_the_last_written(database: Database) -> None:
    latest = price("late", NOW, 2.5)
    database.write(latest, price("late", NOW - timedelta(hours=1), 9.0))

    assert database.reader.get_current_price("late").get(timeout=PATIENCE) == Success(latest)


def test_rows_of_an_impossible_time_that_stand_there_already_hide_no_other() -> None:
    """An earlier release took them, and so does a table that others write to."""
    quote = Level1Data(
        ticker="ahead", timestamp=NOW, best_bid=1, best_ask=2, spread=1, spread_percent=66, exchange="x", market="A/B",
        source="coingecko",
    )  # fmt: skip
    state = CryptoMarketAnalytics(
        timestamp=NOW, total_market_cap=1, total_volume=1, btc_dominance=1, active_cryptocurrencies=1, markets=1,
        market_cap_change_24h=1, source="coingecko",
    )  # fmt: skip
    usual = price("ahead", NOW)
    with new_database() as database:
        database.write(usual, quote, state)
        for kind in (PRICES, LEVEL1, ANALYTICS):
            odd = f"INSERT INTO {kind.table} SELECT (jsonb_populate_record(row, %(time)s)).* FROM {kind.table} row"
            run(database.dsn, odd, time=json.dumps({kind.time: "9999-12-31T00:00:00Z"}))
        reader = database.reader
        assert reader.get_current_price("ahead").get(timeout=PATIENCE) == Success(usual)
        assert reader.get_price_history("ahead", 1).get(timeout=PATIENCE) == Success([usual])
        assert reader.get_level1_data(Level1Query("ahead")).get(timeout=PATIENCE) == Success(quote)
        assert reader.get_market_analytics().get(timeout=PATIENCE) == Success(state)
        assert reader.get_available_tickers().get(timeout=PATIENCE) == Success(["ahead"])


def test_a_record_comes_back_as_it_was_written(database: Database) -> None:
    whole = evolve(
        price("whole"), name="Whole \\ coin\u2122", btc_price=1e-9, eth_price=0.0, change_24h=-3.25, volume_24h=7.0
    )
    database.write(whole)

    options = CurrentPricesOptions(vs_currencies=("usd", "btc"))
    assert database.reader.get_current_prices(["whole"], options).get(timeout=PATIENCE) == Success([whole])


def test_prices_come_in_the_order_asked_and_unknown_coins_are_absent(database: Database) -> None:
    first, second = price("order-1"), price("order-2")
    database.write(first, second)

    answer = database.reader.get_current_prices(["order-2", "unknown", "order-1"]).get(timeout=PATIENCE)

    assert answer == Success([second, first])


def test_simulated_and_real_rows_of_one_table_are_never_mixed(database: Database) -> None:
    real, simulated = price("both"), price("both", NOW + timedelta(seconds=1), source="simulator")
    database.write(real, simulated)

    assert database.reader.get_current_price("both").get(timeout=PATIENCE) == Success(real)
    assert database.simulated.get_current_price("both").get(timeout=PATIENCE) == Success(simulated)


def test_tickers_come_by_their_latest_market_cap_however_old_their_prices_are(database: Database) -> None:
    database.write(
        price("cap-small", usd=1e9, source="simulator"),
        price("cap-large", usd=2e9, source="simulator"),
        price("cap-old", NOW - timedelta(days=30), usd=3e9, source="simulator"),
        price("cap-old", NOW - timedelta(days=31), usd=1.0, source="simulator"),
        price("cap-real", usd=9e9),
    )

    everything = get_data(database.simulated.get_available_tickers().get(timeout=PATIENCE))
    assert [coin for coin in everything if coin.startswith("cap-")] == ["cap-old", "cap-large", "cap-small"]
    assert database.simulated.get_available_tickers(2).get(timeout=PATIENCE) == Success(["cap-old", "cap-large"])


def test_a_history_holds_the_last_days_oldest_first(database: Database) -> None:
    prices = [price("past", NOW - timedelta(days=age), usd=age) for age in (3, 2, 1)]
    database.write(*reversed(prices))

    assert database.reader.get_price_history("past", 2).get(timeout=PATIENCE) == Success(prices[-1:])
    assert database.reader.get_price_history("past", 4).get(timeout=PATIENCE) == Success(prices)


def test_stored_candles_come_with_the_gaps_among_them(database: Database) -> None:
    opens = [MIDNIGHT - timedelta(days=2) + timedelta(hours=4 * place) for place in range(6)]
    stored = [candle("gaps", opened) for opened in opens if opened not in opens[2:4]]
    database.write(*stored)

    query = DateRangeOHLCVQuery("gaps", opens[0], opens[-1] + timedelta(hours=4), "4h")
    answer = get_data(database.reader.get_ohlcv_by_date_range(query).get(timeout=PATIENCE))

    assert answer.candles == stored
    assert answer.gaps == (Gap(opens[2], opens[4], 2),)


def test_candles_nobody_stored_are_made_of_the_prices(database: Database) -> None:
    start = floor(NOW - timedelta(hours=2), "1h")
    moves = [5.0, 9.0, 2.0, 6.0]
    database.write(*[price("made", start + timedelta(minutes=10 * place), usd) for place, usd in enumerate(moves)])

    query = DateRangeOHLCVQuery("made", start, start + timedelta(hours=1), "1h")
    (made,) = get_data(database.reader.get_ohlcv_by_date_range(query).get(timeout=PATIENCE)).candles

    assert (made.open, made.high, made.low, made.close) == (5.0, 9.0, 2.0, 6.0)
    assert (made.timestamp, made.timeframe, made.volume) == (start, "1h", None)


def test_a_stored_candle_hides_none_of_those_made_of_prices_before_and_after_it(database: Database) -> None:
    opens = [MIDNIGHT - timedelta(hours=hours) for hours in range(24, 0, -1)]
    stored = candle("mixed", opens[9], "1h")
    database.write(stored, *[price("mixed", opened, 10.0 + place) for place, opened in enumerate(opens)])

    answer = get_data(database.reader.get_ohlcv_by_date_range(day_of("mixed", "1h")).get(timeout=PATIENCE))

    assert answer.gaps == ()
    assert [one.timestamp for one in answer.candles] == opens
    assert answer.candles[9] == stored
    assert [one.close for one in answer.candles if one != stored] == [10.0 + n for n in range(24) if n != 9]


def test_one_stored_candle_off_the_grid_hides_the_made_one_in_its_place_and_no_other(database: Database) -> None:
    opens = [MIDNIGHT - timedelta(hours=hours) for hours in range(24, 0, -1)]
    stray = candle("stray", opens[9] + timedelta(minutes=7), "1h")
    database.write(stray, *[price("stray", opened, 10.0 + place) for place, opened in enumerate(opens)])

    answer = get_data(database.reader.get_ohlcv_by_date_range(day_of("stray", "1h")).get(timeout=PATIENCE))

    assert [one.timestamp for one in answer.candles] == [*opens[:9], stray.timestamp, *opens[10:]]
    assert answer.candles[9] == stray
    assert answer.gaps == ()


def test_stored_candles_that_stand_elsewhere_in_time_overlap_none_made_of_prices(database: Database) -> None:
    opens = [MIDNIGHT - timedelta(minutes=minutes) for minutes in (150, 90)]
    database.write(
        *[candle("beside", opened, "1h") for opened in opens], price("beside", MIDNIGHT - timedelta(hours=2))
    )

    answer = get_data(database.reader.get_ohlcv_by_date_range(day_of("beside", "1h")).get(timeout=PATIENCE))

    assert [one.timestamp for one in answer.candles] == opens


def test_the_candle_that_is_still_open_is_not_answered(database: Database) -> None:
    opened = floor(NOW, "1d")
    database.write(price("open", opened, 1.0), price("open", opened - timedelta(hours=1), 2.0))

    (latest,) = get_data(database.reader.get_latest_ohlcv(["open"], "1d").get(timeout=PATIENCE))

    assert (latest.timestamp, latest.close) == (opened - timedelta(days=1), 2.0)


def test_a_stored_candle_goes_before_one_made_of_prices(database: Database) -> None:
    opened = floor(NOW, "4h") - timedelta(hours=4)
    database.write(candle("prefer", opened), price("prefer", opened, 99.0))

    assert database.reader.get_current_ohlcv("prefer", "4h").get(timeout=PATIENCE) == Success(candle("prefer", opened))


def test_a_candle_made_of_later_prices_goes_before_an_older_stored_one(database: Database) -> None:
    opened = floor(NOW, "4h") - timedelta(hours=4)
    database.write(candle("newer", opened - timedelta(hours=4)), price("newer", opened, 99.0))

    made = get_data(database.reader.get_current_ohlcv("newer", "4h").get(timeout=PATIENCE))

    assert (made.timestamp, made.close) == (opened, 99.0)


def test_a_stored_candle_that_is_still_open_is_not_answered(database: Database) -> None:
    opened = floor(NOW, "1d")
    database.write(candle("unfinished", opened, "1d"), candle("unfinished", opened - timedelta(days=1), "1d"))

    latest = get_data(database.reader.get_current_ohlcv("unfinished", "1d").get(timeout=PATIENCE))

    assert latest.timestamp == opened - timedelta(days=1)


def test_a_minute_without_a_price_does_not_hide_the_candle_before_it(database: Database) -> None:
    opened = floor(NOW, "1m") - timedelta(minutes=7)
    database.write(price("paused", opened, 3.0))

    (latest,) = get_data(database.reader.get_latest_ohlcv(["paused"], "1m").get(timeout=PATIENCE))

    assert (latest.timestamp, latest.close) == (opened, 3.0)


def test_of_several_exchanges_the_aggregate_gives_the_one_candle_of_a_time(database: Database) -> None:
    start = floor(NOW - timedelta(hours=2), "1h")
    database.write(
        evolve(price("several", start, 1.0), exchange_id="another"),
        price("several", start, 2.0),
        evolve(price("several", start, 3.0), exchange_id="zebra"),
    )

    query = DateRangeOHLCVQuery("several", start, start + timedelta(hours=1), "1h")
    (made,) = get_data(database.reader.get_ohlcv_by_date_range(query).get(timeout=PATIENCE)).candles

    assert (made.exchange_id, made.close) == ("aggregate", 2.0)


def test_the_latest_level1_and_analytics_come_back(database: Database) -> None:
    level1 = Level1Data(
        ticker="bid", timestamp=NOW, best_bid=1, best_ask=2, spread=1, spread_percent=66.7,
        exchange="binance", market="BID/USDT", source="coingecko",
    )  # fmt: skip
    analytics = CryptoMarketAnalytics(
        timestamp=datetime.now(UTC), total_market_cap=1e12, total_volume=1e9, btc_dominance=55.5,
        active_cryptocurrencies=17_000, markets=1_000, market_cap_change_24h=-1.5, source="coingecko",
    )  # fmt: skip
    database.write(level1, evolve(level1, timestamp=NOW - timedelta(hours=1)), analytics)

    assert database.reader.get_level1_data(Level1Query("bid", "binance", "BID/USDT")).get(timeout=PATIENCE) == Success(
        level1
    )
    assert failure(database.reader.get_level1_data(Level1Query("bid", "kraken")).get(timeout=PATIENCE)) == "not_found"
    assert database.reader.get_market_analytics().get(timeout=PATIENCE) == Success(analytics)


def test_hostile_text_is_a_value_and_never_sql(database: Database) -> None:
    hostile = "x';drop-table--%(ids)s%s"

    assert failure(database.reader.get_current_price(hostile).get(timeout=PATIENCE)) == "not_found"
    assert failure(database.reader.get_price_history(hostile, 1).get(timeout=PATIENCE)) == "not_found"


# What is answered where there is nothing


def error_of(reader: ReaderProxy, request: Any) -> PlatformError:
    answer = reader.ask(request, PATIENCE)
    assert isinstance(answer, Failure), answer
    return answer.error


def day_of(coin_id: str, interval: str) -> DateRangeOHLCVQuery:
    return DateRangeOHLCVQuery(coin_id, MIDNIGHT - timedelta(days=1), MIDNIGHT, interval)


def test_an_interval_that_a_coin_has_no_candles_of_is_told_with_those_that_it_has(database: Database) -> None:
    opened = MIDNIGHT - timedelta(days=8)
    database.write(*[candle("stored-only", opened, timeframe) for timeframe in ("4d", "30m", "4h")])

    for request in (GetCurrentOHLCV("stored-only", "15m"), GetOHLCVByDateRange(day_of("stored-only", "15m"))):
        error = error_of(database.reader, request)
        assert (error.code, error.message, error.remedy) == (
            "not_found",
            "reader has no candles of 15m of 'stored-only'; there are 30m, 4h, 4d",
            "ask for one of those",
        )
    assert "reader has no such price of 'stored-only'; there are candles of 30m, 4h, 4d" in str(
        error_of(database.reader, GetCurrentPrice("stored-only"))
    )


def test_a_coin_with_too_few_prices_for_a_candle_is_no_unknown_coin(database: Database) -> None:
    database.write(price("young"))
    error = error_of(database.reader, GetCurrentOHLCV("young", "1d"))
    assert (error.code, error.message) == (
        "not_found",
        "reader has no complete candle of 1d of 'young': its prices are too few or old",
    )
    history = get_data(database.reader.ask(GetOHLCVByDateRange(day_of("young", "1h")), PATIENCE))
    assert (history.candles, [gap.missing for gap in history.gaps]) == ([], [24])


@pytest.mark.parametrize(
    "request_",
    [
        GetCurrentPrice("absent"),
        GetPriceHistory("absent", 5),
        GetCurrentOHLCV("absent", "1h"),
        GetOHLCVByDateRange(day_of("absent", "1h")),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_coin_that_is_nowhere_is_unknown(database: Database, request_: Any) -> None:
    assert error_of(database.reader, request_).message == "reader knows no coin 'absent'"


@pytest.fixture(scope="module")
def simulated_rows() -> Iterator[Database]:
    at = MIDNIGHT - timedelta(hours=2)
    with new_database() as database:
        level1 = Level1Data(
            ticker="hidden", timestamp=at, best_bid=1, best_ask=2, spread=1, spread_percent=66.7, exchange="x",
            market="A/B", source="simulator",
        )  # fmt: skip
        analytics = CryptoMarketAnalytics(
            timestamp=at, total_market_cap=1, total_volume=1, btc_dominance=50, active_cryptocurrencies=1, markets=1,
            market_cap_change_24h=0, source="simulator",
        )  # fmt: skip
        prices = [evolve(price("hidden", NOW - timedelta(minutes=5 * age)), source="simulator") for age in range(40)]
        database.write(*prices, evolve(candle("hidden", at), source="simulator"), level1, analytics)
        yield database


@pytest.fixture
def mislabelled(simulated_rows: Database) -> Iterator[Database]:
    """A database with simulated rows alone, until a test writes others."""
    yield simulated_rows
    run(simulated_rows.dsn, "DELETE FROM crypto_prices WHERE source <> 'simulator'")


@pytest.mark.parametrize(
    "request_",
    [
        GetCurrentPrice("hidden"),
        GetPriceHistory("hidden", 5),
        GetCurrentOHLCV("hidden", "1h"),
        GetOHLCVByDateRange(day_of("hidden", "1h")),
        GetLevel1Data(Level1Query("hidden")),
        GetMarketAnalytics(),
    ],
    ids=lambda one: type(one).__name__,
)
def test_rows_that_are_hidden_because_they_are_simulated_are_told(mislabelled: Database, request_: Any) -> None:
    error = error_of(mislabelled.reader, request_)
    assert error.code == "not_found"
    assert error.message.startswith("reader has only simulated rows of ")
    assert error.remedy == "set simulated = true under [sources.reader] to read them"
    assert isinstance(mislabelled.simulated.ask(request_, PATIENCE), Success)


def test_an_empty_list_tells_what_is_hidden_too(mislabelled: Database) -> None:
    answer = mislabelled.reader.ask(GetAvailableTickers(), PATIENCE)
    assert isinstance(answer, Success)
    assert answer == Success([])
    assert answer.notes == (
        "reader has only simulated rows of prices; set simulated = true under [sources.reader] to read them",
    )


def test_hidden_coins_among_others_are_named_in_a_note(mislabelled: Database) -> None:
    mislabelled.write(price("real"))
    answer = mislabelled.reader.get_current_prices(["real", "hidden", "absent"]).get(timeout=PATIENCE)
    assert isinstance(answer, Success)
    assert [one.coin_id for one in answer.data] == ["real"]
    assert answer.notes == (
        "reader has only simulated rows of 'hidden'; set simulated = true under [sources.reader] to read them",
    )


# Rows that something else has written


def test_a_row_that_is_no_record_costs_no_other_and_is_noted(database: Database) -> None:
    database.write(price("sound"), price("odd", NOW), price("odd", NOW - timedelta(hours=1), 7.0))
    run(database.dsn, "UPDATE crypto_prices SET symbol = '' WHERE coin_id = 'odd' AND usd_price <> 7")

    prices = database.reader.get_current_prices(["sound", "odd"]).get(timeout=PATIENCE)
    history = database.reader.get_price_history("odd", 1).get(timeout=PATIENCE)
    alone = database.reader.get_current_price("odd").get(timeout=PATIENCE)

    note = "left out: the table crypto_prices holds a row that is no record: symbol: must not be empty"
    assert prices == Success([price("sound")])
    assert history == Success([price("odd", NOW - timedelta(hours=1), 7.0)])
    assert isinstance(prices, Success)
    assert isinstance(history, Success)
    assert prices.notes == history.notes == (note,)
    assert failure(alone) == "invalid"
