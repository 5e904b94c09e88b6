"""What every kind of client promises, whoever wrote it: found in the registry, it is put through this suite."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import NOTHING, fields, has
from attrs.exceptions import FrozenInstanceError

from dataplatform.base.agent import ChildSpec, Request
from dataplatform.base.database import TimescaleSettings
from dataplatform.base.database.technology import Tables
from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.base.streaming import RedpandaSettings
from dataplatform.base.streaming.technology import Topics
from dataplatform.base.technology import Embedded, Technology, Web
from dataplatform.dsl.operations.registry import ability, plugins, technology
from dataplatform.system.config.topology import ClientSpec, Topology

TECHNOLOGIES = {plugin.kind: cast("type[Technology]", plugin.load()) for plugin in plugins("clients")}
SETTINGS: dict[str, Any] = {
    "http": HttpSettings(base_url="https://api.example"),
    "mcp": McpSettings(url="https://mcp.example/mcp"),
    "redpanda": RedpandaSettings(["broker:9092"]),
    "timescale": TimescaleSettings("postgresql://db.example/market", pool=3),
}

by_kind = pytest.mark.parametrize("kind", TECHNOLOGIES)


def agents(kind: str, *, written: bool) -> tuple[ChildSpec, ...]:
    return TECHNOLOGIES[kind].agents("mine", SETTINGS[kind], written=written)


def test_there_are_kinds_to_look_at() -> None:
    assert set(SETTINGS) == set(TECHNOLOGIES)


@by_kind
def test_it_says_what_it_is_called_and_where_its_server_is(kind: str) -> None:
    cls = TECHNOLOGIES[kind]
    assert cls.title
    assert cls.remedy
    assert cls.place in {"kind", *(option.name for option in fields(cls.Options))}
    assert inspect.getdoc(cls) != inspect.getdoc(Technology)


@by_kind
def test_its_settings_are_a_frozen_class_that_explains_every_field(kind: str) -> None:
    cls = TECHNOLOGIES[kind]
    assert has(cls.Options)
    first = next(option for option in fields(cls.Options) if option.init)
    with pytest.raises(FrozenInstanceError):
        setattr(SETTINGS[kind], first.name, NOTHING)
    assert [option.name for option in fields(cls.Options) if not option.metadata.get("help")] == []


@by_kind
def test_its_settings_stand_for_a_client_of_the_kind(kind: str) -> None:
    spec = Topology(clients={"it": SETTINGS[kind]}).clients["it"]
    assert (spec.kind, spec.technology, spec.embedded) == (kind, TECHNOLOGIES[kind], None)


@by_kind
def test_its_agents_are_clients_named_after_it_and_there_is_one_to_write_through(kind: str) -> None:
    specs = agents(kind, written=True)
    assert specs
    assert {spec.kind for spec in specs} == {"client"}
    assert all(spec.name == "mine" or spec.name.startswith("mine.") for spec in specs)
    assert len({spec.name for spec in specs}) == len(specs)


@by_kind
def test_what_it_is_asked_for_a_sign_of_life_is_a_request(kind: str) -> None:
    assert isinstance(TECHNOLOGIES[kind].sign_of_life(), Request)


@by_kind
def test_what_can_be_embedded_is_so_only_where_its_settings_say_so(kind: str, tmp_path: Path) -> None:
    if (able := ability(kind, Embedded)) is None:
        return
    there = able.settings_at(SETTINGS[kind], able.address(tmp_path, None))
    assert not able.wanted(SETTINGS[kind])
    assert not able.wanted(there)
    assert ClientSpec(kind, there).embedded is None


@by_kind
def test_what_is_led_elsewhere_goes_there_without_its_secrets(kind: str) -> None:
    if (able := ability(kind, Web)) is None:
        return
    there = able.settings_at(SETTINGS[kind], "http://127.0.0.1:1/x")
    assert able.url(there) == "http://127.0.0.1:1/x"
    assert not there.secrets


def test_who_can_do_what() -> None:
    able = {kind: [one.__name__ for one in (Topics, Tables, Embedded, Web) if ability(kind, one)] for kind in SETTINGS}
    assert able == {
        "http": ["Web"],
        "mcp": ["Web"],
        "redpanda": ["Topics", "Embedded"],
        "timescale": ["Tables", "Embedded"],
    }


def test_a_producer_is_there_only_for_those_who_write() -> None:
    assert agents("redpanda", written=False) == ()
    assert [spec.name for spec in agents("redpanda", written=True)] == ["mine.producer"]


def test_a_pool_has_an_agent_a_connection() -> None:
    assert [spec.name for spec in agents("timescale", written=False)] == ["mine.1", "mine.2", "mine.3"]


def test_a_kind_that_is_not_installed_can_do_nothing_and_is_a_problem_of_its_client() -> None:
    assert technology("redpand") is None
    assert ability("redpand", Topics) is None
    problems = Topology(clients={"stream": ClientSpec("redpand", SETTINGS["redpanda"])}).check()
    assert [problem.message for problem in problems if problem.path == ("clients", "stream", "kind")] == [
        "unknown kind 'redpand'; did you mean 'redpanda'?"
    ]


def test_settings_of_no_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="ChildSpec are the settings of no kind of client that is installed"):
        ClientSpec.of(agents("http", written=True)[0])
