"""What is installed, which operations it supports, and what the others are referred to."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import get_args

import pytest

from dataplatform.dsl.operations import registry
from dataplatform.dsl.operations.operations import ReadingOperation, WritingOperation, reading, writing
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.registry import plugins, supporters, unsupported, untaken
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import LEVEL1, PRICES
from tests.contract.registry import name_of


class Prices(BaseReader):
    """A source of prices alone."""

    def _current_prices(self, coin_ids: object, options: object) -> object:  # type: ignore[override]
        raise NotImplementedError


class Letters(BaseWriter):
    """A target of level 1 alone."""

    takes = (LEVEL1,)


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points that are found besides the installed ones."""
    more: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [*more, *entry_points(group=group)])
    yield more
    registry.supporters.cache_clear()
    registry._loaded.cache_clear()


def test_every_operation_has_its_hook_or_its_kinds() -> None:
    assert set(reading()) == {name_of(operation) for operation in get_args(ReadingOperation)}
    assert all(callable(getattr(BaseReader, hook)) for hook in reading().values())
    assert set(writing()) == {name_of(operation) for operation in get_args(WritingOperation)}


def test_a_reader_supports_the_operations_of_the_hooks_it_writes() -> None:
    assert BaseReader.supported() == ()
    assert Prices.supported() == ("get_current_price", "get_current_prices")


def test_a_writer_supports_the_operations_about_what_it_takes() -> None:
    assert BaseWriter.supported() == tuple(writing())
    assert Letters.supported() == ("publish_level1", "publish_level1_batch", "publish_batch", "flush")


def test_who_supports_an_operation_is_named_in_its_refusal() -> None:
    assert {"coingecko", "timescale"} <= set(supporters("get_price_history"))
    refusal = unsupported("get_price_history", "Shop")
    assert refusal.code == "unsupported"
    assert refusal.message.startswith("Shop cannot answer get_price_history; coingecko")
    assert refusal.message.endswith(" and timescale can")
    assert untaken(PRICES, "Shelf").message == "Shelf cannot take prices; mcp, redpanda and timescale can"


def test_a_refusal_that_nobody_can_help_with_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "supporters", lambda _: ())
    assert str(unsupported("get_price_history", "Shop")).endswith("; nothing that is installed can")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no.such.module:Source", "No module named 'no'"),
        ("dataplatform.dsl.operations.reader:NoSuchClass", "NoSuchClass"),
        ("dataplatform.dsl.operations.writer:BaseWriter", "is no BaseReader"),
        ("dataplatform.dsl.records.checks:limit", "is no BaseReader"),
        ("dataplatform.dsl.operations.reader:BaseReader", "has no Options that extend SourceOptions"),
    ],
)
def test_a_broken_plugin_is_found_says_why_it_cannot_be_loaded_and_harms_no_other(
    points: list[EntryPoint], value: str, why: str
) -> None:
    points.append(EntryPoint("broken", value, "dataplatform.sources"))

    broken = next(plugin for plugin in plugins("sources") if plugin.kind == "broken")

    with pytest.raises(Exception, match=why):
        broken.load()
    registry._loaded.cache_clear()
    registry.supporters.cache_clear()
    assert "timescale" in supporters("get_price_history")


def test_nobody_takes_a_kind_of_the_platform_s_own(points: list[EntryPoint]) -> None:
    points.append(EntryPoint("timescale", "no.such.module:Source", "dataplatform.sources"))

    ours, theirs = (plugin for plugin in plugins("sources") if plugin.kind == "timescale")

    assert (ours.package, ours.taken_by, theirs.taken_by) == ("dataplatform", None, "dataplatform")
    assert issubclass(ours.load(), BaseReader)
    with pytest.raises(TypeError, match="'timescale' is that of dataplatform already"):
        theirs.load()
