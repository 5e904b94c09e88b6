"""`python -m dataplatform.system plugins`: what is installed, as text, JSON and the README's tables."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import field, frozen
from click.testing import CliRunner

from dataplatform import dsl
from dataplatform.base.technology import Technology
from dataplatform.dsl.operations import registry
from dataplatform.dsl.operations.parts import SourceOptions
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.registry import SIDES, plugins
from dataplatform.errors import Permanent
from dataplatform.system.cli.main import main
from dataplatform.system.config.catalogue import Entry, Option, catalogue, markdown
from dataplatform.system.config.checking import key_of

README = (Path(dsl.__file__).parent / "README.md").read_text(encoding="utf-8")
BEGIN, END = "<!-- made by: python -m dataplatform.system plugins --markdown -->\n", "\n<!-- made -->"


@frozen(kw_only=True)
class Inner:
    """A table in a list of tables."""

    source: str = field(metadata={"key": "from", "help": "where from"})


@frozen(kw_only=True)
class ShopOptions(SourceOptions):
    """Options of every sort."""

    most: int | None = field(default=None, metadata={"help": "at most"})
    names: dict[str, str] = field(factory=dict, metadata={"help": "by name"})
    password: str = field(default="hunter2", repr=False, metadata={"help": "secret"})
    tables: tuple[Inner, ...] = field(default=(), metadata={"help": "what to do"})


class Shop(BaseReader):
    """A shop.

    With a second paragraph.
    """

    technology = "Shop"
    client_kind = "http"
    Options = ShopOptions


class Mute(Technology):
    """A kind of client that does not say where its server is."""

    title = "Mute"
    Options = Inner


class Idle(Mute):
    """A kind of client that has no agents."""

    place = remedy = "somewhere"


def shown(*arguments: str) -> str:
    ran = CliRunner().invoke(main, ["plugins", *arguments])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def add(monkeypatch: pytest.MonkeyPatch, *more: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [*entry_points(group=group), *_of(group, more)])


def _of(group: str, points: Sequence[EntryPoint]) -> list[EntryPoint]:
    return [point for point in points if point.group == group]


def entry(kind: str) -> Entry:
    return next(one for one in catalogue() if one.kind == kind)


def test_all_that_is_installed_is_listed_and_nothing_of_ours_is_broken() -> None:
    listed = [(one.side, one.kind) for one in catalogue() if one.package == "dataplatform" and one.error is None]

    assert listed == [(side, plugin.kind) for side in SIDES for plugin in plugins(side)]
    assert {("sources", "coingecko"), ("sources", "redpanda"), ("targets", "timescale")} <= set(listed)


def test_every_option_of_ours_is_listed_with_its_type_and_help() -> None:
    for side in SIDES:
        for plugin in plugins(side):
            listed = next(one for one in catalogue() if (one.side, one.kind) == (side, plugin.kind))
            assert [one.key for one in listed.options] == [key_of(one) for one in attrs.fields(plugin.load().Options)]
            assert all(one.type and one.help for one in listed.options)


def test_options_say_type_default_and_help_tables_within_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, EntryPoint("shop", f"{__name__}:Shop", "dataplatform.sources"))
    monkeypatch.setattr(EntryPoint, "load", lambda point: Shop)

    shop = entry("shop")

    assert (shop.technology, shop.summary) == ("Shop", "A shop.")
    assert shop.options == (
        Option("client", "text", None, "the client to read from"),
        Option("stall_after", "number", "15.0", "how long what has work may stand still before it is shown and mended"),
        Option("most", "whole number", "none", "at most"),
        Option("names", "table of text", "{}", "by name"),
        Option("password", "text", "***", "secret"),
        Option("tables", "list of tables", "[]", "what to do", (Option("from", "text", None, "where from"),)),
    )


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("no.such.module:Source", "ModuleNotFoundError: No module named 'no'"),
        (
            "dataplatform.dsl.operations.writer:BaseWriter",
            "TypeError: dataplatform.dsl.operations.writer:BaseWriter is no BaseReader",
        ),
    ],
)
def test_a_broken_plugin_is_listed_with_its_error_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, value: str, error: str
) -> None:
    add(monkeypatch, EntryPoint("broken", value, "dataplatform.sources"))

    text = shown()

    assert f"source broken (unknown package)\n  cannot be used: {error}" in text
    assert "source coingecko (dataplatform " in text
    assert entry("broken").error == error


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("dataplatform.base.http:HttpClient", "TypeError: dataplatform.base.http:HttpClient is no Technology"),
        (
            "dataplatform.base.technology:Technology",
            "TypeError: dataplatform.base.technology:Technology has no Options that are an attrs class",
        ),
        (f"{__name__}:Mute", f"TypeError: {__name__}:Mute does not say its place and remedy"),
        (f"{__name__}:Idle", f"TypeError: {__name__}:Idle does not write agents and sign_of_life"),
    ],
)
def test_a_kind_of_client_that_says_too_little_is_listed_with_its_error(
    monkeypatch: pytest.MonkeyPatch, value: str, error: str
) -> None:
    add(monkeypatch, EntryPoint("broken", value, "dataplatform.clients"))
    assert f"client broken (unknown package)\n  cannot be used: {error}" in shown()


def test_a_platform_whose_metadata_are_older_than_its_sources_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: _of(group, []))
    with pytest.raises(Permanent, match="name none of its sources") as refused:
        plugins("sources")
    assert "pip install -e ." in (refused.value.remedy or "")
    for arguments in (["plugins"], ["--check"]):
        ran = CliRunner().invoke(main, arguments)
        assert ran.exit_code == 2
        assert re.fullmatch(
            r"not_installed: the installed metadata of dataplatform name none of its \w+; .+\n", ran.stderr
        )


def test_the_text_shows_operations_and_options() -> None:
    text = shown()

    assert "TimescaleDB, through a client of kind timescale: " in text
    assert "operations: get_current_price, get_current_prices, " in text
    assert "client redpanda (dataplatform " in text
    assert "  Redpanda: A cluster of Redpanda or Apache Kafka.\n  abilities: topics, embedded\n" in text
    assert re.search(r"credit +whole number +batches each source may have in flight \(default 4\)", text)


def test_json_says_the_same() -> None:
    objects: list[dict[str, Any]] = json.loads(shown("--json"))

    assert [(one["side"], one["kind"], tuple(one["operations"])) for one in objects] == [
        (one.side, one.kind, one.operations) for one in catalogue()
    ]
    assert objects[0]["options"][0] == {
        "key": "client", "type": "text", "default": None, "help": "the client to read from", "options": [],
    }  # fmt: skip


def test_json_and_markdown_exclude_each_other() -> None:
    assert CliRunner().invoke(main, ["plugins", "--json", "--markdown"]).exit_code == 2


def test_its_help_shows_an_example() -> None:
    assert "python -m dataplatform.system plugins --json" in shown("--help")


def test_the_tables_of_the_readme_are_not_stale_else_put_the_output_of_plugins_markdown_there() -> None:
    in_readme = README.partition(BEGIN)[2].partition(END)[0]

    assert in_readme == markdown([one for one in catalogue() if one.package == "dataplatform"])
    assert f"{in_readme}\n" == shown("--markdown")
