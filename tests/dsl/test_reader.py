"""The reading operations: arguments checked once for all sources, plans carried out, failures answered as values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Event
from typing import Any, ClassVar, NoReturn

import pytest
from attrs import evolve, frozen

from dataplatform.base.agent import Ready, Request, State
from dataplatform.base.agent.supervisor import StartDue
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.operations.in_flight import MOST
from dataplatform.dsl.operations.operations import (
    GetAvailableTickers,
    GetCurrentOHLCV,
    GetCurrentPrice,
    GetCurrentPrices,
    GetLatestOHLCV,
    GetMarketAnalytics,
    GetOHLCVByDateRange,
    GetPriceHistory,
    SourceRequest,
)
from dataplatform.dsl.operations.parts import SourceOptions
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.records.kinds import LEVEL1, OHLCV
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query, OHLCVSeries
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success, get_data
from tests.dsl.doubles import Double
from tests.dsl.flows import running
from tests.dsl.records import price, record
from tests.support.agents import DEADLINE, Stage

OUTAGE = Transient("unreachable", "cannot reach the shop", retry_after=5.0)
KNOWN = ["bitcoin", "ethereum", "solana"]


@frozen
class Look(Request[Any]):
    """What the shop's client is asked."""

    what: tuple[str, ...]


class EmptyShop(BaseReader):
    """A source that writes no hook."""

    technology: ClassVar[str] = "Empty shop"
    client_kind: ClassVar[str] = "shop"
    Options = SourceOptions


class Shop(EmptyShop):
    """A source with a hook for two of the operations; its client answers with prices, in its own order."""

    technology: ClassVar[str] = "Shop"

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        asked = Look((*coin_ids, *options.vs_currencies))
        return Success(Plan(self.client, [asked], lambda answers: answers[0]))

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        return Success(Plan(self.client, [Look(())], lambda _: KNOWN[:limit]))


Answer = Callable[[Look], "Result[Any]"]


def known_prices(look: Look) -> Result[Any]:
    return Success([price(coin) for coin in reversed(KNOWN) if coin in look.what])


@pytest.fixture
def reader(stage: Stage) -> Callable[..., ReaderProxy]:
    """Start a source and its client, and return the source's proxy."""

    def start(answer: Answer = known_prices, cls: type[BaseReader] = Shop) -> ReaderProxy:
        stage.start(Double, answer, name="client")
        stage.start(cls, SourceOptions(client="client"), "client", name="shop")
        stage.parent.expect(Ready)
        stage.parent.expect(Ready)
        return ReaderProxy(stage.runtime.directory.address("shop"))

    return start


Start = Callable[..., ReaderProxy]


def error(answer: Result[Any]) -> Permanent | Transient:
    assert isinstance(answer, Failure)
    assert isinstance(answer.error, Permanent | Transient)
    return answer.error


# Answers


def test_prices_come_in_the_order_asked_each_coin_once(reader: Start) -> None:
    shop = reader()
    answer = get_data(shop.get_current_prices(["solana", "bitcoin", "solana", "ethereum"]).get(timeout=DEADLINE))
    assert [one.coin_id for one in answer] == ["solana", "bitcoin", "ethereum"]


def test_coins_the_source_lacks_are_absent(reader: Start) -> None:
    answer = get_data(reader().get_current_prices(("tulip", "bitcoin")).get(timeout=DEADLINE))
    assert [one.coin_id for one in answer] == ["bitcoin"]


def test_a_source_that_knows_none_of_the_coins_says_so(reader: Start) -> None:
    shop = reader()
    for answer in (shop.get_current_price("tulip"), shop.get_current_prices(["tulip", "rose"])):
        refusal = error(answer.get(timeout=DEADLINE))
        assert (type(refusal), refusal.code) == (Permanent, "not_found")
        assert "tulip" in refusal.message
        assert "get_available_tickers" in refusal.remedy


def test_one_price_is_asked_for_in_dollars_and_the_other_currency(reader: Start) -> None:
    asked: list[Look] = []

    def answer(look: Look) -> Result[Any]:
        asked.append(look)
        return known_prices(look)

    assert reader(answer).get_current_price("bitcoin", "btc").get(timeout=DEADLINE) == Success(price("bitcoin"))
    assert asked == [Look(("bitcoin", "usd", "btc"))]


