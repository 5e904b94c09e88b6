"""Arguments of all tools: one naming, each described with its choices, and every limit that is said is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplatform.dsl.operations.arguments import RENAMED, arguments_of
from dataplatform.dsl.operations.operations import messages, reading
from dataplatform.dsl.operations.parts import Connection
from dataplatform.dsl.records.schema import camel_case
from dataplatform.errors import Permanent
from dataplatform.services.gateway.mcp.catalogue import Catalogue
from dataplatform.services.gateway.options import GatewayOptions
from dataplatform.services.service import Books, Phase, PlatformStatus, PlatformView, SourceBinding, TargetBinding
from dataplatform.sources.coingecko import CoinGeckoSource
from dataplatform.sources.coingecko.source import CoinGeckoOptions
from dataplatform.sources.timescale import TimescaleSource, TimescaleSourceOptions
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget
from tests.services.gateway.mcp.served import Session
from tests.services.gateway.mcp.test_mcp_tools import CALLS
from tests.services.gateway.mcp.test_mcp_tools import arguments_of as call_of


def snake_case(name: str) -> str:
    """Return a name of the wire as Python spells it."""
    return re.sub(r"(?<=[a-z])([A-Z]|\d+[hd]$)", lambda found: f"_{found[0].lower()}", name)


def in_snake_case(value: Any) -> Any:
    if isinstance(value, list):
        return [in_snake_case(one) for one in value]
    if isinstance(value, dict):
        return {snake_case(name): in_snake_case(one) for name, one in value.items()}
    return value


def properties_of(schema: Any) -> Iterator[tuple[str, Any]]:
    """Return every property in a schema, at whatever depth."""
    if isinstance(schema, list):
        for one in schema:
            yield from properties_of(one)
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for one in schema.values():
            yield from properties_of(one)


def platform_view(**parts: Any) -> PlatformView:
    status = PlatformStatus(Phase.RUNNING, 0.0, [], [], Books(), [])
    return PlatformView(data_dir=Path(), status=lambda: status, stop=lambda: None, **parts)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The tools of a platform with a CoinGecko and a database, nobody of which is asked."""
    sources = {
        "coingecko": SourceBinding(CoinGeckoSource, CoinGeckoOptions(client="c"), Connection("c", "http", None), "c"),
        "history": SourceBinding(
            TimescaleSource, TimescaleSourceOptions(client="d"), Connection("d", "timescale", None), "d"
        ),
    }
    targets = {"database": TargetBinding(TimescaleTarget, TimescaleOptions(client="d"))}
    return Catalogue(platform_view(sources=sources, targets=targets), GatewayOptions(allow_writes=True))


# What is said


def test_the_list_of_all_tools_is_small(session: Session) -> None:
    tools = [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in session.tools().values()]
    assert len(json.dumps(tools, separators=(",", ":"))) < 16_000


def test_every_property_is_described_and_in_camel_case(session: Session) -> None:
    for tool in session.tools().values():
        found = dict(properties_of(tool.input_schema))
        for name, one in found.items():
            assert one.get("description"), (tool.name, name)
            assert re.fullmatch(r"[a-z][a-z0-9]*([A-Z0-9][a-z0-9]*)*", name), (tool.name, name)
        assert {"ticker", "timeframe", "query", "options"}.isdisjoint(found), tool.name


def test_choices_are_listed(session: Session) -> None:
    tools = session.tools()
    shown = {name: tool.input_schema["properties"] for name, tool in tools.items()}
    assert set(shown["get_current_price"]["vsCurrency"]["enum"]) == {"usd", "btc", "eth"}
    assert shown["get_price_history"]["vsCurrency"]["enum"] == ["usd"]
    for name in reading():
        assert shown[name]["source"]["enum"] == ["coingecko", "history"]
    for name in ("get_current_ohlcv", "get_latest_ohlcv", "get_ohlcv_by_date_range"):
        assert "coingecko: 30m, 4h, 4d" in shown[name]["interval"]["description"]
        assert "history: any" in shown[name]["interval"]["description"]


def test_intervals_are_an_enumeration_where_every_source_has_its_own(catalogue: Catalogue) -> None:
    around = platform_view(sources={"coingecko": catalogue.platform_view.sources["coingecko"]})
    interval = Catalogue(around, GatewayOptions()).tools["get_current_ohlcv"].form.schema["properties"]["interval"]
    assert set(interval["enum"]) == {"30m", "4h", "4d"}


# How it may be spelt


@pytest.mark.parametrize("name", [name for name in CALLS if name in messages()])
def test_snake_case_is_read_as_camel_case_is(catalogue: Catalogue, name: str) -> None:
    tool, arguments = catalogue.tools[name], call_of(name)
    assert catalogue.read(tool, in_snake_case(arguments)) == catalogue.read(tool, arguments)


@pytest.mark.parametrize("name", [name for name in CALLS if name in messages()])
def test_lists_and_objects_may_be_given_as_text_and_whole_numbers_with_a_point(catalogue: Catalogue, name: str) -> None:
    tool, arguments = catalogue.tools[name], call_of(name)
    as_text = {
        key: json.dumps(value) if isinstance(value, (list, dict)) else float(value) if type(value) is int else value
        for key, value in arguments.items()
    }
    assert catalogue.read(tool, as_text) == catalogue.read(tool, arguments)


