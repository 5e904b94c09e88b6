"""CoinGecko over REST, over static tools and over code: the same answers, and the same failures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.base.agent import Future
from dataplatform.base.mcp import CallAnyOf, McpSettings, ToolAnswer
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, get_data
from dataplatform.simulator import Fault, Simulator, SimulatorSettings
from dataplatform.simulator.mcp.javascript import SdkCall, parse
from dataplatform.sources.coingecko import api as endpoints
from dataplatform.sources.coingecko import history, transforms
from dataplatform.sources.coingecko.api import OHLC, Ask
from dataplatform.sources.coingecko.transports import Mcp, code_of
from tests.sources.coingecko.transports import NOON, clocked, over, rest
from tests.support.solo import PATIENCE, failure

Operation = Callable[[ReaderProxy], Future[Result[Any]]]

ALL = CurrentPricesOptions(vs_currencies=("usd", "btc", "eth"))
OPERATIONS: dict[str, Operation] = {
    "get_current_price": lambda reader: reader.get_current_price("bitcoin", "eth"),
    "get_current_prices": lambda reader: reader.get_current_prices(["solana", "no-such-coin", "bitcoin"], ALL),
    "get_current_ohlcv": lambda reader: reader.get_current_ohlcv("bitcoin"),
    "get_latest_ohlcv": lambda reader: reader.get_latest_ohlcv(["solana", "no-such-coin", "bitcoin"], "4h"),
    "get_price_history": lambda reader: reader.get_price_history("bitcoin", 30),
    "get_ohlcv_by_date_range": lambda reader: reader.get_ohlcv_by_date_range(
        DateRangeOHLCVQuery("bitcoin", NOON - timedelta(days=20), NOON, "4h")
    ),
    "get_available_tickers": lambda reader: reader.get_available_tickers(),
    "get_available_tickers(260)": lambda reader: reader.get_available_tickers(260),
    "get_level1_data": lambda reader: reader.get_level1_data(Level1Query("bitcoin", "binance", "btc/usdt")),
    "get_market_analytics": lambda reader: reader.get_market_analytics(),
}
LACKING = {"get_current_ohlcv", "get_latest_ohlcv", "get_ohlcv_by_date_range", "get_available_tickers"}
by_operation = pytest.mark.parametrize("name", OPERATIONS)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A CoinGecko whose code tool wraps its answers, as the hosted one does."""
    with Simulator(SimulatorSettings(seed=7, now=lambda: NOON)) as running:
        yield running


@pytest.fixture(scope="module")
def other() -> Iterator[Simulator]:
    """The same CoinGecko with a code tool as the local one is, and the tools of the later static releases."""
    with Simulator(SimulatorSettings(seed=7, now=lambda: NOON, wrapped=False, early_tools=False)) as running:
        yield running


@pytest.fixture(scope="module")
def readers(simulator: Simulator, other: Simulator) -> Iterator[dict[str, ReaderProxy]]:
    with clocked() as (agents, _):
        urls = {
            "static": simulator.mcp_url("static"),
            "code-hosted": simulator.mcp_url("code"),
            "code-local": other.mcp_url("code", "sse"),
            "late": other.mcp_url("static"),
        }
        yield {
            "rest": over(agents, "rest", rest(simulator)),
            **{
                name: over(agents, name, McpSettings(url=url, transport="sse" if url.endswith("sse") else "http"))
                for name, url in urls.items()
            },
        }


@pytest.fixture(autouse=True)
def no_faults(simulator: Simulator) -> Iterator[None]:
    simulator.requests.clear()
    yield
    simulator.clear_faults()


def asked(reader: ReaderProxy, name: str) -> Result[Any]:
    return OPERATIONS[name](reader).get(timeout=PATIENCE)


# Answers


@by_operation
@pytest.mark.parametrize("transport", ["static", "code-hosted", "code-local"])
def test_every_operation_answers_over_mcp_what_it_answers_over_rest(
    readers: dict[str, ReaderProxy], transport: str, name: str
) -> None:
    answer = get_data(asked(readers["rest"], name))
    assert answer
    assert get_data(asked(readers[transport], name)) == answer


@by_operation
def test_later_static_tools_answer_the_same_or_say_who_can(readers: dict[str, ReaderProxy], name: str) -> None:
    answer = asked(readers["late"], name)
    if name not in LACKING:
        assert answer == asked(readers["rest"], name)
        return
    assert failure(answer) == "unsupported"
    assert "REST API (a client of kind 'http')" in str(answer)
    assert "'execute'" in str(answer)


