"""The language is one: its messages, the operations of readers and writers, and the proxies say the same."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest
from attrs import NOTHING, fields

from dataplatform.base.agent import Request
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.operations.operations import ReadingOperation, WritingOperation
from dataplatform.dsl.operations.proxy import Proxy, ReaderProxy, WriterProxy
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import kinds
from tests.contract.registry import READING, WRITING, name_of

SIDES = [(message, BaseReader, ReaderProxy) for message in get_args(ReadingOperation)] + [
    (message, BaseWriter, WriterProxy) for message in get_args(WritingOperation)
]
by_operation = pytest.mark.parametrize(("message", "base", "proxy"), SIDES, ids=lambda cls: cls.__name__)


def parameters(function: Any) -> list[tuple[str, object]]:
    """Return names and defaults of a method's parameters, without `self`."""
    _, *rest = inspect.signature(function).parameters.values()
    return [(one.name, one.default) for one in rest]


def method_of(message: type[Any], base: type[Any], proxy: type[Any]) -> Any:
    """Return the method of an operation; those of one kind of record are derived, and only a proxy has one."""
    name = name_of(message)
    return getattr(proxy if any(name in kind.operations for kind in kinds()) else base, name)


@by_operation
def test_message_method_and_proxy_take_the_same(message: type[Any], base: type[Any], proxy: type[Any]) -> None:
    of_message = [(f.name, inspect.Parameter.empty if f.default is NOTHING else f.default) for f in fields(message)]
    assert parameters(method_of(message, base, proxy)) == of_message
    assert parameters(getattr(proxy, name_of(message))) == of_message


@by_operation
def test_a_message_is_frozen_and_says_what_it_is(message: type[Any], base: type[Any], proxy: type[Any]) -> None:
    assert issubclass(message, Request)
    assert message.__setattr__ is not object.__setattr__
    assert message.__doc__


@by_operation
def test_an_operation_says_what_it_answers(message: type[Any], base: type[Any], proxy: type[Any]) -> None:
    operation = method_of(message, base, proxy)
    assert operation.__doc__
    assert str(inspect.signature(operation).return_annotation).startswith(("Answer[", "Result[", "Future["))


def test_the_examples_of_this_suite_are_of_every_operation() -> None:
    assert [type(message) for message in READING] == list(get_args(ReadingOperation))
    assert [type(message) for message in WRITING] == list(get_args(WritingOperation))


def test_a_proxy_has_no_method_that_is_no_operation() -> None:
    for base, messages, more in (
        (ReaderProxy, get_args(ReadingOperation), {name_of(Pause), name_of(Resume)}),
        (WriterProxy, get_args(WritingOperation), set()),
    ):
        own = {name for name in vars(base) if not name.startswith("_")}
        assert own - {*vars(Proxy), "ask"} == {name_of(message) for message in messages} | more
