"""Requests and answers on the control socket: of the same types on both sides, and nothing else taken."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, cast, get_args

import jsonschema
import pytest

from dataplatform.base.agent import GetStatus, Request
from dataplatform.base.database import Query, Rows
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES
from dataplatform.dsl.records.queries import (
    BatchPublishResult,
    CurrentPricesOptions,
    DateRangeOHLCVQuery,
    Level1Query,
    OHLCVSeries,
    Refused,
)
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.services.gateway import wire
from dataplatform.services.gateway.operations import RIGHTS, Asked, operation_named, operation_of, operations
from dataplatform.services.gateway.requests import (
    DrainPlatform,
    GetPlatformInfo,
    GetPlatformStatus,
    RestartAgent,
    RunQuery,
    SkipPartition,
    TailTopic,
)
from dataplatform.services.gateway.status import GetDeadLetters, GetLag, ListSources
from dataplatform.services.gateway.wire import answer_to, error_answer, read_answer
from dataplatform.system.cli.main import COMMANDS
from dataplatform.system.console.prompt import Helpers
from tests.dsl.records import record

DAY = datetime(2026, 1, 1, tzinfo=UTC)
PRICE, CANDLE, QUOTE, MARKET = (cast("Any", record(kind)) for kind in (PRICES, OHLCV, LEVEL1, ANALYTICS))
REQUESTS: list[Request[Any]] = [
    ops.GetCurrentPrice("bitcoin", "eur"),
    ops.GetCurrentPrices(["bitcoin"], CurrentPricesOptions(("usd", "btc"))),
    ops.GetCurrentOHLCV("bitcoin"),
    ops.GetLatestOHLCV(["bitcoin"], "4h"),
    ops.GetPriceHistory("bitcoin", 7),
    ops.GetOHLCVByDateRange(DateRangeOHLCVQuery("bitcoin", DAY, DAY, "1d")),
    ops.GetAvailableTickers(5),
    ops.GetLevel1Data(Level1Query("bitcoin")),
    ops.GetMarketAnalytics(),
    ops.PublishPrice(PRICE),
    ops.PublishPrices([PRICE]),
    ops.PublishOHLCV(CANDLE),
    ops.PublishOHLCVBatch([CANDLE]),
    ops.PublishLevel1(QUOTE),
    ops.PublishLevel1Batch([QUOTE]),
    ops.PublishAnalytics(MARKET),
    ops.PublishBatch([PRICE, CANDLE, QUOTE, MARKET]),
    ops.Flush(),
    Pause(),
    Resume(),
    GetStatus(),
    SkipPartition("crypto-prices", 2),
    TailTopic("crypto-prices", 5),
    RunQuery("select 1"),
    RunQuery("select 1", "timescale", 5),
    GetPlatformInfo(),
    GetPlatformStatus(),
    RestartAgent("coingecko"),
    DrainPlatform(),
    ListSources(),
    GetLag(),
    GetDeadLetters(),
]


def sent(request: Request[Any], agent: str = "coingecko", timeout: float = 10.0) -> Asked:
    """Return what arrives of a request."""
    operation = operation_of(request)
    asked = Asked("" if operation.whom == "platform" else agent, request, timeout)
    text = json.dumps(operation.arguments(asked), allow_nan=False)
    jsonschema.validate(json.loads(text), operation.schema())
    return operation.read(json.loads(text))


def answered(request: Request[Any], result: Result[Any]) -> Result[Any]:
    """Return what arrives of an answer."""
    body = answer_to(result).body
    json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    return read_answer(request, body)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_arrives_as_it_was_sent(request_: Request[Any]) -> None:
    agent = "" if operation_of(request_).whom == "platform" else "coingecko"
    assert sent(request_) == Asked(agent, request_, 10.0)


def test_every_operation_is_there_by_the_name_that_it_has_everywhere() -> None:
    messages = {*get_args(ops.ReadingOperation), *get_args(ops.WritingOperation)}
    assert messages <= {one.message for one in operations().values()} == {type(request) for request in REQUESTS}
    for name, operation in operations().items():
        assert (operation.name, operation_named(name)) == (name, operation)
        assert operation.summary, name
        assert operation.right in RIGHTS
        assert operation.right == {"source": "read", "target": "write"}.get(operation.whom, "operate") or (
            name in {"pause", "resume", "list_sources"}
        )
        assert "timeout" in operation.schema()["properties"]


def test_commands_and_prompt_call_the_operators_operations_by_their_names() -> None:
    looks = {"get_status", "info", "lag", "dead_letters"}
    operators = {name for name, one in operations().items() if one.right == "operate"} - looks
    prompt = set(Helpers(cast("Any", None)).namespace()) - {"help"}
    commands = set(COMMANDS) & {*operators, "sql"}
    assert prompt == operators - {"drain"}  # at the platform's own prompt one leaves
    assert commands == operators - {"sql"}  # a terminal has psql


def test_who_asks_in_python_names_the_same_arguments() -> None:
    assert operations()["pause"].asked(5.0, source="coingecko") == Asked("coingecko", Pause(), 5.0)
    assert operations()["restart"].asked(5.0, agent="coingecko") == Asked("", RestartAgent("coingecko"), 5.0)
    assert operations()["tail"].asked(5.0, topic="t", most=3) == Asked("", TailTopic("t", 3), 5.0)


ANSWERS: list[tuple[Request[Any], Any]] = [
    (ops.GetCurrentPrices(["bitcoin"]), [PRICE, record(PRICES, coin_id="ethereum")]),
    (ops.GetOHLCVByDateRange(DateRangeOHLCVQuery("bitcoin", DAY, DAY, "1d")), OHLCVSeries([CANDLE])),
    (ops.GetAvailableTickers(), ["bitcoin"]),
    (ops.PublishPrices([]), BatchPublishResult("database", 1, (Refused(0, Permanent("rejected", "no", remedy="x")),))),
    (ops.Flush(), None),
    (RunQuery("select 1"), Rows(("n", "at", "raw"), [(1.5, DAY, b"\x00")])),
]


@pytest.mark.parametrize(("request_", "data"), ANSWERS, ids=lambda value: type(value).__name__)
def test_an_answer_is_of_the_type_that_the_request_promises(request_: Request[Any], data: Any) -> None:
    assert answered(request_, Success(data)) == Success(data)


@pytest.mark.parametrize(
    "error",
    [Permanent("not_found", "no such coin", remedy="see tickers"), Transient("rate_limited", "429", retry_after=30.0)],
)
def test_an_error_arrives_whole(error: PlatformError) -> None:
    assert answered(ops.Flush(), Failure(error)) == Failure(error)


def test_values_of_a_query_that_have_no_form_of_their_own_come_as_text() -> None:
    answer = answered(RunQuery("select 1"), Success(Rows(("range",), [(range(2),)])))
    assert answer == Success(Rows(("range",), [("range(0, 2)",)]))


def test_an_answer_that_is_too_large_becomes_a_failure_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_BYTES", 1_000)
    answer = answered(ops.GetAvailableTickers(), Success(["bitcoin"] * 1_000))
    assert isinstance(answer, Failure)
    assert (answer.error.code, answer.error.remedy) == ("too_large", "ask for less of it")


def test_numbers_that_json_lacks_and_naive_times_come_as_they_are() -> None:
    row = (math.inf, -math.inf, datetime(2026, 1, 1, 12), None, True, 2**60)  # noqa: DTZ001  a TIMESTAMP has no zone
    rows = Rows(("a", "b", "c", "d", "e", "f"), [row])
    assert answered(RunQuery("select 1"), Success(rows)) == Success(rows)
    nan = answered(RunQuery("select 1"), Success(Rows(("a",), [(math.nan,)])))
    assert isinstance(nan, Success)
    assert math.isnan(nan.data.rows[0][0])


def test_text_that_unicode_lacks_is_replaced_and_the_rest_arrives() -> None:
    answer = answered(RunQuery("select 1"), Success(Rows(("a",), [("half a \ud800 pair",)])))
    assert answer == Success(Rows(("a",), [("half a ? pair",)]))


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("flush", {"target": "a", "timeout": 0.0}, "timeout"),
        ("flush", {"target": "a", "timeout": 1e9}, "timeout"),
        ("flush", {"target": "a", "timeout": "soon"}, "timeout"),
        ("flush", {}, "target"),
        ("flush", [], "array"),
        ("flush", None, "null"),
        ("get_price_history", {"source": "a", "coinId": 7, "days": 1}, "coinId"),
        ("get_price_history", {"source": "a", "coin_id": "x", "days": 1}, "coin_id"),
        ("tail", {"topic": "t", "most": 10**9}, "most"),
        ("publish_batch", {"target": "a", "records": [{"kind": "tulips"}]}, "tulips"),
        ("publish_price", {"target": "a", "price": {"coinId": "x"}}, "symbol"),
    ],
)
def test_what_is_no_request_is_refused_and_said_why(name: str, arguments: Any, said: str) -> None:
    with pytest.raises(Permanent) as caught:
        operations()[name].read(arguments)
    assert caught.value.code == "bad_argument"
    assert said in str(caught.value)


def test_an_unknown_operation_is_refused_with_a_suggestion() -> None:
    with pytest.raises(Permanent, match="did you mean 'pause'"):
        operation_named("pauze")
    with pytest.raises(Permanent, match="no operation is called"):
        operation_named("Query" * 1_000)


def test_a_request_of_another_kind_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="Query is no operation"):
        operation_of(Query("select 1"))


def test_an_agent_is_not_asked_what_the_platform_is() -> None:
    with pytest.raises(Permanent, match="coingecko does not take GetPlatformInfo"):
        operations()["info"].arguments(Asked("coingecko", GetPlatformInfo(), 1.0))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Permanent("not_found", "no such coin"), 404),
        (Permanent("rejected", "no"), 422),
        (Permanent("bug", "it failed over this"), 500),
        (Transient("unreachable", "no broker answers"), 503),
        (Transient("rate_limited", "429", retry_after=30.0), 429),
    ],
)
def test_an_error_has_the_status_that_http_has_for_it(error: PlatformError, status: int) -> None:
    answer = error_answer(error)
    told = json.loads(answer.body)["error"]
    assert (answer.status, told["code"], told["message"]) == (status, error.code, error.message)
    assert told.get("retryAfter") == answer.retry_after == getattr(error, "retry_after", None)


def test_the_notes_of_an_answer_arrive_with_it() -> None:
    request = ops.GetAvailableTickers()
    arrived = answered(request, Success(["bitcoin"], ("a row was left out",)))
    assert arrived == Success(["bitcoin"])
    assert isinstance(arrived, Success)
    assert arrived.notes == ("a row was left out",)


def test_a_body_of_very_many_values_is_refused_before_it_is_decoded() -> None:
    """16 MiB of `{},` became 454 MiB of objects."""
    with pytest.raises(Permanent, match="more than 1,000,000 values") as refused:
        wire.read_body(b"[" + b"{}," * wire.MOST_PARTS + b"{}]")
    assert refused.value.code == "too_large"
    assert len(wire.read_body(b"[" + b"{}," * 1_000 + b"{}]")) == 1_001
