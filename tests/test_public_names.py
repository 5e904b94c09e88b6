"""The face of the package: which names it has, where they come from, and what it loads for them."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dataplatform
from dataplatform.faces import homes

ROOT = Path(__file__).resolve().parents[1]
FACES = [
    ".".join(file.parent.relative_to(ROOT).parts)
    for file in sorted((ROOT / "dataplatform").rglob("__init__.py"))
    if "face(__name__)" in file.read_text(encoding="utf-8")
]
HEAVY = ("IPython", "alembic", "kafka", "mcp", "psycopg2", "pykka", "requests", "rich", "sqlalchemy", "starlette")


@pytest.mark.parametrize("package", FACES)
def test_a_face_lists_each_name_that_it_hands_on_once(package: str) -> None:
    module = importlib.import_module(package)
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    imported = [
        name.name
        for block in ast.parse(source).body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for name in statement.names
    ]
    assert sorted(imported) == sorted(homes(package)) == sorted(module.__all__)


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in FACES for name in homes(package)])
def test_a_name_is_what_its_module_has(package: str, name: str) -> None:
    module = importlib.import_module(homes(package)[name])
    assert getattr(importlib.import_module(package), name) is getattr(module, name)
    assert name in module.__all__


def test_all_names_are_listed_and_others_are_missing() -> None:
    assert set(dataplatform.__all__) <= set(dir(dataplatform))
    with pytest.raises(AttributeError, match="has no attribute 'Platfrom'"):
        _ = dataplatform.Platfrom  # type: ignore[attr-defined]


def test_the_version_is_that_of_the_installed_package() -> None:
    assert dataplatform.__version__ == importlib.metadata.version("dataplatform")
    for module in ("dataplatform", "dataplatform.system"):
        said = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
        assert said.stdout == f"dataplatform {dataplatform.__version__}\n"


def test_the_version_is_asked_for_in_one_place() -> None:
    asking = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "dataplatform").rglob("*.py")
        if "importlib.metadata import version" in path.read_text(encoding="utf-8")
    ]
    assert asking == ["dataplatform/version.py"]


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import dataplatform; dir(dataplatform)", ()),
        ("import dataplatform; dataplatform.__version__", ()),
        ("from dataplatform import Success, Transient, CryptoPriceData, PRICES", ()),
        ("from dataplatform import HttpSettings, RedpandaSettings, McpSettings", ()),
        ("from dataplatform import TimescaleSettings", ("psycopg2",)),
    ],
)
def test_a_name_loads_what_it_needs_and_no_other(code: str, allowed: tuple[str, ...]) -> None:
    assert set(loaded(code)) <= set(allowed)


@pytest.mark.parametrize("module", ["dataplatform", "dataplatform.system"])
@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_what_shows_no_command_loads_none(module: str, option: str) -> None:
    assert (
        loaded(f"import runpy; sys.argv = ['it', '{option}']; runpy.run_module('{module}', run_name='__main__')") == []
    )


@pytest.mark.parametrize(
    ("command", "never"),
    [
        ("plugins", {"IPython", "mcp"}),
        ("status", {"IPython", "alembic", "kafka", "mcp", "psycopg2", "requests", "sqlalchemy", "starlette"}),
        ("attach", {"IPython", "alembic", "kafka", "mcp", "psycopg2", "requests", "sqlalchemy", "starlette"}),
        ("run", {"IPython", "mcp"}),
        ("dead-letters", {"IPython", "mcp"}),
        ("mcp", {"IPython"}),
    ],
)
def test_the_help_of_a_command_loads_no_other(command: str, never: set[str]) -> None:
    code = f"from dataplatform.system.cli.main import main; main(['{command}', '--help'])"
    assert never.isdisjoint(loaded(code))


def loaded(code: str) -> list[str]:
    """Return which of the heavy libraries a fresh interpreter has imported when the code has run to its end."""
    program = f"import atexit, sys; atexit.register(lambda: print([*sys.modules], file=sys.stderr)); {code}"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    modules: list[str] = ast.literal_eval(said.stderr.splitlines()[-1])
    return [library for library in HEAVY if library in modules]
