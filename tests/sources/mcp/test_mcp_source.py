"""Another platform as a source: what it answers and fails with comes as it is there, and its absence is an outage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from attrs import evolve

from dataplatform import (
    MarketDataReader,
    create_mcp_market_data_reader,
    create_mcp_market_data_writer,
)
from dataplatform.base.mcp import McpSettings, ToolAnswer
from dataplatform.base.mcp.tool_errors import ERROR, as_meta, told_failure
from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.operations.remote import data_of, notes_of
from dataplatform.dsl.records.schema import to_json
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Success, get_data, is_failure
from tests.dsl.records import price
from tests.sources.mcp.conftest import PATIENCE, Far
from tests.support.mcp_platforms import Offering, as_program

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def reader(far: Far) -> Iterator[MarketDataReader]:
    with create_mcp_market_data_reader("reader", far.settings, source="coingecko") as reader:
        yield reader


def error_of(proxy: ReaderProxy | WriterProxy, request: Any) -> PlatformError:
    answer = proxy.ask(request, PATIENCE)
    assert isinstance(answer, Failure), answer
    return answer.error


def wait_for_answer(proxy: ReaderProxy, request: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while is_failure(answer := proxy.ask(request, PATIENCE)):
        assert isinstance(answer.error, Transient)
        assert time.monotonic() < deadline, answer.error
    return answer.data


def answer_of(result: Any) -> ToolAnswer:
    return ToolAnswer("", {"source": "far", "result": result}, "dataplatform", "9.9", NOON, "get_current_prices")


# Failures


def test_what_the_other_platform_does_not_know_is_answered_in_its_words(far: Far, reader: MarketDataReader) -> None:
    theirs = error_of(far.platform["coingecko"], ops.GetCurrentPrices(["bitcoinn"]))

    ours = error_of(reader, ops.GetCurrentPrices(["bitcoinn"]))

    assert (type(ours), ours.code, ours.message) == (Permanent, "not_found", theirs.message)
    assert ours.remedy.startswith("did you mean 'bitcoin'")


def test_an_outage_there_is_answered_with_its_pause_and_does_not_stop_other_questions(
    far: Far, reader: MarketDataReader
) -> None:
    get_data(reader.ask(ops.GetCurrentPrice("bitcoin"), PATIENCE))
    far.inject(kind="rate_limited", path="/coins/markets", times=1, retry_after=1)

    error = error_of(reader, ops.GetCurrentPrice("bitcoin"))

    assert isinstance(error, Transient)
    assert (error.code, error.retry_after) == ("rate_limited", 1.0)
    with create_mcp_market_data_reader("other", far.settings, source="history") as other:  # another source of theirs
        assert isinstance(other.ask(ops.GetAvailableTickers(1), PATIENCE), Success)
    assert wait_for_answer(reader, ops.GetAvailableTickers(1)) == ["bitcoin"]  # the pause is over for every question


@pytest.mark.parametrize(
    "error",
    [
        Permanent("not_found", "coin 'bitcoinn' is unknown", remedy="see get_available_tickers"),
        Permanent("unsupported", "a topic has no tickers"),
        Transient("rate_limited", "CoinGecko answered 429", remedy="ask less often", retry_after=30.0),
        Transient("timeout", "history gave no answer in 30 s"),
        Transient("busy", "1000 calls wait", retry_after=0.0),
    ],
    ids=str,
)
def test_a_failure_survives_the_trip(error: PlatformError) -> None:
    assert told_failure(as_meta(error)) == error


def test_of_a_failure_that_a_server_tells_nothing_harmful_is_taken_over() -> None:
    told = Transient("busy", "for a key-1234567890\x1b[2J\n" + "x" * 5_000, retry_after=1e9)

    error = told_failure(as_meta(told), ["key-1234567890"])

    assert isinstance(error, Transient)
    assert error.message.startswith("for a *** [2J xxx")
    assert len(error.message) <= 1_500
    assert error.retry_after == 3600.0


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        {ERROR: "busy"},
        {ERROR: {"code": "busy"}},
        {ERROR: {"code": "Two words", "message": "", "transient": True}},
        {ERROR: {"code": "busy", "message": "", "transient": True, "retryAfter": "soon"}},
    ],
)
def test_what_is_no_failure_of_a_platform_is_not_taken_for_one(meta: Any) -> None:
    assert told_failure(meta) is None


def test_a_source_that_the_other_platform_lacks_is_refused_by_name(far: Far) -> None:
    with create_mcp_market_data_reader("reader", far.settings, source="kraken") as reader:
        error = error_of(reader, ops.GetMarketAnalytics())
    assert (type(error), error.code) == (Permanent, "bad_argument")
    assert "kraken" in error.message
    assert error.message.startswith("source: ")


def test_what_the_token_gives_no_right_to_is_unsupported_and_says_why(far: Far) -> None:
    headers = {"Authorization": f"Bearer {far.other_token}"}
    with create_mcp_market_data_writer("writer", evolve(far.settings, headers=headers)) as writer:
        error = error_of(writer, ops.PublishPrice(price()))
    assert (type(error), error.code) == (Permanent, "unsupported")
    assert "allow_writes" in error.remedy
    assert "token" in error.remedy


def test_with_a_wrong_token_nothing_is_answered(far: Far) -> None:
    headers = {"Authorization": "Bearer none-of-theirs"}
    with create_mcp_market_data_reader("reader", evolve(far.settings, headers=headers)) as reader:
        error = error_of(reader, ops.GetMarketAnalytics())
    assert (type(error), error.code) == (Permanent, "unauthorized")
    assert "none-of-theirs" not in str(error)


def test_a_server_that_is_no_platform_supports_nothing(far: Far) -> None:
    with create_mcp_market_data_reader("reader", McpSettings(url=f"{far.simulator}/mcp/static/mcp")) as reader:
        error = error_of(reader, ops.GetMarketAnalytics())
    assert (type(error), error.code) == (Permanent, "unsupported")
    assert "get_market_analytics" in error.message


# Answers


def test_records_keep_the_labels_that_they_have_there(far: Far, reader: MarketDataReader) -> None:
    theirs = wait_for_answer(far.platform["coingecko"], ops.GetCurrentPrice("bitcoin"))

    ours = wait_for_answer(reader, ops.GetCurrentPrice("bitcoin"))

    assert (ours.source, ours.attribution) == (theirs.source, theirs.attribution) == ("simulator", theirs.attribution)


def test_a_long_history_comes_whole_and_not_thinned_as_a_model_gets_it(far: Far, reader: MarketDataReader) -> None:
    theirs = wait_for_answer(far.platform["coingecko"], ops.GetPriceHistory("bitcoin", 90))

    ours = wait_for_answer(reader, ops.GetPriceHistory("bitcoin", 90))

    assert len(ours) > 2_000
    assert abs(len(ours) - len(theirs)) <= 1  # an hour may have begun between the two
    assert len({price.last_updated for price in ours} & {price.last_updated for price in theirs}) >= len(ours) - 1


def test_all_tickers_come_whole(far: Far, reader: MarketDataReader) -> None:
    theirs = wait_for_answer(far.platform["coingecko"], ops.GetAvailableTickers())

    assert wait_for_answer(reader, ops.GetAvailableTickers()) == theirs


def test_a_newer_platform_may_say_more_of_a_record() -> None:
    assert data_of(answer_of([{**to_json(price()), "mood": "greedy"}])) == [price()]


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        [{"coinId": "bitcoin"}],
        [{**to_json(price()), "usdPrice": "a lot"}],
        [{**to_json(price()), "usdPrice": -1.0}],
        [{**to_json(price()), "lastUpdated": "2026-01-01T12:00:00"}],
    ],
)
def test_an_answer_that_is_not_of_the_operation_s_type_is_refused(result: Any) -> None:
    with pytest.raises(Permanent) as refused:
        data_of(answer_of(result))
    assert refused.value.code == "changed_shape"
    assert "get_current_prices of dataplatform 9.9" in refused.value.message


# Outages of the server itself


def test_a_platform_that_stops_is_an_outage_and_answers_again_when_it_is_back(
    far: Far, reader: MarketDataReader
) -> None:
    wait_for_answer(reader, ops.GetMarketAnalytics())
    far.platform.stop()
    try:
        error = error_of(reader, ops.GetMarketAnalytics())
        assert isinstance(error, Transient)
        assert error.code in {"lost", "unreachable"}
    finally:
        far.start()
    assert wait_for_answer(reader, ops.GetMarketAnalytics()).source == "simulator"


@pytest.mark.long
def test_a_program_that_was_killed_is_started_again_by_the_questions_that_follow(far: Far, tmp_path: Path) -> None:
    dsn = far.platform.connections["timescale"].settings.dsn
    settings = as_program(Offering(f"{far.simulator}/api/v3", dsn), tmp_path)
    with create_mcp_market_data_reader("reader", settings) as reader:
        get_data(reader.ask(ops.GetMarketAnalytics(), PATIENCE))
        first = programs(tmp_path)
        for program in first:
            program.kill()
        assert wait_for_answer(reader, ops.GetMarketAnalytics()).source == "simulator"
        assert len(first) == 1
        assert programs(tmp_path) != first


def programs(folder: Path) -> list[psutil.Process]:
    """Return the programs, each below its guard, that were started with something in the folder."""
    started = [one for guard in psutil.Process().children() for one in guard.children()]
    return [one for one in started if str(folder) in " ".join(one.cmdline())]


@pytest.mark.parametrize(
    ("structured", "notes"),
    [
        ({"result": [], "notes": ["one", "two"]}, ("one", "two")),
        ({"result": []}, ()),
        ({"notes": "one"}, ()),
        ({"notes": [1, "two"]}, ("two",)),
        (None, ()),
        ([], ()),
    ],
)
def test_the_notes_of_the_other_platform_are_read(structured: Any, notes: tuple[str, ...]) -> None:
    assert notes_of(ToolAnswer("", structured, "dataplatform", "9.9", NOON, "get_current_prices")) == notes
