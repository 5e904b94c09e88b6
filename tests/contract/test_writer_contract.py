"""What every target promises, whoever wrote it: found in the registry, it is put through this suite."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

import pytest
from attrs import fields, has
from attrs.exceptions import FrozenInstanceError

from dataplatform.base.agent import AgentStatus, Context, Ready, Request
from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.operations.operations import WritingOperation
from dataplatform.dsl.operations.parts import TargetOptions
from dataplatform.dsl.operations.registry import technology
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import KINDS
from dataplatform.dsl.records.queries import BatchPublishResult
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success
from tests.contract.registry import WRITERS, WRITING, name_of
from tests.dsl.doubles import Double
from tests.dsl.records import price, record
from tests.support.agents import DEADLINE, Stage

OUTAGE = Transient("outage", "the other side does not answer", retry_after=3.0)
REJECTED = Permanent("rejected", "no row can hold that")

by_writer = pytest.mark.parametrize("cls", WRITERS.values(), ids=WRITERS.keys())
by_operation = pytest.mark.parametrize("message", WRITING, ids=name_of)
Ask = Callable[..., Result[Any]]


@pytest.fixture
def ask(stage: Stage) -> Ask:
    """Start a target whose client answers everything with one error, and put one request to it."""

    def start_and_ask(cls: type[BaseWriter], request: Request[Any], error: PlatformError = OUTAGE) -> Result[Any]:
        stage.start(Double, lambda _: Failure(error), name="client")
        stage.start(cls, cls.Options(client="client"), "client", name="target")
        stage.parent.expect(Ready)
        stage.parent.expect(Ready)
        return stage.runtime.directory.address("target").ask(request, DEADLINE)

    return start_and_ask


def status(stage: Stage) -> AgentStatus:
    found = stage.runtime.directory.status("target")
    assert found is not None
    return found


def test_there_are_targets_to_look_at() -> None:
    assert {"redpanda", "timescale"} <= set(WRITERS)


@by_writer
def test_a_target_is_a_writer_of_a_named_technology_and_a_known_kind_of_client(cls: type[BaseWriter]) -> None:
    assert issubclass(cls, BaseWriter)
    assert cls.kind == "target"
    assert cls.technology != BaseWriter.technology
    assert all(technology(kind) for kind in cls.client_kinds())
    assert inspect.getdoc(cls) != inspect.getdoc(BaseWriter)


@by_writer
def test_its_options_are_a_frozen_class_that_explains_every_field(cls: type[BaseWriter]) -> None:
    assert has(cls.Options)
    assert issubclass(cls.Options, TargetOptions)
    options = cls.Options(client="client")
    with pytest.raises(FrozenInstanceError):
        options.credit = 7  # type: ignore[misc]
    for option in fields(cls.Options):
        assert option.metadata.get("help") or option.name in (cls.Options.__doc__ or ""), option.name
    with pytest.raises(TypeError):
        cls.Options(client="client", no_such_option=1)  # type: ignore[call-arg]


@by_writer
def test_it_writes_hooks_and_no_operation(cls: type[BaseWriter]) -> None:
    operations = {name_of(message) for message in get_args(WritingOperation)} | {"receive"}
    below = [base for base in cls.__mro__ if issubclass(base, BaseWriter) and base is not BaseWriter]
    assert [(base.__name__, name) for base in below for name in operations & set(vars(base))] == []


@by_writer
def test_it_takes_kinds_that_there_are_and_makes_a_request_of_any_of_their_records(
    stage: Stage, cls: type[BaseWriter]
) -> None:
    options = cls.Options(client="client")
    assert set(cls.kinds(options)) <= set(KINDS)
    target = cls(Context("target", stage.runtime, stage.parent), options, "client")
    for kind in cls.kinds(options):
        for count in (1, 3):
            assert isinstance(target._request(kind, [record(kind)] * count), Request)


@by_operation
@by_writer
def test_an_operation_answers_the_outage_of_its_client_or_that_it_is_unsupported(
    ask: Ask, stage: Stage, cls: type[BaseWriter], message: Request[Any]
) -> None:
    answer = ask(cls, message)
    if isinstance(message, ops.Flush):
        assert answer == Success(None)
    else:
        assert isinstance(answer, Failure)
        assert answer.error == OUTAGE or answer.error.code == "unsupported"
    assert (status(stage).state, status(stage).restarts) == ("running", 0)


@by_writer
def test_a_record_that_can_never_be_written_is_refused_and_named(ask: Ask, cls: type[BaseWriter]) -> None:
    answer = ask(cls, ops.PublishPrices([price("a"), price("b")]), REJECTED)
    assert isinstance(answer, Success)
    assert isinstance(answer.data, BatchPublishResult)
    assert answer.data.published == 0
    assert [(refused.index, refused.error) for refused in answer.data.refused] == [(0, REJECTED), (1, REJECTED)]


@pytest.mark.parametrize(
    "message",
    [
        ops.PublishPrice("bitcoin"),  # type: ignore[arg-type]
        ops.PublishPrices(price()),  # type: ignore[arg-type]
        ops.PublishOHLCV(price()),  # type: ignore[arg-type]
        ops.PublishOHLCVBatch([price()]),  # type: ignore[list-item]
        ops.PublishLevel1(None),  # type: ignore[arg-type]
        ops.PublishLevel1Batch("level1"),  # type: ignore[arg-type]
        ops.PublishAnalytics(price()),  # type: ignore[arg-type]
        ops.PublishBatch([price(), "bitcoin"]),  # type: ignore[list-item]
    ],
    ids=name_of,
)
@by_writer
def test_a_bad_argument_is_refused_before_anybody_is_asked(
    ask: Ask, stage: Stage, cls: type[BaseWriter], message: Request[Any]
) -> None:
    answer = ask(cls, message)
    assert isinstance(answer, Failure)
    assert (type(answer.error), answer.error.code) == (Permanent, "bad_argument")
    assert status(stage).state == "running"
