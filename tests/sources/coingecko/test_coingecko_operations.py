"""CoinGecko's prices, tickers and analytics as operations, against the simulator over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest

from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.simulator import Fault, Simulator
from tests.base.http.scripted_server import ScriptedServer, answer
from tests.sources.coingecko.answers import BAD_TEXTS, row, spoilt, ticker
from tests.sources.coingecko.conftest import Moment, Start
from tests.support.agents import DEADLINE, Stage


def error(result: Result[Any]) -> PlatformError:
    assert isinstance(result, Failure), result
    return result.error


def notes(result: Result[Any]) -> tuple[str, ...]:
    assert isinstance(result, Success), result
    return result.notes


def asked(market: Simulator) -> list[tuple[str, str]]:
    return [(request.path.removeprefix("/api/v3"), request.query) for request in market.requests]


# Prices


def test_a_price_is_what_the_market_says(coingecko: Start, market: Simulator, moment: Moment) -> None:
    price = get_data(coingecko().get_current_price("bitcoin").get(timeout=DEADLINE))
    assert (price.coin_id, price.symbol, price.name, price.exchange_id) == ("bitcoin", "btc", "Bitcoin", "aggregate")
    assert price.usd_price == pytest.approx(market.market.price("bitcoin", "usd", moment.now), rel=1e-3)
    assert price.market_cap is not None
    assert price.volume_24h is not None
    assert price.market_cap > price.volume_24h > 0
    assert price.change_24h is not None
    assert price.change_7d is not None
    assert price.last_updated == moment.now
    assert (price.btc_price, price.eth_price) == (None, None)
    assert (price.source, price.attribution) == ("simulator", "Simulated data")


def test_prices_come_in_the_order_asked_and_unknown_coins_are_absent(coingecko: Start) -> None:
    coins = ["solana", "no-such-coin", "bitcoin", "solana", "ethereum"]
    prices = get_data(coingecko().get_current_prices(coins).get(timeout=DEADLINE))
    assert [price.coin_id for price in prices] == ["solana", "bitcoin", "ethereum"]


def test_a_coin_that_nobody_knows_is_not_found(coingecko: Start) -> None:
    source = coingecko()
    for result in (source.get_current_price("tulip"), source.get_current_prices(["tulip", "rose"])):
        refusal = error(result.get(timeout=DEADLINE))
        assert (type(refusal), refusal.code) == (Permanent, "not_found")


@pytest.mark.parametrize(("currency", "field"), [("btc", "btc_price"), ("eth", "eth_price")])
def test_prices_in_bitcoin_and_ether_are_added_where_asked_for(coingecko: Start, currency: str, field: str) -> None:
    source = coingecko()
    one = get_data(source.get_current_price("solana", currency).get(timeout=DEADLINE))
    base = get_data(source.get_current_price({"btc": "bitcoin", "eth": "ethereum"}[currency]).get(timeout=DEADLINE))
    assert getattr(one, field) == pytest.approx(one.usd_price / base.usd_price, rel=1e-2)
    other = {"btc_price": "eth_price", "eth_price": "btc_price"}[field]
    assert getattr(one, other) is None


def test_both_currencies_come_with_one_more_request(coingecko: Start, market: Simulator) -> None:
    options = CurrentPricesOptions(vs_currencies=("usd", "btc", "eth"))
    prices = get_data(coingecko().get_current_prices(["bitcoin", "ethereum"], options).get(timeout=DEADLINE))
    assert prices[0].btc_price == pytest.approx(1.0)
    assert prices[1].eth_price == pytest.approx(1.0)
    assert [path for path, _ in asked(market)] == ["/coins/markets", "/simple/price"]


def test_the_change_over_7_days_is_asked_for_unless_it_is_not_wanted(coingecko: Start, market: Simulator) -> None:
    source, options = coingecko(), CurrentPricesOptions(include_change_7d=False)
    (price,) = get_data(source.get_current_prices(["bitcoin"], options).get(timeout=DEADLINE))
    assert price.change_7d is None
    assert price.change_24h is not None
    assert "price_change_percentage" not in asked(market)[0][1]


def test_300_coins_are_asked_for_250_at_a_time_and_answered_whole(coingecko: Start, market: Simulator) -> None:
    ids = [coin.id for coin in reversed(market.market.coins)]
    options = CurrentPricesOptions(vs_currencies=("usd", "btc"))
    prices = get_data(coingecko(timeout=10.0).get_current_prices(ids, options).get(timeout=2 * DEADLINE))
    assert len(ids) == 300
    assert [price.coin_id for price in prices] == ids
    assert all(price.btc_price is not None for price in prices)
    assert [(path, query.count("%2C")) for path, query in asked(market)] == [
        ("/coins/markets", 249),
        ("/coins/markets", 49),
        ("/simple/price", 249),
        ("/simple/price", 49),
    ]


def test_long_ids_are_spread_over_urls_of_a_safe_length(coingecko: Start, market: Simulator) -> None:
    ids = [f"{'é' * 100}-{number}" for number in range(20)] + ["bitcoin"]
    prices = get_data(coingecko().get_current_prices(ids).get(timeout=DEADLINE))
    assert [price.coin_id for price in prices] == ["bitcoin"]
    queries = [query for _, query in asked(market)]
    assert len(queries) == 3
    assert max(map(len, queries)) < 6_500


# Tickers and analytics


def test_all_tickers_are_every_coin_that_is_listed(coingecko: Start, market: Simulator) -> None:
    tickers = get_data(coingecko().get_available_tickers().get(timeout=DEADLINE))
    assert sorted(tickers) == sorted(coin.id for coin in market.market.coins)


@pytest.mark.parametrize(("limit", "pages"), [(3, 1), (250, 1), (260, 2)])
def test_so_many_tickers_are_those_with_the_largest_market_cap(
    coingecko: Start, market: Simulator, limit: int, pages: int
) -> None:
    tickers = get_data(coingecko().get_available_tickers(limit).get(timeout=DEADLINE))
    assert tickers[0] == "bitcoin"
    assert len(tickers) == len(set(tickers)) == limit
    assert len(asked(market)) == pages


def test_analytics_are_the_state_of_the_whole_market(coingecko: Start, market: Simulator, moment: Moment) -> None:
    state = get_data(coingecko().get_market_analytics().get(timeout=DEADLINE))
    assert state.timestamp == moment.now.replace(microsecond=0)
    assert state.active_cryptocurrencies == len(market.market.coins)
    assert state.total_market_cap > state.total_volume > 0
    assert state.eth_dominance is not None
    assert state.btc_dominance is not None
    assert 0 < state.eth_dominance < state.btc_dominance < 100
    assert (state.source, state.exchange_id) == ("simulator", "aggregate")


# Text that is none


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_a_name_that_is_no_text_costs_no_other_price_and_is_told(coingecko: Start, bad: bytes) -> None:
    rows = [row("bitcoin"), row("tulip", name="bad#"), row("solana", current_price=2.5)]
    server = ScriptedServer(answer(200, spoilt(rows, bad)))
    source = coingecko(url=server.url)
    answered = source.get_current_prices(["bitcoin", "tulip", "solana"]).get(timeout=DEADLINE)
    server.close()
    assert [(price.coin_id, price.name, price.usd_price) for price in get_data(answered)] == [
        ("bitcoin", "Bitcoin", 1.5),
        ("tulip", "bad\ufffd", 1.5),
        ("solana", "Solana", 2.5),
    ]
    assert notes(answered) == (
        "characters of the answer of /coins/markets that are not valid text were replaced by \ufffd: 1",
    )


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_an_id_that_is_no_text_is_left_out_of_the_tickers(coingecko: Start, bad: bytes) -> None:
    server = ScriptedServer(answer(200, spoilt([row("bitcoin"), row("tu#lip"), row("solana")], bad)))
    answered = coingecko(url=server.url).get_available_tickers().get(timeout=DEADLINE)
    server.close()
    assert get_data(answered) == ["bitcoin", "solana"]
    assert any("expected an id, got 'tu\ufffdlip'" in note for note in notes(answered))


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_a_ticker_whose_symbol_is_no_text_costs_no_other(coingecko: Start, bad: bytes) -> None:
    body = {"tickers": [ticker("B#D", usd=1e9, coin_id="bad"), ticker(last_traded_at="2025-12-31T12:00:00Z")]}
    server = ScriptedServer(answer(200, spoilt(body, bad)))
    answered = coingecko(url=server.url).get_level1_data(Level1Query("tether")).get(timeout=DEADLINE)
    server.close()
    assert get_data(answered).market == "USDT/USD"
    assert "replaced by \ufffd: 1" in notes(answered)[-1]


def test_an_answer_may_begin_with_a_byte_order_mark(coingecko: Start) -> None:
    server = ScriptedServer(answer(200, b"\xef\xbb\xbf" + spoilt([row("bitcoin")], b"")))
    answered = coingecko(url=server.url).get_current_price("bitcoin").get(timeout=DEADLINE)
    server.close()
    assert get_data(answered).usd_price == 1.5
    assert notes(answered) == ()


# Failures

FAULTS = [
    (Fault("rate_limited", retry_after=7), Transient, "rate_limited", 7.0),
    (Fault("server_error"), Transient, "server_error", None),
    (Fault("server_error", status=503), Transient, "server_error", None),
    (Fault("slow", delay=30.0), Transient, "timeout", None),
    (Fault("cut"), Transient, "cut", None),
    (Fault("malformed_json"), Transient, "not_json", None),
    (Fault("html", status=200), Transient, "not_json", None),
    (Fault("html", status=403), Transient, "blocked", None),
    (Fault("html", status=429), Transient, "blocked", 30.0),
    (Fault("html", status=503), Transient, "blocked", None),
    (Fault("unauthorized"), Permanent, "unauthorized", None),
    (Fault("not_found"), Permanent, "not_found", None),
    (Fault("changed_shape", shape="wrapped"), Permanent, "changed_shape", None),
    (Fault("changed_shape", shape="strings"), Permanent, "changed_shape", None),
]


@pytest.mark.parametrize(
    ("fault", "kind", "code", "retry_after"), FAULTS, ids=lambda value: value.kind if isinstance(value, Fault) else None
)
def test_every_fault_of_coingecko_is_the_right_failure(
    coingecko: Start,
    market: Simulator,
    fault: Fault,
    kind: type[PlatformError],
    code: str,
    retry_after: float | None,
) -> None:
    source = coingecko(timeout=0.25 if fault.kind == "slow" else DEADLINE)
    market.inject(fault)
    failure = error(source.get_current_prices(["bitcoin"]).get(timeout=DEADLINE))
    assert (type(failure), failure.code) == (kind, code)
    assert getattr(failure, "retry_after", None) == retry_after
    market.clear_faults()


@pytest.mark.parametrize("shape", ["wrapped", "strings"])
def test_analytics_of_a_changed_shape_are_refused_by_name(coingecko: Start, market: Simulator, shape: Any) -> None:
    market.inject(Fault("changed_shape", shape=shape))
    failure = error(coingecko().get_market_analytics().get(timeout=DEADLINE))
    assert (type(failure), failure.code) == (Permanent, "changed_shape")
    assert "/global" in failure.message
    assert failure.remedy


def test_after_a_fault_the_next_request_is_answered(stage: Stage, coingecko: Start, market: Simulator) -> None:
    source = coingecko()
    market.inject(Fault("rate_limited", times=1, retry_after=7))
    assert error(source.get_current_price("bitcoin").get(timeout=DEADLINE)).code == "rate_limited"
    assert error(source.get_current_price("bitcoin").get(timeout=DEADLINE)).code == "rate_limited"
    assert len(asked(market)) == 1, "nothing is sent during the pause that was asked for"
    stage.clock.advance(7.0)
    assert get_data(source.get_current_price("bitcoin").get(timeout=DEADLINE)).coin_id == "bitcoin"


@pytest.mark.parametrize(
    "query",
    [
        Level1Query("bitcoin", exchange=7),  # type: ignore[arg-type]
        Level1Query("bitcoin", exchange="\ud800"),
        Level1Query("bitcoin", market=7),  # type: ignore[arg-type]
        Level1Query(".."),
        Level1Query("bitcoin/../ping"),
    ],
)
def test_a_query_that_makes_no_request_is_refused_and_harms_nobody(
    coingecko: Start, market: Simulator, query: Level1Query
) -> None:
    source = coingecko()
    refusal = error(source.get_level1_data(query).get(timeout=DEADLINE))
    assert (type(refusal), refusal.code) == (Permanent, "bad_argument")
    assert asked(market) == []
    assert get_data(source.get_status().get(timeout=DEADLINE)).state == "running"


def test_a_coin_id_stays_one_part_of_a_path(coingecko: Start, market: Simulator, moment: Moment) -> None:
    query = DateRangeOHLCVQuery("%2e%2e", moment.now.replace(hour=1), moment.now, "30m")
    error(coingecko().get_ohlcv_by_date_range(query).get(timeout=DEADLINE))
    assert [path for path, _ in asked(market)] == ["/coins/%2e%2e/ohlc"]


# Who answered


ROW = {
    "id": "bitcoin",
    "symbol": "btc",
    "name": "Bitcoin",
    "current_price": 77_000,
    "last_updated": "2025-12-31T12:49:21.599Z",
}


def test_data_says_coingecko_when_nobody_says_otherwise(coingecko: Start) -> None:
    server = ScriptedServer(answer(200, [ROW]))
    price = get_data(coingecko(server.url).get_current_price("bitcoin").get(timeout=DEADLINE))
    server.close()
    assert isinstance(price, CryptoPriceData)
    assert price.source == "coingecko"
    assert price.attribution == "Data provided by CoinGecko (https://www.coingecko.com)"
    assert (price.market_cap, price.volume_24h, price.change_24h) == (None, None, None)


def test_data_says_simulator_when_the_answer_does_whatever_the_url(coingecko: Start) -> None:
    server = ScriptedServer(answer(200, [ROW], "X-Simulator: dataplatform"))
    price = get_data(coingecko(server.url).get_current_price("bitcoin").get(timeout=DEADLINE))
    server.close()
    assert price.source == "simulator"


def test_an_odd_row_is_noted_besides_the_others_and_is_a_failure_of_its_own_coin(coingecko: Start) -> None:
    rows = [ROW, ROW | {"id": "ethereum", "current_price": -1}]
    server = ScriptedServer(answer(200, rows), answer(200, rows[1:]))
    reader = coingecko(server.url)
    prices = reader.get_current_prices(["bitcoin", "ethereum"]).get(timeout=DEADLINE)
    assert [price.coin_id for price in get_data(prices)] == ["bitcoin"]
    assert isinstance(prices, Success)
    (note,) = prices.notes
    assert note.startswith("left out: /coins/markets ('ethereum'): usd_price: expected a finite number")
    failure = error(reader.get_current_price("ethereum").get(timeout=DEADLINE))
    server.close()
    assert (type(failure), failure.code) == (Permanent, "changed_shape")
    assert "usd_price" in failure.message


def test_a_row_of_another_coin_is_never_answered(coingecko: Start) -> None:
    server = ScriptedServer(answer(200, [ROW]))
    failure = error(coingecko(server.url).get_current_price("ethereum").get(timeout=DEADLINE))
    server.close()
    assert (type(failure), failure.code) == (Permanent, "changed_shape")
    assert failure.message == "coingecko answered with 'bitcoin' when it was asked for 'ethereum'"


def test_no_price_is_not_no_coin(coingecko: Start) -> None:
    server = ScriptedServer(answer(200, [ROW | {"current_price": None}]))
    failure = error(coingecko(server.url).get_current_price("bitcoin").get(timeout=DEADLINE))
    server.close()
    assert (type(failure), failure.code) == (Permanent, "no_price")
    assert "get_price_history" in failure.remedy


CHART = {"prices": [[1_767_225_600_000, 1.5]], "market_caps": [], "total_volumes": []}


@pytest.mark.parametrize("listed", [[], [ROW | {"id": "old-coin", "symbol": "old", "current_price": None}]])
def test_the_history_of_a_coin_that_has_no_price_now_is_answered(coingecko: Start, listed: list[Any]) -> None:
    server = ScriptedServer(answer(200, listed), answer(200, CHART))
    prices = get_data(coingecko(server.url).get_price_history("old-coin", 7).get(timeout=DEADLINE))
    server.close()
    assert [(price.coin_id, price.usd_price) for price in prices] == [("old-coin", 1.5)]
    assert prices[0].symbol == ("old" if listed else "old-coin")


def test_the_history_of_an_unknown_coin_is_no_outage(coingecko: Start) -> None:
    server = ScriptedServer(answer(200, []), answer(404, {"error": "coin not found"}))
    failure = error(coingecko(server.url).get_price_history("tulip", 7).get(timeout=DEADLINE))
    server.close()
    assert (type(failure), failure.code, failure.message) == (
        Permanent,
        "not_found",
        "coingecko knows no coin 'tulip'",
    )


def test_a_range_without_candles_says_so_and_is_no_unknown_coin(coingecko: Start, moment: Moment) -> None:
    server = ScriptedServer(answer(200, []), answer(200, []))
    reader = coingecko(server.url)
    query = DateRangeOHLCVQuery("old-coin", moment.now.replace(hour=0), moment.now, "30m")
    series = reader.get_ohlcv_by_date_range(query).get(timeout=DEADLINE)
    latest = error(reader.get_current_ohlcv("old-coin").get(timeout=DEADLINE))
    server.close()
    assert get_data(series).candles == []
    assert isinstance(series, Success)
    assert series.notes == ("coingecko has no candles of 30m of 'old-coin' in that range",)
    assert (type(latest), latest.code) == (Permanent, "no_candles")


# Pages of tickers


def test_pages_are_asked_for_until_they_are_used_up(coingecko: Start, market: Simulator) -> None:
    failure = error(coingecko().get_level1_data(Level1Query("tether", market="USDT/NONE")).get(timeout=DEADLINE))
    assert failure.code == "not_found"
    pages = [parse_qs(query)["page"] for path, query in asked(market) if path == "/coins/tether/tickers"]
    assert pages == [["1"], ["2"], ["3"], ["4"]]


def test_a_market_on_a_later_page_is_found_and_no_page_is_asked_for_in_vain(coingecko: Start) -> None:
    others = [ticker("BTC", "USDT", coin_id="bitcoin")] * 100
    own = ticker("USDT", "EUR", last_traded_at="2026-01-01T00:00:00Z")
    pages = [{"tickers": others}, {"tickers": [*others[1:], own]}, {"tickers": others}]
    server = ScriptedServer(*[answer(200, page) for page in pages])
    found = get_data(coingecko(server.url).get_level1_data(Level1Query("tether")).get(timeout=DEADLINE))
    server.close()
    assert (found.ticker, found.market, found.source) == ("tether", "USDT/EUR", "coingecko")
    assert len(server.heads) == 2


def test_a_page_that_is_not_there_ends_the_search(coingecko: Start) -> None:
    full = answer(200, {"tickers": [ticker("BTC", "USDT", coin_id="bitcoin")] * 100})
    server = ScriptedServer(full, *[answer(404, {"error": "page not found"})] * 20)
    failure = error(coingecko(server.url).get_level1_data(Level1Query("tether")).get(timeout=DEADLINE))
    server.close()
    assert (failure.code, "has no ticker of 'tether'" in failure.message) == ("not_found", True)
    assert len(server.heads) == 2


def test_what_is_traded_for_a_coin_is_never_taken_for_it(coingecko: Start) -> None:
    found = get_data(coingecko().get_level1_data(Level1Query("tether")).get(timeout=DEADLINE))
    assert found.market.startswith("USDT/")