@pytest.mark.parametrize(
    ("name", "old", "new", "notes"),
    [
        ("get_level1_data", {"query": {"ticker": "a"}}, {"coinId": "a"}, ["'query'", "'ticker' is 'coinId' now"]),
        ("get_level1_data", {"ticker": "a"}, {"coinId": "a"}, ["'ticker' is 'coinId' now"]),
        ("get_latest_ohlcv", {"coinIds": ["a"], "timeframe": "4h"}, {"coinIds": ["a"], "interval": "4h"},
         ["'timeframe' is 'interval' now"]),
        ("get_current_prices", {"coinIds": ["a"], "options": {"vs_currencies": ["btc"]}},
         {"coinIds": ["a"], "vsCurrencies": ["btc"]}, ["'options'"]),
    ],
)  # fmt: skip
def test_an_old_spelling_works_and_says_so(
    catalogue: Catalogue, name: str, old: dict[str, Any], new: dict[str, Any], notes: list[str]
) -> None:
    tool = catalogue.tools[name]
    given, present = catalogue.read(tool, old), catalogue.read(tool, new)
    assert (given.request, given.shape, present.notes) == (present.request, present.shape, [])
    assert [note.startswith(start) for note, start in zip(given.notes, notes, strict=True)] == [True] * len(notes)


def test_what_is_said_of_a_spelling_stands_in_the_answer(session: Session) -> None:
    answer = session.answer("get_level1_data", {"ticker": "bitcoin"})
    assert answer["notes"] == ["'ticker' is 'coinId' now"]


def test_records_are_written_with_the_names_that_arguments_have(catalogue: Catalogue) -> None:
    level1 = dict(CALLS["publish_level1"]["level1"])
    renamed = {"coinId": level1.pop("ticker"), **level1}
    tool = catalogue.tools["publish_level1"]
    assert catalogue.read(tool, {"level1": renamed}) == catalogue.read(tool, call_of("publish_level1"))


def test_every_argument_of_every_operation_has_one_name() -> None:
    every: list[Any] = list(messages().values())
    names = {one.name for message in every for one in arguments_of(message)}
    assert names.isdisjoint({*RENAMED, "query", "options"})
    assert all(snake_case(camel_case(name)) == name for name in names), names


# What is kept


def bounds_of(shown: dict[str, Any], usual: Any) -> Iterator[tuple[Any, Any]]:
    """Return for each limit of a property a value that keeps it and one that does not."""
    if "minimum" in shown:
        yield shown["minimum"], shown["minimum"] - 1
    if "maximum" in shown:
        yield shown["maximum"], shown["maximum"] + 1
    if "maxLength" in shown:
        yield "b" * shown["maxLength"], "b" * (shown["maxLength"] + 1)
    if "minLength" in shown:
        yield "b" * shown["minLength"], "b" * (shown["minLength"] - 1)
    if "enum" in shown:
        yield shown["enum"][0], "none-of-them"
    if "maxItems" in shown:
        yield usual[:1] * shown["maxItems"], usual[:1] * (shown["maxItems"] + 1)
    if "minItems" in shown:
        yield usual[:1] * shown["minItems"], []
    for kept, broken in bounds_of(shown["items"], "") if "items" in shown else ():
        yield [kept], [broken]


def test_every_limit_that_is_said_is_kept(session: Session, catalogue: Catalogue) -> None:
    tried = 0
    for name, tool in session.tools().items():
        usual = call_of(name)
        for key, shown in tool.input_schema["properties"].items():
            if name == "run_pipe" and key == "operation":
                continue  # each takes other arguments
            for kept, broken in bounds_of(shown, usual.get(key)):
                tried += 1
                if name.startswith("publish_") and isinstance(kept, list):  # as much as a request may hold, and more
                    catalogue.read(catalogue.tools[name], usual | {key: kept})
                else:
                    answer = session.call(name, usual | {key: kept})
                    assert "bad_argument" not in str(answer.meta), (name, key, str(kept)[:80], answer)
                with pytest.raises(Permanent, match="bad_argument"):
                    _raise(session, catalogue, name, usual | {key: broken})
    assert tried > 60


def _raise(session: Session, catalogue: Catalogue, name: str, arguments: dict[str, Any]) -> None:
    """Raise the error of arguments that a tool refuses."""
    if name.startswith("publish_"):
        catalogue.read(catalogue.tools[name], arguments)
    else:
        raise Permanent(*session.error(name, arguments))


# Errors


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_error_of_an_argument_lists_all_of_them_with_their_choices(session: Session, name: str) -> None:
    code, text = session.error(name, call_of(name) | {"sorce": "coingecko"})
    assert code == "bad_argument"
    assert "there is no argument 'sorce'" in text
    properties = session.tools()[name].input_schema["properties"]
    assert all(f"{key} (" in text for key in properties)
    assert all(choice in text for one in properties.values() for choice in one.get("enum", ()))
    assert len(text) < 600


def test_errors_spell_names_as_the_schema_does(session: Session) -> None:
    _, text = session.error(
        "get_ohlcv_by_date_range",
        {"coinId": "bitcoin", "interval": "4h", "dateStart": "2026-01-02T00:00:00Z", "dateEnd": "2026-01-01T00:00:00Z"},
    )
    assert "dateStart 2026-01-02T00:00:00+00:00 is not before dateEnd" in text
    _, text = session.error("publish_price", {"price": call_of("publish_price")["price"] | {"usdPrice": -1}})
    assert "usdPrice: expected a finite number of at least 0" in text
    assert not re.search(r"\b(usd_price|date_start|coin_id|vs_currency)\b", text)