@pytest.mark.parametrize(("limit", "count"), [(None, 3), (1, 1), (3, 3), (10_000, 3)])
def test_tickers_are_as_many_as_wanted(reader: Start, limit: int | None, count: int) -> None:
    assert reader().get_available_tickers(limit).get(timeout=DEADLINE) == Success(KNOWN[:count])


def test_operations_are_counted(reader: Start) -> None:
    shop = reader()
    shop.get_current_price("bitcoin").get(timeout=DEADLINE)
    shop.get_available_tickers().get(timeout=DEADLINE)
    counters = get_data(shop.get_status().get(timeout=DEADLINE)).counters
    assert counters["operations"] == 2


# Arguments


@pytest.mark.parametrize(
    "request_",
    [
        GetCurrentPrice(""),
        GetCurrentPrice(None),  # type: ignore[arg-type]
        GetCurrentPrice("bit coin"),
        GetCurrentPrice("bitcoin", "eur"),
        GetCurrentPrice("bitcoin", None),  # type: ignore[arg-type]
        GetCurrentPrices([]),
        GetCurrentPrices("bitcoin"),
        GetCurrentPrices(["bitcoin"] * 10_001),
        GetCurrentPrices([1]),  # type: ignore[list-item]
        GetCurrentPrices([["bitcoin"]]),  # type: ignore[list-item]
        GetCurrentPrices(["bitcoin", "a,b"]),
        GetCurrentPrices({"bitcoin"}),  # type: ignore[arg-type]
        GetCurrentPrices(["bitcoin"], {"vs_currencies": ["usd"]}),  # type: ignore[arg-type]
        GetCurrentPrices(["bitcoin"], CurrentPricesOptions(("usd", "doge"))),
        GetAvailableTickers(0),
        GetAvailableTickers(-5),
        GetAvailableTickers(2.5),  # type: ignore[arg-type]
        GetAvailableTickers(10**9),
    ],
    ids=lambda request: f"{request!s:.60}",
)
def test_bad_arguments_are_one_clear_permanent_failure_and_nobody_is_asked(
    reader: Start, request_: SourceRequest[Any]
) -> None:
    asked: list[Look] = []

    def answer(look: Look) -> Result[Any]:
        asked.append(look)
        return Success([])

    shop = reader(answer)
    refusal = error(shop.ask(request_, DEADLINE))
    assert (type(refusal), refusal.code) == (Permanent, "bad_argument")
    assert asked == []
    assert get_data(shop.get_status().get(timeout=DEADLINE)).state == "running"


@pytest.mark.parametrize(
    "call",
    [
        lambda shop: shop.get_current_price(),
        lambda shop: shop.get_current_prices(["bitcoin"], "usd", 3),
        lambda shop: shop.get_available_tickers(number=3),
        lambda shop: shop.get_market_analytics("usd"),
        lambda _: CurrentPricesOptions(vs_currencies="usd"),
        lambda _: CurrentPricesOptions(currencies=("usd",)),  # type: ignore[call-arg]
    ],
)
def test_arguments_that_do_not_fit_raise_in_the_caller_and_harm_nobody(
    reader: Start, call: Callable[[Any], object]
) -> None:
    shop = reader()
    with pytest.raises(TypeError):
        call(shop)
    assert get_data(shop.get_status().get(timeout=DEADLINE)).handled == 0


# Failures


@pytest.mark.parametrize(
    ("request_", "operation"),
    [
        (GetCurrentPrice("bitcoin"), "get_current_prices"),
        (GetCurrentPrices(["bitcoin"]), "get_current_prices"),
        (GetAvailableTickers(), "get_available_tickers"),
        (GetMarketAnalytics(), "get_market_analytics"),
    ],
)
def test_an_operation_without_a_hook_says_which_technology_cannot_answer_it(
    reader: Start, request_: SourceRequest[Any], operation: str
) -> None:
    refusal = error(reader(cls=EmptyShop).ask(request_, DEADLINE))
    assert (type(refusal), refusal.code) == (Permanent, "unsupported")
    assert refusal.message.startswith(f"Empty shop cannot answer {operation}; coingecko")
    assert refusal.message.endswith(" can")
    assert refusal.remedy


