"""The reading operations: arguments checked once for all sources, plans carried out, failures answered as values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, ClassVar

import pytest
from attrs import frozen

from dataplatform.base.agent import Ready, Request
from dataplatform.base.agent.supervisor import StartDue
from dataplatform.dsl.operations import GetAvailableTickers, GetCurrentPrice, GetCurrentPrices, GetMarketAnalytics
from dataplatform.dsl.parts import SourceOptions
from dataplatform.dsl.plan import Plan
from dataplatform.dsl.proxy import ReaderProxy
from dataplatform.dsl.queries import CurrentPricesOptions
from dataplatform.dsl.reader import BaseReader
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success, get_data
from tests.dsl.doubles import Double
from tests.dsl.flows import running
from tests.dsl.records import price
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
    reader: Start, request_: Request[Any]
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
    reader: Start, request_: Request[Any], operation: str
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
    stage._started[-1][0].stopping.set()
    go_on.set()
    assert error(future.get(timeout=DEADLINE)).code == "stopping"
    assert looks == [Look(("1",))]


def test_an_operation_over_a_restarting_source_or_client_is_transient(stage: Stage) -> None:
    stage.supervise(
        Double.child("client", known_prices),
        Shop.child("shop", SourceOptions(client="client"), "client", stage=1),
    )
    stage.parent.expect(Ready)
    shop = ReaderProxy(stage.runtime.directory.address("shop"))
    stage.runtime.directory.address("client").tell("no message of a client")
    crashed = stage.scheduler.expect(StartDue)
    assert (error(shop.get_current_price("bitcoin").get(timeout=DEADLINE)).code) == "absent"
    stage.runtime.directory.address("shop").tell("no message of a source")
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
