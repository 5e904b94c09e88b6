"""The faces of packages: the names that a package hands on, each loaded from its module when it is first used."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["face", "homes"]


def face(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose `__init__` imports its names for type checkers alone.

    So each name is told once, as people and tools expect it, and who asks for one loads what that one needs.
    """
    told: dict[str, str] = {}

    def modules() -> dict[str, str]:
        if not told:
            told.update(homes(package))
        return told

    def get(name: str) -> Any:
        if name not in modules():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(told[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *modules()})


def homes(package: str) -> dict[str, str]:
    """Return the module of each name that a package hands on.

    >>> homes("dataplatform.base.http")["Get"]
    'dataplatform.base.http.messages'
    """
    spec = find_spec(package)
    source = spec.loader.get_source(package) if spec and spec.loader else None  # type: ignore[attr-defined]
    assert source is not None, f"{package} has no source"
    return {alias.name: module for module, aliases in _imported(ast.parse(source)) for alias in aliases}


def _imported(tree: ast.Module) -> Iterator[tuple[str, list[ast.alias]]]:
    for block in tree.body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for one in block.body:
                if isinstance(one, ast.ImportFrom) and one.module:
                    yield one.module, one.names