def test_an_outage_is_answered_as_it_is_and_counted(reader: Start) -> None:
    shop = reader(lambda _: Failure(OUTAGE))
    assert shop.get_current_price("bitcoin").get(timeout=DEADLINE) == Failure(OUTAGE)
    assert shop.get_current_prices(["bitcoin"]).get(timeout=DEADLINE) == Failure(OUTAGE)
    assert shop.get_available_tickers().get(timeout=DEADLINE) == Failure(OUTAGE)
    assert get_data(shop.get_status().get(timeout=DEADLINE)).counters == {"failed_operations": 3}


def test_what_a_transform_refuses_is_the_answer(reader: Start) -> None:
    refusal = Permanent("changed_shape", "no list")

    class Strict(Shop):
        def _market_analytics(self) -> Result[Plan[CryptoMarketAnalytics]]:
            def refuse(_: list[Any]) -> CryptoMarketAnalytics:
                raise refusal

            return Success(Plan(self.client, [], refuse))

    assert reader(cls=Strict).get_market_analytics().get(timeout=DEADLINE) == Failure(refusal)


def test_a_stop_ends_an_operation_between_its_requests(stage: Stage, reader: Start) -> None:
    asked, go_on = Event(), Event()

    class Slow(Shop):
        def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
            return Success(Plan(self.client, [Look(("1",)), Look(("2",))], lambda _: KNOWN[:limit]))

    looks: list[Look] = []

    def answer(look: Look) -> Result[Any]:
        looks.append(look)
        asked.set()
        assert go_on.wait(DEADLINE)
        return Success([])

    future = reader(answer, Slow).get_available_tickers()
    assert asked.wait(DEADLINE)
    context, ref = stage._started[-1]
    context.stopping.set()
    ref.stop(block=False)
    assert error(future.get(timeout=DEADLINE)).code == "stopping"
    go_on.set()
    assert looks == [Look(("1",))]


def test_a_source_is_there_for_others_while_an_operation_is_under_way(reader: Start) -> None:
    asked, go_on = Event(), Event()

    def answer(look: Look) -> Result[Any]:
        asked.set()
        assert go_on.wait(DEADLINE)
        return known_prices(look)

    shop = reader(answer)
    futures = [shop.get_current_price("bitcoin") for _ in range(100)]
    assert asked.wait(DEADLINE)
    assert get_data(shop.get_status().get(timeout=DEADLINE)).busy_s == 0.0
    assert get_data(shop.pause().get(timeout=DEADLINE)) is None
    go_on.set()
    assert {get_data(future.get(timeout=DEADLINE)).coin_id for future in futures} == {"bitcoin"}


def test_beyond_a_number_of_operations_in_flight_a_source_is_busy(reader: Start) -> None:
    go_on = Event()

    def answer(look: Look) -> Result[Any]:
        assert go_on.wait(DEADLINE)
        return known_prices(look)

    shop = reader(answer)
    futures = [shop.get_current_price("bitcoin") for _ in range(MOST + 1)]
    refusal = error(futures[-1].get(timeout=DEADLINE))
    assert (refusal.code, getattr(refusal, "retry_after", None)) == ("busy", 1.0)
    go_on.set()
    assert all(get_data(future.get(timeout=DEADLINE)) for future in futures[:-1])
    assert get_data(shop.get_current_price("bitcoin").get(timeout=DEADLINE)).coin_id == "bitcoin"


def test_an_operation_over_a_restarting_source_or_client_is_transient(stage: Stage) -> None:
    stage.supervise(
        Double.child("client", known_prices),
        Shop.child("shop", SourceOptions(client="client"), "client", stage=1),
    )
    stage.parent.expect(Ready)
    shop = ReaderProxy(stage.runtime.directory.address("shop"))
    stage.strike("client")
    crashed = stage.scheduler.expect(StartDue)
    assert (error(shop.get_current_price("bitcoin").get(timeout=DEADLINE)).code) == "absent"
    stage.strike("shop")
    stage.scheduler.expect(StartDue)
    away = error(shop.get_current_price("bitcoin").get(timeout=DEADLINE))
    assert (type(away), away.code) == (Transient, "absent")
    assert "shop is restarting" in away.message
    assert error(shop.ask(GetAvailableTickers(), DEADLINE)).code == "absent"
    stage.pass_timer(crashed)
    stage.clock.advance(8.0)
    running(stage, "client", 2)
    running(stage, "shop", 2)
    assert shop.get_current_price("bitcoin").get(timeout=DEADLINE) == Success(price("bitcoin"))


