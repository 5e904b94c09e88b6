"""The reading operations of the Redpanda source, on a real broker: what was published is what is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
from attrs import evolve

from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Gap, Level1Query
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoOHLCVData, Level1Data
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Success, get_data, get_error
from dataplatform.sources.redpanda import source
from tests.dsl.records import NOON, price, record
from tests.sources.redpanda.conftest import Topics
from tests.support.solo import PATIENCE, failure

HOUR = timedelta(hours=1)
Ids = Callable[[int], Sequence[str]]


def candle(coin_id: str, opened: datetime, timeframe: str = "1h") -> CryptoOHLCVData:
    made = record(OHLCV, coin_id=coin_id, timestamp=opened, timeframe=timeframe)
    assert isinstance(made, CryptoOHLCVData)
    return made


def level1(ticker: str, at: datetime = NOON, **fields: str) -> Level1Data:
    made = record(LEVEL1, ticker=ticker, timestamp=at, **fields)
    assert isinstance(made, Level1Data)
    return made


def analytics(at: datetime) -> CryptoMarketAnalytics:
    made = record(ANALYTICS, timestamp=at)
    assert isinstance(made, CryptoMarketAnalytics)
    return made


# Prices


def test_nothing_is_looked_at_before_somebody_asks(own: Topics) -> None:
    own.write(price("bitcoin"))
    assert own.status("topics.view").counters == {}
    assert own.reader.get_current_price("bitcoin").get(timeout=PATIENCE) == Success(price("bitcoin"))
    assert own.status("topics.view").counters["messages"] == 1
    assert "messages" not in own.status("topics.consumer").counters


def bug(*_: object) -> NoReturn:
    raise RuntimeError("a bug")


def test_a_question_that_meets_a_bug_costs_the_stream_nothing(own: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write(price("bitcoin"))
    with monkeypatch.context() as patched:
        patched.setattr(source, "prices", bug)
        for _ in range(10):
            assert failure(own.reader.get_current_price("bitcoin").get(timeout=PATIENCE)) == "bug"
    assert own.reader.get_current_price("bitcoin").get(timeout=PATIENCE) == Success(price("bitcoin"))
    for agent in ("topics", "topics.consumer", "topics.view"):
        assert own.status(agent).restarts == 0
    assert own.status("topics").counters["crashed_operations"] == 10


def test_a_record_comes_back_as_it_was_published(topics: Topics) -> None:
    whole = price("whole", name="Whole ™", btc_price=1e-9, eth_price=0.0, change_24h=-3.25, volume_24h=7.0)
    topics.write(whole)
    options = CurrentPricesOptions(vs_currencies=("usd", "btc", "eth"))
    assert topics.reader.get_current_prices(["whole"], options).get(timeout=PATIENCE) == Success([whole])


def test_a_newer_record_changes_the_answer_at_once_and_an_older_one_never(topics: Topics) -> None:
    for minute in (0, 1, 3, 2):
        written = price("moving", usd_price=float(minute), last_updated=NOON + timedelta(minutes=minute))
        topics.write(written)
        answer = get_data(topics.reader.get_current_price("moving").get(timeout=PATIENCE))
        assert answer.usd_price == (3.0 if minute == 2 else minute)


def test_a_record_of_an_impossible_time_hides_none_and_is_noted(own: Topics) -> None:
    """Other programs write to topics what a target of ours refuses."""
    own.write(price("bitcoin"))
    ahead = price("bitcoin", last_updated=NOON.replace(year=9999))
    own.broker.put("crypto-prices", codec(PRICES).encode([ahead]))
    answer = own.reader.get_current_price("bitcoin").get(timeout=PATIENCE)
    assert answer == Success(price("bitcoin"), ("left out: 1 message of topic crypto-prices that is no record",))


def test_of_several_exchanges_the_one_that_was_updated_last_is_answered(topics: Topics) -> None:
    late, early = price("traded", exchange_id="kraken", last_updated=NOON + HOUR), price("traded")
    topics.write(late, early)
    assert topics.reader.get_current_price("traded").get(timeout=PATIENCE) == Success(late)


def test_prices_come_in_the_order_asked_and_unseen_coins_are_absent(topics: Topics) -> None:
    first, second = price("order-1"), price("order-2")
    topics.write(first, second)
    answer = topics.reader.get_current_prices(["order-2", "unseen", "order-1"]).get(timeout=PATIENCE)
    assert answer == Success([second, first])


def test_a_coin_that_was_never_seen_is_told_since_when_and_until_when(topics: Topics) -> None:
    topics.write(price("seen"))
    before = datetime.now(UTC).replace(microsecond=0)
    error = get_error(topics.reader.get_current_price("tulip").get(timeout=PATIENCE))
    assert isinstance(error, Permanent)
    text, _, as_of = error.message.partition(", as of ")
    said, _, since = text.partition(" since ")
    assert (error.code, said) == ("not_found", "Redpanda knows no coin 'tulip', not seen on topic crypto-prices")
    assert datetime.fromisoformat(since) <= before <= datetime.fromisoformat(as_of)


def test_ten_thousand_coins_are_answered_whole(topics: Topics) -> None:
    many = [price(f"many-{number}") for number in range(10_000)]
    topics.write(*many)
    asked = [one.coin_id for one in reversed(many)]
    assert topics.reader.get_current_prices(asked).get(timeout=PATIENCE) == Success(many[::-1])


def test_ten_thousand_that_were_never_seen_are_one_short_failure(topics: Topics, ids: Ids) -> None:
    topics.write(price("seen"))
    error = get_error(topics.reader.get_current_prices(ids(10_000)).get(timeout=PATIENCE))
    assert error is not None
    assert (error.code, "'unseen-4' and 9995 more" in error.message) == ("not_found", True)
    assert failure(topics.reader.get_current_prices(ids(10_001)).get(timeout=PATIENCE)) == "bad_argument"


def test_messages_that_are_no_records_hide_nothing_and_are_said(own: Topics) -> None:
    own.write(price("bitcoin"))
    own.broker.put("crypto-prices", [b'{"coinId": "bitcoin", "usdPrice": -1}', b"\xff", None], key=b"bitcoin")
    said = "left out: 3 messages of topic crypto-prices that are no records"
    assert own.reader.get_current_price("bitcoin").get(timeout=PATIENCE) == Success(price("bitcoin"), (said,))
    assert own.reader.get_available_tickers().get(timeout=PATIENCE) == Success(["bitcoin"], (said,))
    error = get_error(own.reader.get_current_price("tulip").get(timeout=PATIENCE))
    assert error is not None
    assert error.message.endswith(f" ({said})")
    assert own.status("topics.view").counters["malformed"] == 3


# Tickers, analytics, level 1


def test_tickers_are_the_coins_seen_by_market_cap(own: Topics) -> None:
    own.write(price("unknown-cap"), price("small", market_cap=1.0), price("large", market_cap=1e12))
    own.write(price("small", market_cap=2.0, last_updated=NOON + HOUR), price("middle", market_cap=5.0))
    reader = own.reader
    assert reader.get_available_tickers().get(timeout=PATIENCE) == Success(["large", "middle", "small", "unknown-cap"])
    assert reader.get_available_tickers(2).get(timeout=PATIENCE) == Success(["large", "middle"])


def test_the_latest_state_of_the_market_is_answered(topics: Topics) -> None:
    topics.write(analytics(NOON + HOUR), analytics(NOON))
    assert topics.reader.get_market_analytics().get(timeout=PATIENCE) == Success(analytics(NOON + HOUR))


def test_the_best_bid_and_ask_are_those_of_the_market_asked_for(topics: Topics) -> None:
    kraken, binance = level1("bid", exchange="kraken"), level1("bid", NOON + HOUR, exchange="binance")
    futures = level1("bid", NOON - HOUR, exchange="kraken", market="futures")
    topics.write(binance, kraken, futures)
    reader = topics.reader
    assert reader.get_level1_data(Level1Query("bid")).get(timeout=PATIENCE) == Success(binance)
    assert reader.get_level1_data(Level1Query("bid", "kraken")).get(timeout=PATIENCE) == Success(kraken)
    assert reader.get_level1_data(Level1Query("bid", market="futures")).get(timeout=PATIENCE) == Success(futures)
    error = get_error(reader.get_level1_data(Level1Query("bid", "binance", "futures")).get(timeout=PATIENCE))
    assert error is not None
    assert error.message.startswith("Redpanda has not seen 'bid binance futures' on topic crypto-level1 since ")


# Candles and histories


def test_the_latest_candle_is_the_one_that_opened_last_in_the_timeframe(topics: Topics) -> None:
    latest = candle("candles", NOON)
    topics.write(candle("candles", NOON - HOUR), latest, candle("candles", NOON + HOUR, "4h"), candle("other", NOON))
    assert topics.reader.get_current_ohlcv("candles", "1h").get(timeout=PATIENCE) == Success(latest)
    answer = topics.reader.get_latest_ohlcv(["other", "candles", "unseen"], "1h").get(timeout=PATIENCE)
    assert answer == Success([candle("other", NOON), latest])


def test_an_interval_of_which_no_candle_was_seen_is_told_with_those_that_were(topics: Topics) -> None:
    topics.write(candle("framed", NOON), candle("framed", NOON, "30m"), candle("framed", NOON, "4d"))
    query = DateRangeOHLCVQuery("framed", NOON, NOON + HOUR, "5m")
    for answer in (topics.reader.get_current_ohlcv("framed", "5m"), topics.reader.get_ohlcv_by_date_range(query)):
        error = get_error(answer.get(timeout=PATIENCE))
        assert error is not None
        assert (error.code, error.message) == (
            "not_found",
            "topic crypto-ohlcv has no candles of 5m of 'framed'; there are 30m, 1h, 4d",
        )


def test_a_coin_of_which_no_candle_was_seen_at_all_is_told_since_when(topics: Topics) -> None:
    topics.write(candle("seen", NOON))
    error = get_error(topics.reader.get_current_ohlcv("unseen", "5m").get(timeout=PATIENCE))
    assert error is not None
    assert error.message.startswith("Redpanda knows no coin 'unseen', not seen on topic crypto-ohlcv since ")


def test_candles_of_a_range_come_with_the_gaps_among_them(topics: Topics) -> None:
    stored = [candle("ranged", NOON + hours * HOUR) for hours in (5, 0, 1, 4)]
    topics.write(*stored, candle("ranged", NOON, "4h"), candle("ranged-not", NOON + 2 * HOUR))
    query = DateRangeOHLCVQuery("ranged", NOON, NOON + 5 * HOUR, "1h")
    answer = get_data(topics.reader.get_ohlcv_by_date_range(query).get(timeout=PATIENCE))
    assert answer.candles == [stored[1], stored[2], stored[3]]
    assert answer.gaps == (Gap(NOON + 2 * HOUR, NOON + 4 * HOUR, 2),)


def test_a_candle_that_is_published_again_replaces_the_one_before(topics: Topics) -> None:
    mended = evolve(candle("mended", NOON), volume=7.0)
    topics.write(candle("mended", NOON), mended)
    query = DateRangeOHLCVQuery("mended", NOON, NOON + HOUR, "1h")
    assert get_data(topics.reader.get_ohlcv_by_date_range(query).get(timeout=PATIENCE)).candles == [mended]


def test_a_history_of_prices_is_left_to_sources_that_have_one(topics: Topics) -> None:
    error = get_error(topics.reader.get_price_history("bitcoin", 1).get(timeout=PATIENCE))
    assert error is not None
    assert error.code == "unsupported"
    assert "timescale" in str(error)


# Options


def test_a_topic_with_a_name_of_its_own_is_looked_at_and_one_that_is_not_there_is_not_found(topics: Topics) -> None:
    reader = topics.another("elsewhere", topics={"prices": "prices-elsewhere"})
    topics.write(candle("elsewhere", NOON), price("elsewhere"))
    error = get_error(reader.get_current_price("elsewhere").get(timeout=PATIENCE))
    assert error is not None
    assert (error.code, "'prices-elsewhere'" in error.message) == ("not_found", True)
    assert reader.get_current_ohlcv("elsewhere", "1h").get(timeout=PATIENCE) == Success(candle("elsewhere", NOON))


def test_how_far_back_and_how_much_is_looked_at_can_be_told(topics: Topics) -> None:
    topics.write(price("told-1"))
    reader = topics.another("told", view_from="latest", view_most=2)
    assert failure(reader.get_current_price("told-1").get(timeout=PATIENCE)) == "not_found"
    topics.write(price("told-2"), price("told-3"), price("told-4"))
    assert failure(reader.get_current_price("told-2").get(timeout=PATIENCE)) == "not_found"
    assert get_data(reader.get_current_price("told-4").get(timeout=PATIENCE)) == price("told-4")
    assert topics.status("told.view").counters["evicted"] == 1


# Outages


def test_a_broker_that_restarts_is_an_outage_and_then_answers_again(own: Topics) -> None:
    own.write(price("bitcoin"))
    get_data(own.reader.get_current_price("bitcoin").get(timeout=PATIENCE))
    own.broker.stop()
    answer = own.reader.get_current_price("bitcoin").get(timeout=PATIENCE)
    assert isinstance(answer, Failure)
    assert isinstance(answer.error, Transient)
    assert own.status("topics").restarts == 0
    own.broker.start()
    while isinstance(answer := own.reader.get_current_price("bitcoin").get(timeout=PATIENCE), Failure):
        assert isinstance(answer.error, Transient)
    assert answer == Success(price("bitcoin"))
