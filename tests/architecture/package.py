"""The package's modules as their sources have them, read without importing any."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
NAME = "dataplatform"


@frozen
class Import:
    """One imported module or name, by its full name; `typing_only` when only type checkers follow it."""

    name: str
    line: int
    typing_only: bool


@frozen(eq=False)
class Module:
    """One source file, and the name it is imported by."""

    path: Path
    name: str
    source: str
    tree: ast.Module

    @classmethod
    def of(cls, path: Path, source: str) -> Module:
        """Return the module that a file of the package's root has this source in."""
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        return cls(path, name, source, ast.parse(source, str(path)))

    @property
    def folder(self) -> str:
        """The name of the package that the module is in, or is."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    @property
    def imports(self) -> list[Import]:
        return list(_imports(self.tree, typing_only=False))


@cache
def modules() -> tuple[Module, ...]:
    return tuple(Module.of(path, path.read_text(encoding="utf-8")) for path in sorted((ROOT / NAME).rglob("*.py")))


def within(name: str, package: str) -> bool:
    """Tell whether `name` is the package or something in it.

    >>> within("dataplatform.dsl.records.types", "dataplatform.dsl"), within("dataplatform.dsl2", "dataplatform.dsl")
    (True, False)
    """
    return name == package or name.startswith(package + ".")


def _imports(node: ast.AST, *, typing_only: bool) -> Iterator[Import]:
    match node:
        case ast.Import(names):
            yield from (Import(alias.name, node.lineno, typing_only) for alias in names)
        case ast.ImportFrom(module, names, level):
            assert level == 0, f"line {node.lineno}: a relative import"
            yield from (Import(f"{module}.{alias.name}", node.lineno, typing_only) for alias in names)
        case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body=body, orelse=orelse):
            for statement in body:
                yield from _imports(statement, typing_only=True)
            for statement in orelse:
                yield from _imports(statement, typing_only=typing_only)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _imports(child, typing_only=typing_only)
