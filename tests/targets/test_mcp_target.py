"""The MCP target: which calls it makes of records, within the limits of the other server, and how it reads answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from dataplatform.base.agent import Context
from dataplatform.base.mcp import ToolAnswer
from dataplatform.dsl.flow import Rejection
from dataplatform.dsl.operations.operations import PublishBatch
from dataplatform.dsl.records.kinds import DEAD_LETTERS, KINDS, PRICES, Kind
from dataplatform.dsl.records.queries import BatchPublishResult, Refused
from dataplatform.dsl.records.schema import Wire, to_json
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Permanent, Transient
from dataplatform.targets.mcp import McpTarget, McpTargetOptions
from tests.dsl.records import letter, prices, record
from tests.support.agents import Parent, Stage

Make = Callable[..., McpTarget]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COINS = [f"coin-{number}" for number in range(7)]

by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture
def make(stage: Stage) -> Make:
    """Return a target that is not started: its hooks are functions."""

    def target(**options: Any) -> McpTarget:
        return McpTarget(Context("there", stage.runtime, Parent()), McpTargetOptions(client="far", **options), "far")

    return target


def answer(result: Any) -> ToolAnswer:
    return ToolAnswer("", {"target": "database", "result": result}, "dataplatform", "1.0", NOON, "publish_batch")


def arguments(target: McpTarget, kind: Kind, records: list[Record]) -> dict[str, Any]:
    (call,) = target._request(kind, records).calls
    assert call.name == "publish_batch"
    assert call.arguments["all"] is True
    return {name: value for name, value in call.arguments.items() if name != "all"}


@by_kind
def test_records_of_every_kind_are_read_by_the_other_platform_as_they_were(make: Make, kind: Kind) -> None:
    records = [record(kind), record(kind, **{kind.message_key: "other"})]

    assert Wire(most_items=10).read(PublishBatch, arguments(make(), kind, records)) == PublishBatch(records)


def test_the_target_of_the_other_platform_is_named_where_it_is_known(make: Make) -> None:
    assert "target" not in arguments(make(), PRICES, prices("a"))
    assert arguments(make(target="database"), PRICES, prices("a"))["target"] == "database"


@pytest.mark.parametrize(("most", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (500, [7])])
def test_a_call_holds_no_more_records_than_allowed_and_all_of_them_in_order(
    make: Make, most: int, sizes: list[int]
) -> None:
    given = prices(*COINS)

    portions = make(max_items=most)._portions(PRICES, given)

    assert [len(portion) for portion in portions] == sizes
    assert [one for portion in portions for one in portion] == given


def test_a_call_is_no_larger_than_allowed(make: Make) -> None:
    limit, given = 10_000, prices(*(f"coin-{number}" for number in range(100)))
    target = make(max_body=limit)

    portions = target._portions(PRICES, given)

    sizes = [len(msgspec.json.encode(arguments(target, PRICES, portion))) for portion in portions]
    assert [one for portion in portions for one in portion] == given
    assert max(sizes) <= limit
    assert len(portions) < 100


def test_a_record_that_is_too_large_by_itself_stands_alone(make: Make) -> None:
    given: list[Record] = [letter("a"), letter("b", raw=b"x" * 20_000), letter("c")]

    portions = make(max_body=10_000)._portions(DEAD_LETTERS, given)

    assert portions == [given[:1], given[1:2], given[2:]]


def test_no_records_are_one_call_of_none(make: Make) -> None:
    assert make()._portions(PRICES, []) == [[]]


def test_what_the_other_platform_refused_is_rejected_by_its_index(make: Make) -> None:
    error = Permanent("rejected", "no row can hold that", remedy="leave it out")
    result = BatchPublishResult("database", 4, (Refused(3, error),))
    assert make()._rejections(answer(to_json(result))) == [Rejection(3, error)]
    assert make()._rejections(answer(to_json(BatchPublishResult("database", 5)))) == []


def test_an_answer_that_acknowledges_nothing_is_no_acknowledgement(make: Make) -> None:
    with pytest.raises(Permanent) as refused:
        make()._rejections(answer({"stored": True}))
    assert refused.value.code == "changed_shape"


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (Permanent("rejected", "no row can hold that"), True),
        (Permanent("too_large", "413"), True),
        (Permanent("bad_argument", "no target of that name"), False),
        (Permanent("unauthorized", "401"), False),
        (Transient("timeout", "no answer"), False),
    ],
    ids=str,
)
def test_records_are_blamed_for_what_is_their_fault_alone(make: Make, error: Any, about: bool) -> None:  # noqa: FBT001
    assert make()._is_about_records(error) is about


@pytest.mark.parametrize("options", [{"max_items": 0}, {"max_items": 10_001}, {"max_body": 100}, {"credit": 0}])
def test_limits_that_no_call_could_keep_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        McpTargetOptions(client="far", **options)