# Bugs


def bug(*_: object) -> NoReturn:
    raise RuntimeError("a bug")


class BuggyShop(Shop):
    """A source with a bug wherever an operation runs code of its own, each met by the coin that is asked for."""

    technology: ClassVar[str] = "Buggy shop"

    def _ids_meant(self, coins: Sequence[str]) -> Plan[list[str]] | None:
        if "in-the-names" in coins:
            return Plan(self.client, [Look(())], bug)
        return bug() if "in-the-hook" in coins else None

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        plan = get_data(super()._current_prices(coin_ids, options))
        match coin_ids[0]:
            case "in-the-transform":
                return Success(evolve(plan, transform=bug))
            case "in-the-next-page":
                return Success(evolve(plan, next_page=bug))
            case "in-what-is-made-of-it":
                return Success(evolve(plan, transform=lambda _: [COIN_THAT_IS_NONE]))
            case _:
                return Success(plan)


COIN_THAT_IS_NONE: Any = None
BUGS = ["in-the-names", "in-the-hook", "in-the-transform", "in-the-next-page", "in-what-is-made-of-it"]


def test_a_bug_in_an_operation_fails_that_operation_and_costs_its_source_nothing(stage: Stage) -> None:
    """More of them than a supervisor would take for restarts."""
    stage.supervise(
        Double.child("client", known_prices), BuggyShop.child("shop", SourceOptions(client="client"), "client", stage=1)
    )
    stage.parent.expect(Ready)
    shop = ReaderProxy(stage.runtime.directory.address("shop"))
    for coin in 3 * BUGS:
        failure = error(shop.get_current_prices([coin]).get(timeout=DEADLINE))
        assert (failure.code, failure.remedy) == ("bug", "see the log, and report it"), coin
        assert failure.message.startswith("shop has a bug in this operation (")
        assert "a bug" not in failure.message.partition("(")[2], "what an exception says may hold secrets"
    status = get_data(shop.get_status().get(timeout=DEADLINE))
    assert (status.state, status.restarts) == (State.RUNNING, 0)
    assert status.counters["crashed_operations"] == 3 * len(BUGS)
    assert get_data(shop.get_current_price("bitcoin").get(timeout=DEADLINE)).coin_id == "bitcoin"


def test_those_that_crashed_are_no_longer_in_flight(reader: Start) -> None:
    shop = reader(cls=BuggyShop)
    for _ in range(MOST + 1):
        assert error(shop.get_current_prices(["in-the-transform"]).get(timeout=DEADLINE)).code == "bug"
    assert get_data(shop.get_current_price("bitcoin").get(timeout=DEADLINE)).coin_id == "bitcoin"


# What nobody asked for

RANGE = DateRangeOHLCVQuery(
    "bitcoin", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), interval="4h"
)


def candle(coin_id: str = "bitcoin", timeframe: str = "4h") -> Any:
    return record(OHLCV, coin_id=coin_id, timeframe=timeframe, timestamp=RANGE.date_start)


def quote(ticker: str = "bitcoin", exchange: str = "binance", market: str = "BTC/USDT") -> Any:
    return record(LEVEL1, ticker=ticker, exchange=exchange, market=market)


class Muddled(Shop):
    """A source whose client answers everything with what it likes."""

    def _plan(self) -> Result[Plan[Any]]:
        return Success(Plan(self.client, [Look(())], lambda answers: answers[0]))

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        return self._plan()

    def _latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str) -> Result[Plan[Any]]:
        return self._plan()

    def _price_history(self, coin_id: str, days: int) -> Result[Plan[Any]]:
        return self._plan()

    def _ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Result[Plan[Any]]:
        return self._plan()

    def _level1(self, query: Level1Query) -> Result[Plan[Any]]:
        return self._plan()


