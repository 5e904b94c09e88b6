"""Values as JSON: each comes back as what it was, over plain JSON text, and every encoding says the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, get_args

import attrs
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplatform.base.agent import AgentStatus, Degraded, State
from dataplatform.base.database import Rows
from dataplatform.base.streaming import TopicMessage
from dataplatform.dsl.flow import RouteAccount
from dataplatform.dsl.operations.operations import PublishBatch, ReadingOperation, WritingOperation, result_of
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import KINDS, Kind
from dataplatform.dsl.records.queries import BatchPublishResult, Gap, OHLCVSeries, Refused
from dataplatform.dsl.records.schema import camel_case, from_json, json_schema, to_json
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.services.gateway.requests import PlatformInfo, PlatformRequest, TailTopic
from dataplatform.services.service import Books, LatestPrice, Phase, PlatformStatus
from tests.dsl.records import ANY, NOON, letter, price, record

quick = settings(deadline=None, max_examples=25)
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
AGENT = AgentStatus(
    name="coingecko",
    kind="CoinGeckoSource",
    state=State.RUNNING,
    since=NOON,
    restarts=1,
    handled=7,
    busy_s=0.5,
    waiting=0,
    degraded=Degraded("an outage", NOON),
    last_error=None,
    counters={"read": 5},
)
CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["$time", "$bytes", "$float", "$map"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def over_text(hint: Any, value: Any) -> Any:
    """Return what becomes of a value that goes to another process as text."""
    return from_json(hint, json.loads(json.dumps(to_json(value), allow_nan=False)))


# Records


@by_kind
@given(data=st.data())
@quick
def test_the_fast_path_of_topics_writes_and_reads_what_the_schema_layer_does(kind: Kind, data: st.DataObject) -> None:
    one = data.draw(ANY[kind])
    written = json.loads(codec(kind).encode([one])[0])
    assert written == to_json(one) | {"schemaVersion": kind.version}
    assert codec(kind).decode_all([json.dumps(to_json(one)).encode()]) == ([one], [])
    assert from_json(kind.type, written) == one


@by_kind
def test_what_is_written_fits_the_schema_of_its_type(kind: Kind) -> None:
    jsonschema.validate(to_json(record(kind)), json_schema(kind.type), jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({}, json_schema(kind.type), jsonschema.Draft202012Validator)


@given(data=st.data())
@quick
def test_records_of_several_kinds_come_back_as_what_they_were(data: st.DataObject) -> None:
    batch = PublishBatch([data.draw(ANY[kind]) for kind in KINDS])
    assert over_text(PublishBatch, batch) == batch
    assert [one["kind"] for one in to_json(batch)["records"]] == [kind.name for kind in KINDS]


@by_kind
def test_a_naive_time_is_refused_with_its_place(kind: Kind) -> None:
    written = to_json(record(kind)) | {camel_case(kind.time): "2026-01-01T12:00:00"}
    with pytest.raises(Permanent, match=camel_case(kind.time)):
        from_json(kind.type, written)


# What else is said


@pytest.mark.parametrize(
    "value",
    [
        AGENT,
        PlatformInfo(7, "/data", True, ("a", "b"), ("a",), ("b",), ()),
        TopicMessage("prices", 0, 7, NOON, None, "{}"),
        TopicMessage("prices", 0, 7, -1, "bitcoin", None),
        TailTopic("prices", 3),
        BatchPublishResult("database", 1, (Refused(0, Permanent("rejected", "no", remedy="yes")),)),
        OHLCVSeries([], (Gap(NOON, NOON, 2),)),
        LatestPrice("bitcoin", 7e4, None, NOON, "test"),
        price(),
        letter(raw=b"\xff\x00"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_what_it_was(value: Any) -> None:
    assert over_text(type(value), value) == value


def test_the_status_of_a_platform_comes_back() -> None:
    books = Books({"crypto_prices": 5}, {}, [LatestPrice("bitcoin", 7e4, 1.5, NOON, "test")])
    route = RouteAccount("coingecko", "database", read=5, written=5)
    status = PlatformStatus(Phase.RUNNING, 1.5, [AGENT], [route], books, [], {"postgres": "localhost:5432"})
    assert attrs.astuple(over_text(PlatformStatus, status)) == attrs.astuple(status)


@pytest.mark.parametrize(
    "error",
    [
        Permanent("not_found", "no coin", remedy="ask for another"),
        Transient("busy", "later", retry_after=2.5),
        Transient("unreachable", "nobody there"),
    ],
    ids=str,
)
def test_an_error_comes_back_with_when_to_try_again(error: PlatformError) -> None:
    assert over_text(PlatformError, error) == error


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=3))
@quick
def test_the_values_of_rows_come_back_with_their_types(rows: Sequence[tuple[Any, Any]]) -> None:
    back = over_text(Rows, Rows(("one", "other"), [*rows]))
    assert back.rows == rows
    assert [list(map(type, row)) for row in back.rows] == [list(map(type, row)) for row in rows]


def test_a_value_that_json_lacks_and_nobody_declared_comes_as_text_or_says_what_it_is() -> None:
    row = (float("nan"), float("-inf"), datetime(2026, 1, 1, tzinfo=UTC).date())
    ((nan, infinite, day),) = over_text(Rows, Rows(("a", "b", "c"), [row])).rows
    assert (nan != nan, infinite, day) == (True, float("-inf"), "2026-01-01")  # noqa: PLR0124  only NaN is not itself


@pytest.mark.parametrize("cell", [{"$time": "noon"}, {"$bytes": "%"}, {"$float": []}, {"$map": 1}, {"$time": None}])
def test_a_value_that_is_not_what_it_says_is_refused(cell: Any) -> None:
    with pytest.raises(Permanent, match=r"\$"):
        from_json(Rows, {"columns": ["a"], "rows": [[cell]]})


EVERY = [*get_args(ReadingOperation), *get_args(WritingOperation), *get_args(PlatformRequest)]


@pytest.mark.parametrize("message", EVERY, ids=lambda message: message.__name__)
def test_every_request_and_every_answer_has_a_schema(message: type[Any]) -> None:
    for hint in (message, result_of(message)):
        jsonschema.Draft202012Validator.check_schema(json_schema(hint))