@pytest.mark.parametrize("transport", ["rest", "static", "code-hosted"])
def test_all_pages_of_tickers_are_looked_at_over_every_transport(
    readers: dict[str, ReaderProxy], simulator: Simulator, transport: str
) -> None:
    query = Level1Query("tether", market="USDT/NONE")
    assert failure(readers[transport].get_level1_data(query).get(timeout=PATIENCE)) == "not_found"
    assert [parse_qs(request.query)["page"] for request in simulator.requests] == [["1"], ["2"], ["3"], ["4"]]


def test_later_static_tools_never_answer_with_the_best_of_a_part(readers: dict[str, ReaderProxy]) -> None:
    answer = readers["late"].get_level1_data(Level1Query("tether")).get(timeout=PATIENCE)
    assert failure(answer) == "unsupported"
    assert "name the exchange" in str(answer)
    on_gate = Level1Query("tether", "gate")
    assert readers["late"].get_level1_data(on_gate).get(timeout=PATIENCE) == readers["rest"].get_level1_data(
        on_gate
    ).get(timeout=PATIENCE)


@pytest.mark.parametrize("transport", ["rest", "static", "code-hosted"])
def test_candles_have_no_volume_and_bids_and_asks_are_estimates_over_every_transport(
    readers: dict[str, ReaderProxy], transport: str
) -> None:
    reader = readers[transport]
    candles = get_data(reader.get_latest_ohlcv(["bitcoin", "ethereum"]).get(timeout=PATIENCE))
    assert [candle.volume for candle in candles] == [None, None]
    assert get_data(reader.get_level1_data(Level1Query("bitcoin")).get(timeout=PATIENCE)).estimated
    assert all(price.volume_24h for price in get_data(reader.get_price_history("bitcoin", 1).get(timeout=PATIENCE)))


def test_a_coin_without_candles_is_absent_and_nobody_else_is_harmed(readers: dict[str, ReaderProxy]) -> None:
    coins = ["no-such-coin", "bitcoin", "tulip"]
    candles = get_data(readers["rest"].get_latest_ohlcv(coins, "4d").get(timeout=PATIENCE))
    assert [candle.coin_id for candle in candles] == ["bitcoin"]
    assert failure(readers["rest"].get_latest_ohlcv(["tulip", "rose"]).get(timeout=PATIENCE)) == "not_found"


# Failures

FAULTS = [
    (Fault("rate_limited"), Transient, "rate_limited"),
    (Fault("server_error"), Transient, "server_error"),
    (Fault("server_error", status=503), Transient, "server_error"),
    (Fault("cut"), Transient, "unreachable"),
    (Fault("malformed_json"), Transient, "not_json"),
    (Fault("html", status=200), Transient, "not_json"),
    (Fault("unauthorized"), Permanent, "unauthorized"),
    (Fault("not_found"), Permanent, "not_found"),
    (Fault("changed_shape", shape="wrapped"), Permanent, "changed_shape"),
]


@pytest.mark.parametrize(("fault", "kind", "code"), FAULTS, ids=lambda value: getattr(value, "kind", None))
@pytest.mark.parametrize("generation", ["static", "code"])
def test_every_fault_of_coingecko_is_a_failure_over_mcp_as_it_is_over_rest_and_passes(
    simulator: Simulator, fault: Fault, kind: type[PlatformError], code: str, generation: Any
) -> None:
    with clocked() as (agents, clock):
        reader = over(agents, "reader", McpSettings(url=simulator.mcp_url(generation)))
        simulator.inject(fault)
        answer = reader.get_current_prices(["bitcoin"]).get(timeout=PATIENCE)
        assert isinstance(answer, Failure)
        assert (type(answer.error), answer.error.code) == (kind, code)
        simulator.clear_faults()
        clock.advance(3600.0)
        assert get_data(reader.get_current_price("bitcoin").get(timeout=PATIENCE)).source == "simulator"


def test_an_unknown_coin_is_not_found_over_every_transport(readers: dict[str, ReaderProxy]) -> None:
    for reader in readers.values():
        answers: list[Future[Any]] = [
            reader.get_current_price("tulip"),
            reader.get_price_history("tulip", 1),
            reader.get_level1_data(Level1Query("tulip")),
        ]
        assert [failure(answer.get(timeout=PATIENCE)) for answer in answers] == ["not_found"] * 3


# What is sent

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@given(ANY_TEXT.filter(bool), ANY_TEXT)
@settings(deadline=None)
def test_whatever_a_caller_gives_stands_in_the_code_as_a_text(coin_id: str, days: str) -> None:
    code = code_of(Ask(OHLC, {"days": days, "page": 2, "tickers": True}, coin_id))
    assert code.isascii()
    assert code.count("\n") == 0
    assert parse(code) == SdkCall("coins.ohlc.get", coin_id, {"days": days, "page": 2, "tickers": True})


