"""Requests and answers on the control socket: of the same types on both sides, and nothing else taken."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any, cast, get_args

import msgspec
import pytest

from dataplatform.base.agent import GetStatus, Request
from dataplatform.base.database import Query, Rows
from dataplatform.dsl import operations as ops
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES
from dataplatform.dsl.queries import (
    BatchPublishResult,
    CurrentPricesOptions,
    DateRangeOHLCVQuery,
    Level1Query,
    OHLCVSeries,
    Refused,
)
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Success
from dataplatform.services.gateway.control import RunQuery, SkipPartition, TailTopic
from dataplatform.system.control import wire
from dataplatform.system.control.wire import (
    LENGTH,
    MOST_BYTES,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    read_frame,
    write_frame,
)
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
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_arrives_as_it_was_sent(request_: Request[Any]) -> None:
    asked = decode_request(encode_request("coingecko", request_, 10.0))
    assert (asked.agent, asked.request, asked.timeout) == ("coingecko", request_, 10.0)


def test_every_operation_of_the_language_can_be_sent() -> None:
    operations = {*get_args(ops.ReadingOperation), *get_args(ops.WritingOperation)}
    assert operations <= {type(request) for request in REQUESTS}


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
    assert decode_answer(request_, encode_answer(Success(data))) == Success(data)


@pytest.mark.parametrize(
    "error",
    [Permanent("not_found", "no such coin", remedy="see tickers"), Transient("rate_limited", "429", retry_after=30.0)],
)
def test_an_error_arrives_whole(error: PlatformError) -> None:
    assert decode_answer(ops.Flush(), encode_answer(Failure(error))) == Failure(error)


def test_values_of_a_query_that_have_no_form_of_their_own_come_as_text() -> None:
    answer = decode_answer(RunQuery("select 1"), encode_answer(Success(Rows(("range",), [(range(2),)]))))
    assert answer == Success(Rows(("range",), [("range(0, 2)",)]))


def test_an_answer_that_is_too_large_becomes_a_failure_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_BYTES", 1_000)
    answer = decode_answer(ops.GetAvailableTickers(), encode_answer(Success(["bitcoin"] * 1_000)))
    assert isinstance(answer, Failure)
    assert (answer.error.code, answer.error.remedy) == ("too_large", "ask for less of it")


def frame(**changes: Any) -> bytes:
    whole = {"version": 1, "agent": "a", "operation": "Flush", "arguments": {}, "timeout": 1.0, **changes}
    return msgspec.msgpack.encode(whole)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (frame(version=2), "other_version", "same release"),
        (frame(operation="Query"), "bad_request", "no request 'Query'"),
        (frame(operation="Drain"), "bad_request", "no request 'Drain'"),
        (frame(timeout=0.0), "bad_request", "timeout"),
        (frame(timeout=1e9), "bad_request", "timeout"),
        (frame(timeout=float("nan")), "bad_request", "timeout"),
        (frame(operation="GetPriceHistory", arguments={"coin_id": 7}), "bad_request", "coin_id"),
        (frame(operation="TailTopic", arguments={"topic": "t", "most": 10**9}), "bad_request", "most"),
        (frame(operation="PublishBatch", arguments=[["tulips", {}]]), "bad_request", "tulips"),
        (frame(operation="PublishPrice", arguments={"price": {"coin_id": "x"}}), "bad_request", "symbol"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad_request", "not readable"),
        (b"", "bad_request", "not readable"),
        (b"\x91" * 5_000, "bad_request", "not readable"),
    ],
)
def test_what_is_no_request_is_refused_and_said_why(content: bytes, code: str, said: str) -> None:
    with pytest.raises(Permanent) as caught:
        decode_request(content)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_a_request_of_another_kind_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="Query is no request"):
        encode_request("timescale.1", Query("select 1"), 1.0)


def test_frames_go_through_a_socket_one_after_the_other_until_it_closes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        write_frame(ours, b"one")
        write_frame(ours, b"")
        ours.close()
        assert [read_frame(theirs), read_frame(theirs), read_frame(theirs)] == [b"one", b"", None]


def test_a_frame_that_says_it_is_larger_than_anything_taken_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(LENGTH.pack(MOST_BYTES + 1))
        with pytest.raises(Permanent, match="too_large"):
            read_frame(theirs)


def test_the_notes_of_an_answer_arrive_with_it() -> None:
    request = ops.GetAvailableTickers()
    arrived = decode_answer(request, encode_answer(Success(["bitcoin"], ("a row was left out",))))
    assert arrived == Success(["bitcoin"])
    assert isinstance(arrived, Success)
    assert arrived.notes == ("a row was left out",)