OF_COINS = [
    (GetCurrentPrice("ethereum"), price("ethereum"), price("bitcoin")),
    (GetCurrentPrices(["ethereum"]), price("ethereum"), price("bitcoin")),
    (GetPriceHistory("ethereum", 1), price("ethereum"), price("bitcoin")),
    (GetCurrentOHLCV("bitcoin", "4h"), candle(), candle("ethereum")),
    (GetCurrentOHLCV("bitcoin", "4h"), candle(), candle(timeframe="30m")),
    (GetLatestOHLCV(["bitcoin"], "4h"), candle(), candle(timeframe="30m")),
    (GetOHLCVByDateRange(RANGE), candle(), candle("ethereum")),
    (GetOHLCVByDateRange(RANGE), candle(), candle(timeframe="1d")),
]


@pytest.mark.parametrize(("request_", "asked", "other"), OF_COINS, ids=str)
@pytest.mark.parametrize("first", [True, False])
def test_a_record_that_nobody_asked_for_is_left_out_and_named(
    reader: Start, request_: SourceRequest[Any], asked: Any, other: Any, *, first: bool
) -> None:
    rows = [other, asked] if first else [asked, other]
    answer = reader(lambda _: Success(rows), Muddled).ask(request_, DEADLINE)
    data = get_data(answer)
    assert (data.candles if isinstance(data, OHLCVSeries) else data) in (asked, [asked])
    assert isinstance(answer, Success)
    (note,) = answer.notes
    assert note.startswith(f"shop answered with {other.coin_id!r}")


@pytest.mark.parametrize(("request_", "_asked", "other"), OF_COINS, ids=str)
def test_an_answer_about_something_else_is_none(
    reader: Start, request_: SourceRequest[Any], _asked: Any, other: Any
) -> None:
    refusal = error(reader(lambda _: Success([other]), Muddled).ask(request_, DEADLINE))
    assert (type(refusal), refusal.code) == (Permanent, "changed_shape")
    assert repr(other.coin_id) in refusal.message


@pytest.mark.parametrize(
    ("query", "other"),
    [
        (Level1Query("bitcoin"), quote("tether")),
        (Level1Query("bitcoin", "kraken"), quote()),
        (Level1Query("bitcoin", market="BTC/EUR"), quote()),
    ],
)
def test_a_bid_and_an_ask_of_something_else_are_none(reader: Start, query: Level1Query, other: Any) -> None:
    refusal = error(reader(lambda _: Success(other), Muddled).get_level1_data(query).get(timeout=DEADLINE))
    assert (type(refusal), refusal.code) == (Permanent, "changed_shape")


def test_a_market_is_the_same_in_small_letters(reader: Start) -> None:
    query = Level1Query("bitcoin", "binance", "btc/usdt")
    answer = reader(lambda _: Success(quote()), Muddled).get_level1_data(query)
    assert answer.get(timeout=DEADLINE) == Success(quote())


def test_tickers_are_no_more_than_asked_for_each_once(reader: Start) -> None:
    shop = reader(lambda _: Success(["a", "b", "a", "c"]), Muddled)
    assert shop.get_available_tickers(2).get(timeout=DEADLINE) == Success(["a", "b"])


def test_a_range_without_candles_says_so(reader: Start) -> None:
    answer = reader(lambda _: Success([]), Muddled).get_ohlcv_by_date_range(RANGE).get(timeout=DEADLINE)
    assert get_data(answer).candles == []
    assert isinstance(answer, Success)
    assert answer.notes == ("shop has no candles of 4h of 'bitcoin' in that range",)


def test_no_prices_of_those_days_do_not_make_a_coin_unknown(reader: Start) -> None:
    refusal = error(reader(lambda _: Success([]), Muddled).get_price_history("bitcoin", 7).get(timeout=DEADLINE))
    assert (refusal.code, refusal.message) == ("not_found", "shop has no prices of 'bitcoin' (days = 7)")


def test_an_operation_s_notes_reach_whoever_asked(reader: Start) -> None:
    class Noting(Shop):
        def _current_prices(
            self, coin_ids: Sequence[str], options: CurrentPricesOptions
        ) -> Result[Plan[list[CryptoPriceData]]]:
            return Success(Plan(self.client, [], lambda _: Success([price()], ("'tulip' was left out",))))

    shop = reader(cls=Noting)
    for answer in (shop.get_current_price("bitcoin"), shop.get_current_prices(["tulip", "bitcoin"])):
        given = answer.get(timeout=DEADLINE)
        assert isinstance(given, Success)
        assert given.notes == ("'tulip' was left out",)
