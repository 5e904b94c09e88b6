"""What every source promises, whoever wrote it: found in the registry, it is put through this suite."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_args

import pytest
from attrs import evolve, fields, has
from attrs.exceptions import FrozenInstanceError

from dataplatform.base.agent import AgentStatus, Ready, Request
from dataplatform.dsl.operations.operations import ReadingOperation
from dataplatform.dsl.operations.parts import SourceOptions
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.registry import technology
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result
from tests.contract.questions import BAD
from tests.contract.registry import READERS, READING, name_of
from tests.dsl.doubles import Double
from tests.dsl.records import NOON
from tests.support.agents import DEADLINE, Stage

OUTAGE = Transient("outage", "the other side does not answer", retry_after=3.0)
HOOKS = [name for name, value in vars(BaseReader).items() if name.startswith("_") and inspect.isfunction(value)]

by_reader = pytest.mark.parametrize("cls", READERS.values(), ids=READERS.keys())
by_operation = pytest.mark.parametrize("message", READING, ids=name_of)


@pytest.fixture
def ask(stage: Stage) -> Callable[..., Result[Any]]:
    """Start a source whose client answers everything with an outage, and put one request to it."""

    def start_and_ask(cls: type[BaseReader], request: Request[Any]) -> Result[Any]:
        stage.start(Double, lambda _: Failure(OUTAGE), name="client")
        stage.start(cls, cls.Options(client="client"), "client", name="source")
        stage.parent.expect(Ready)
        stage.parent.expect(Ready)
        return stage.runtime.directory.address("source").ask(request, DEADLINE)

    return start_and_ask


def status(stage: Stage) -> AgentStatus:
    found = stage.runtime.directory.status("source")
    assert found is not None
    return found


def test_there_are_sources_to_look_at() -> None:
    assert {"coingecko", "redpanda"} <= set(READERS)


@by_reader
def test_a_source_is_a_reader_of_a_named_technology_and_a_known_kind_of_client(cls: type[BaseReader]) -> None:
    assert issubclass(cls, BaseReader)
    assert cls.kind == "source"
    assert cls.technology != BaseReader.technology
    assert all(technology(kind) for kind in cls.client_kinds())
    assert inspect.getdoc(cls) != inspect.getdoc(BaseReader)


@by_reader
def test_its_options_are_a_frozen_class_that_explains_every_field(cls: type[BaseReader]) -> None:
    assert has(cls.Options)
    assert issubclass(cls.Options, SourceOptions)
    options = cls.Options(client="client")
    with pytest.raises(FrozenInstanceError):
        options.client = "another"  # type: ignore[misc]
    for option in fields(cls.Options):
        assert option.metadata.get("help") or option.name in (cls.Options.__doc__ or ""), option.name
    with pytest.raises(TypeError):
        cls.Options(client="client", no_such_option=1)  # type: ignore[call-arg]


@by_reader
def test_it_writes_hooks_and_no_operation(cls: type[BaseReader]) -> None:
    operations = {name_of(message) for message in get_args(ReadingOperation)}  # `receive` may take what only it can do
    below = [base for base in cls.__mro__ if issubclass(base, BaseReader) and base is not BaseReader]
    assert [(base.__name__, name) for base in below for name in operations & set(vars(base))] == []


@by_reader
def test_a_hook_takes_what_the_readers_hook_takes(cls: type[BaseReader]) -> None:
    for name in HOOKS:
        hook, own = getattr(BaseReader, name), getattr(cls, name)
        if own is not hook and name != "__init__":
            assert list(inspect.signature(own).parameters) == list(inspect.signature(hook).parameters), name


@by_operation
@by_reader
def test_an_operation_answers_the_outage_of_its_client_or_that_it_is_unsupported(
    ask: Callable[..., Result[Any]], stage: Stage, cls: type[BaseReader], message: Request[Any]
) -> None:
    answer = ask(cls, message)
    assert isinstance(answer, Failure)
    if answer.error != OUTAGE:
        assert (type(answer.error), answer.error.code) == (Permanent, "unsupported")
        assert cls.technology in answer.error.message
        assert answer.error.remedy
    assert (status(stage).state, status(stage).restarts) == ("running", 0)


@pytest.mark.parametrize("message", BAD.values(), ids=BAD.keys())
@by_reader
def test_a_bad_argument_is_refused_before_anybody_is_asked(
    ask: Callable[..., Result[Any]], stage: Stage, cls: type[BaseReader], message: Request[Any]
) -> None:
    answer = ask(cls, message)
    assert isinstance(answer, Failure)
    assert (type(answer.error), answer.error.code) == (Permanent, "bad_argument")
    assert answer.error.message
    assert status(stage).state == "running"


@pytest.mark.parametrize("which", ["date_start", "date_end"])
def test_a_naive_date_is_refused_where_the_query_is_made(which: str) -> None:
    query = DateRangeOHLCVQuery("bitcoin", NOON, NOON + timedelta(days=1), "4h")
    with pytest.raises(ValueError, match="got the naive 2026-01-0"):
        evolve(query, **{which: getattr(query, which).replace(tzinfo=None)})


@by_reader
def test_a_source_can_do_something(cls: type[BaseReader]) -> None:
    hooks = [name for name in HOOKS if name in vars(cls)]
    assert "_feeds" in vars(cls) or hooks
