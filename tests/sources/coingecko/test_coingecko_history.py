"""CoinGecko's candles, price histories and level 1, against the simulator over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from dataplatform.base.http import HttpClient, HttpSettings
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.records.timeframes import length
from dataplatform.result import get_data
from dataplatform.simulator import Fault, Simulator
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource
from tests.support.solo import PATIENCE, failure, solo


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture(scope="module")
def coingecko(simulator: Simulator) -> Iterator[ReaderProxy]:
    with solo() as agents:
        agents.start("http", HttpClient, HttpSettings(base_url=simulator.base_url, attempts=1))
        yield ReaderProxy(agents.start("coingecko", CoinGeckoSource, CoinGeckoOptions(client="http"), "http"))


@pytest.fixture(autouse=True)
def no_faults(simulator: Simulator) -> Iterator[None]:
    yield
    simulator.clear_faults()


@pytest.mark.parametrize("timeframe", ["30m", "4h", "4d"])
def test_the_latest_candle_is_complete_and_holds_the_prices_of_its_time(
    coingecko: ReaderProxy, simulator: Simulator, timeframe: str
) -> None:
    (candle,) = get_data(coingecko.get_latest_ohlcv(["bitcoin"], timeframe).get(timeout=PATIENCE))

    now, step = datetime.now(UTC), length(timeframe)
    assert candle.timestamp + step <= now < candle.timestamp + 2 * step + timedelta(minutes=1)
    middle = simulator.market.price("bitcoin", "usd", candle.timestamp + step / 2)
    assert candle.low <= middle * 1.0001
    assert candle.high >= middle * 0.9999
    assert (candle.volume, candle.timeframe, candle.source) == (None, timeframe, "simulator")


def test_candles_of_several_coins_come_in_the_order_asked(coingecko: ReaderProxy) -> None:
    candles = get_data(coingecko.get_latest_ohlcv(["solana", "bitcoin"], "4h").get(timeout=PATIENCE))

    assert [candle.coin_id for candle in candles] == ["solana", "bitcoin"]


def test_a_timeframe_coingecko_lacks_is_unsupported_and_says_which_there_are(coingecko: ReaderProxy) -> None:
    answer = coingecko.get_current_ohlcv("bitcoin", "1m").get(timeout=PATIENCE)

    assert failure(answer) == "unsupported"
    assert "there are 30m, 4h, 4d" in str(answer)


@pytest.mark.parametrize(
    ("back", "timeframe"), [(timedelta(hours=20), "30m"), (timedelta(days=20), "4h"), (timedelta(days=200), "4d")]
)
def test_a_range_is_answered_whole(coingecko: ReaderProxy, back: timedelta, timeframe: str) -> None:
    now = datetime.now(UTC)

    series = get_data(
        coingecko.get_ohlcv_by_date_range(DateRangeOHLCVQuery("bitcoin", now - back, now, timeframe)).get(
            timeout=PATIENCE
        )
    )

    assert series.gaps == ()
    assert len(series.candles) in {back // length(timeframe) - 1, back // length(timeframe)}
    assert all(now - back <= candle.timestamp < now for candle in series.candles)


def test_a_past_without_candles_of_that_length_is_unsupported(coingecko: ReaderProxy) -> None:
    now = datetime.now(UTC)
    query = DateRangeOHLCVQuery("bitcoin", now - timedelta(days=3), now, "30m")

    assert failure(coingecko.get_ohlcv_by_date_range(query).get(timeout=PATIENCE)) == "unsupported"


@pytest.mark.parametrize("days", [1, 30, 365])
def test_a_history_reaches_from_then_to_now(coingecko: ReaderProxy, simulator: Simulator, days: int) -> None:
    prices = get_data(coingecko.get_price_history("ethereum", days).get(timeout=PATIENCE))

    times = [price.last_updated for price in prices]
    assert times == sorted(times)
    assert timedelta(days=days - 1) <= times[-1] - times[0] <= timedelta(days=days + 1)
    middle = prices[len(prices) // 2]
    assert middle.usd_price == pytest.approx(simulator.market.price("ethereum", "usd", middle.last_updated), rel=1e-3)
    assert {price.symbol for price in prices} == {"eth"}


def test_more_than_the_free_year_of_history_is_refused_with_coingecko_s_reason(coingecko: ReaderProxy) -> None:
    answer = coingecko.get_price_history("bitcoin", 400).get(timeout=PATIENCE)

    assert failure(answer) == "paid_plan"
    assert "365 days" in str(answer)


def test_a_history_in_another_currency_is_a_bad_argument(coingecko: ReaderProxy) -> None:
    assert failure(coingecko.get_price_history("bitcoin", 1, "eur").get(timeout=PATIENCE)) == "bad_argument"


def test_a_bid_and_an_ask_are_estimated_around_the_last_price(coingecko: ReaderProxy) -> None:
    level1 = get_data(coingecko.get_level1_data(Level1Query("bitcoin", "binance", "btc/usdt")).get(timeout=PATIENCE))

    assert level1.estimated
    assert level1.best_ask - level1.best_bid == pytest.approx(level1.spread)
    middle = (level1.best_bid + level1.best_ask) / 2
    assert level1.spread / middle * 100 == pytest.approx(level1.spread_percent)
    assert (level1.exchange, level1.market, level1.source) == ("binance", "BTC/USDT", "simulator")


def test_stale_and_odd_tickers_are_never_taken(coingecko: ReaderProxy) -> None:
    for exchange in ("sim-sleepy", "sim-odd"):
        query = Level1Query("bitcoin", exchange)
        assert failure(coingecko.get_level1_data(query).get(timeout=PATIENCE)) == "not_found"


@pytest.mark.parametrize("market", ["BTC/NONE", "ETH/USDT"])
def test_a_market_the_coin_lacks_is_not_found(coingecko: ReaderProxy, market: str) -> None:
    query = Level1Query("bitcoin", market=market)

    assert failure(coingecko.get_level1_data(query).get(timeout=PATIENCE)) == "not_found"


def test_an_unknown_coin_is_not_found_by_every_operation(coingecko: ReaderProxy) -> None:
    now = datetime.now(UTC)
    query = DateRangeOHLCVQuery("no-such-coin", now - timedelta(hours=5), now, "30m")
    answers: list[Any] = [
        coingecko.get_current_ohlcv("no-such-coin"),
        coingecko.get_price_history("no-such-coin", 1),
        coingecko.get_ohlcv_by_date_range(query),
        coingecko.get_level1_data(Level1Query("no-such-coin")),
    ]

    assert [failure(answer.get(timeout=PATIENCE)) for answer in answers] == ["not_found"] * 4


@pytest.mark.parametrize(
    "path", ["/api/v3/coins/bitcoin/ohlc", "/api/v3/coins/bitcoin/market_chart", "/api/v3/coins/bitcoin/tickers"]
)
def test_an_answer_of_another_shape_is_refused_by_name(coingecko: ReaderProxy, simulator: Simulator, path: str) -> None:
    simulator.inject(Fault("changed_shape", path=path))
    asks: dict[str, Any] = {
        "ohlc": partial(coingecko.get_current_ohlcv, "bitcoin"),
        "market_chart": partial(coingecko.get_price_history, "bitcoin", 1),
        "tickers": partial(coingecko.get_level1_data, Level1Query("bitcoin")),
    }

    ask = asks[path.rsplit("/", 1)[1]]

    assert failure(ask().get(timeout=PATIENCE)) == "changed_shape"
