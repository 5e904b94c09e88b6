"""An odd record in what another platform answers is set aside with its reason, and costs no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from dataplatform.base.mcp import McpClient, McpSettings
from dataplatform.dsl.flow import PolledRow
from dataplatform.dsl.flow.feeds import FeedOptions
from dataplatform.dsl.operations.proxy import ReaderProxy
from dataplatform.dsl.records.kinds import OHLCV
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery
from dataplatform.dsl.records.schema import to_json
from dataplatform.dsl.records.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Success
from dataplatform.sources.mcp import McpSource, McpSourceOptions
from tests.base.mcp.http_server import ScriptedMcp, tool_text
from tests.dsl.flows import INPUT, SOURCE, Flow
from tests.dsl.records import price, record
from tests.support.solo import PATIENCE, solo

TOOLS = [
    "get_available_tickers",
    "get_current_prices",
    "get_latest_ohlcv",
    "get_ohlcv_by_date_range",
    "get_price_history",
]
ODD = [
    {"usdPrice": None},
    {"usdPrice": "much"},
    {"usdPrice": -1.0},
    {"lastUpdated": "2026-01-01T12:00:00"},
    {"coinId": 7},
    {"symbol": None},
    {"lastUpdated": "some day"},
]


@pytest.fixture
def server() -> Iterator[ScriptedMcp]:
    server = ScriptedMcp()
    server.tools = TOOLS
    yield server
    server.close()


@pytest.fixture
def reader(server: ScriptedMcp) -> Iterator[ReaderProxy]:
    with solo() as agents:
        agents.start("client", McpClient, McpSettings(url=server.url))
        yield ReaderProxy(agents.start("far", McpSource, McpSourceOptions(client="client"), "client"))


def row(coin_id: str, **changes: Any) -> dict[str, Any]:
    return {**to_json(price(coin_id)), **changes}


def answers(server: ScriptedMcp, *results: object, notes: tuple[str, ...] = ()) -> None:
    server.script += [tool_text("", structured={"result": result, "notes": list(notes)}) for result in results]


def prices_of(reader: ReaderProxy) -> Any:
    return reader.get_current_prices(["bitcoin", "ethereum", "solana"]).get(timeout=PATIENCE)


@pytest.mark.parametrize("changes", ODD, ids=str)
def test_an_odd_price_costs_no_other_and_is_noted_with_its_place(
    server: ScriptedMcp, reader: ReaderProxy, changes: dict[str, Any]
) -> None:
    answers(server, [row("bitcoin"), row("ethereum", **changes), row("solana")], notes=("theirs",))
    answer = prices_of(reader)
    assert isinstance(answer, Success), answer
    assert answer.data == [price("bitcoin"), price("solana")]
    theirs, ours = answer.notes
    assert theirs == "theirs"
    assert ours.startswith("left out: get_current_prices of ")
    assert "$.result[1]" in ours


@pytest.mark.parametrize("odd", [None, 7, "bitcoin", [], {}], ids=repr)
def test_what_is_no_record_at_all_costs_no_other(server: ScriptedMcp, reader: ReaderProxy, odd: object) -> None:
    answers(server, [odd, row("solana")])
    answer = prices_of(reader)
    assert isinstance(answer, Success), answer
    assert (answer.data, len(answer.notes)) == ([price("solana")], 1)


def test_an_answer_of_nothing_but_odd_rows_is_of_another_shape(server: ScriptedMcp, reader: ReaderProxy) -> None:
    answers(server, [row("bitcoin", usdPrice="much"), row("ethereum", usdPrice="much")])
    answer = prices_of(reader)
    assert isinstance(answer, Failure)
    assert (answer.error.code, type(answer.error)) == ("changed_shape", Permanent)
    assert "`$.result[0].usdPrice`" in answer.error.message


@pytest.mark.parametrize("result", [None, {}, "many", {"candles": []}])
def test_an_answer_without_rows_is_of_another_shape(server: ScriptedMcp, reader: ReaderProxy, result: object) -> None:
    answers(server, result)
    answer = prices_of(reader)
    assert isinstance(answer, Failure)
    assert (answer.error.code, "expected a list" in answer.error.message) == ("changed_shape", True)


def test_an_odd_candle_of_a_series_costs_no_other(server: ScriptedMcp, reader: ReaderProxy) -> None:
    whole = record(OHLCV)
    assert isinstance(whole, CryptoOHLCVData)
    odd = {**to_json(whole), "high": None}
    answers(server, {"candles": [odd, to_json(whole)], "gaps": []})
    query = DateRangeOHLCVQuery(whole.coin_id, whole.timestamp, whole.timestamp + timedelta(hours=4), whole.timeframe)
    answer = reader.get_ohlcv_by_date_range(query).get(timeout=PATIENCE)
    assert isinstance(answer, Success), answer
    assert answer.data.candles == [whole]
    assert "`$.result.candles[0].high`" in answer.notes[0]


def test_an_odd_ticker_costs_no_other(server: ScriptedMcp, reader: ReaderProxy) -> None:
    answers(server, ["bitcoin", None, "solana"])
    answer = reader.get_available_tickers().get(timeout=PATIENCE)
    assert isinstance(answer, Success), answer
    assert (answer.data, len(answer.notes)) == (["bitcoin", "solana"], 1)


# Feeds

Begin = Callable[..., None]


@pytest.fixture
def begin(flow: Flow, server: ScriptedMcp) -> Begin:
    def start(**feed: Any) -> None:
        feeds = (FeedOptions(operation="get_current_prices", **feed),)
        options = McpSourceOptions(client=INPUT, source="coingecko", feeds=feeds)
        flow.run(
            McpClient.child(INPUT, McpSettings(url=server.url)),
            lambda outbox: McpSource.child(SOURCE, options, INPUT, outbox, stage=2),
            "table",
        )

    return start


def test_an_odd_row_of_a_feed_is_a_dead_letter_that_can_be_decoded_again(
    flow: Flow, server: ScriptedMcp, begin: Begin
) -> None:
    bad = row("ethereum", usdPrice="much")
    answers(server, [row("bitcoin"), bad, row("solana")])
    begin(coins=["bitcoin", "ethereum", "solana"])
    flow.until(lambda: flow.account("table").written == 2 and flow.account("table").dead_lettered == 1)
    assert flow.store("table").coins == ["bitcoin", "solana"]
    assert flow.reason(SOURCE) is None
    (letter,) = flow.store("table").letters
    assert json.loads(letter.raw) == bad
    assert (letter.origin, letter.stream, letter.record_kind) == (SOURCE, "get_current_prices", "prices")
    assert (letter.source_kind, letter.source) == ("mcp", "coingecko")

    with pytest.raises(Permanent, match="usdPrice"):
        McpSource.decode_row(PolledRow.of(letter))
    mended = evolve(PolledRow.of(letter), raw=json.dumps(row("ethereum")).encode())
    assert McpSource.decode_row(mended) == price("ethereum")
    with pytest.raises(Permanent) as refused:
        McpSource.decode_row(evolve(mended, endpoint="get_market_analytics"))
    assert refused.value.code == "unsupported"


def test_odd_tickers_of_a_feed_of_the_top_cost_no_other(flow: Flow, server: ScriptedMcp, begin: Begin) -> None:
    answers(server, [None, "bitcoin"], [row("bitcoin")])
    begin(top=2)
    flow.until(lambda: flow.account("table").written == 1)
    assert flow.status(SOURCE).counters["notes"] == 1


def test_a_feed_of_the_top_whose_tickers_are_all_odd_says_so(flow: Flow, server: ScriptedMcp, begin: Begin) -> None:
    answers(server, [None, 7])
    begin(top=2)
    flow.until(lambda: flow.reason(SOURCE) is not None)
    assert str(flow.reason(SOURCE)).startswith("changed_shape: get_available_tickers of ")
    assert [one for one in flow.store("table").rows if isinstance(one, CryptoPriceData)] == []