@pytest.mark.parametrize(
    "coin",
    ['");client.ping.get("', "'+process.exit()+'", "`${Deno.env}`", "\\", '\\"', "*/x/*", "\u2028", "</script>"],
)
def test_hostile_coins_are_coins_that_nobody_knows(readers: dict[str, ReaderProxy], coin: str) -> None:
    answer = readers["code-hosted"].get_current_price(coin).get(timeout=PATIENCE)
    assert failure(answer) in {"not_found", "bad_argument"}


def test_numbers_and_switches_are_no_texts_to_a_tool() -> None:
    (ask,) = endpoints.top_markets(1)
    static, code = call_of(ask).calls
    assert (static.name, static.arguments["page"], static.arguments["per_page"]) == ("get_coins_markets", 1, 250)
    assert code.name == "execute"
    assert '"page": 1' in code.arguments["code"]


def test_a_tool_of_a_range_stands_in_for_that_of_days() -> None:
    days, in_range, code = call_of(history.chart("bitcoin", 7, NOON)).calls
    assert (days.name, days.arguments["days"]) == ("get_coins_market_chart", "7")
    assert in_range.name == "get_range_coins_market_chart"
    reach = int(in_range.arguments["to"]) - int(in_range.arguments["from"])
    assert timedelta(days=7) - timedelta(minutes=5) < timedelta(seconds=reach) < timedelta(days=7)
    assert "coins.marketChart.get(" in code.arguments["code"]


# What comes back

MCP = Mcp(McpSettings(url="https://mcp.example/mcp"))
GLOBAL = Ask(endpoints.GLOBAL)


def call_of(ask: Ask) -> CallAnyOf:
    return MCP.put(ask)


def came(text: str, tool: str = "execute", server: str = "coingecko_mcp") -> ToolAnswer:
    return ToolAnswer(text, None, server, "8.2.0", NOON, tool)


def wrapped(result: Any, *errors: str) -> str:
    return json.dumps({"result": result, "log_lines": ["a line"], "err_lines": errors})


@pytest.mark.parametrize("text", [wrapped({"data": 1}), '{"data": 1}', wrapped({"data": 1}, "a warning")])
def test_an_answer_of_the_code_tool_is_taken_out_of_its_wrapping(text: str) -> None:
    assert json.loads(MCP.read(GLOBAL, came(text)).body) == {"data": 1}


def test_only_the_code_tool_wraps() -> None:
    assert json.loads(MCP.read(GLOBAL, came(wrapped(1), "get_global")).body)["result"] == 1


@pytest.mark.parametrize("text", [wrapped(["bad\ud800"]), '["bad\\ud800"]'])
def test_what_is_no_text_is_replaced_however_it_is_wrapped(text: str) -> None:
    read = MCP.read(GLOBAL, came(text))
    assert json.loads(read.body) == ["bad\ufffd"]
    assert read.text.replaced == 1


@pytest.mark.parametrize("text", ['"<!DOCTYPE html>"', wrapped("<!DOCTYPE html>"), "<!DOCTYPE html>"])
def test_a_page_is_a_page_however_it_is_wrapped(text: str) -> None:
    assert MCP.read(GLOBAL, came(text)).body == b"<!DOCTYPE html>"


@pytest.mark.parametrize("text", ["", '"', "\ud800", '"\\ud800"', "{", '{"result": [', "null", "[" * 100_000])
def test_nonsense_is_an_answer_that_is_refused_where_it_is_decoded(text: str) -> None:
    answer = MCP.read(GLOBAL, came(text))
    with pytest.raises(PlatformError) as refused:
        transforms.analytics(answer)
    assert refused.value.code in {"not_json", "changed_shape"}


def test_a_coin_may_be_called_result() -> None:
    text = '{"result": {"usd": 1}}'
    assert MCP.read(GLOBAL, came(text)).body == text.encode()


def test_code_that_brought_nothing_but_complaints_failed() -> None:
    with pytest.raises(Permanent) as refused:
        MCP.read(GLOBAL, came(wrapped(None, 'Error: 404 {"error":"coin not found"}')))
    assert refused.value.code == "not_found"


@pytest.mark.parametrize(
    ("server", "source"), [("dataplatform-simulator", "simulator"), ("coingecko_mcp", "coingecko"), ("", "coingecko")]
)
def test_data_is_labelled_by_what_the_server_calls_itself(server: str, source: str) -> None:
    assert MCP.read(GLOBAL, came("{}", server=server)).source == source


def test_a_failure_names_the_tool_the_question_and_the_server() -> None:
    assert MCP.read(GLOBAL, came("{}")).where == "execute (/global) of https://mcp.example/mcp"
