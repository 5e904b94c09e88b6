"""No modules import each other in a circle, nor do folders: late imports and those for type checkers count as well."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.package import NAME, ROOT, Module, modules, within

Graph = Mapping[str, AbstractSet[str]]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(imports(modules())) == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    assert circle(between_folders(modules())) == []


@pytest.mark.parametrize(
    "late",
    [
        "from {there} import there",
        "if TYPE_CHECKING:\n    from {there} import there",
        "def use() -> None:\n    import {there}",
        "class Here:\n    def use(self) -> None:\n        from {there} import there",
    ],
)
def test_an_import_counts_wherever_it_stands(late: str) -> None:
    here, there = f"{NAME}.here", f"{NAME}.there"
    both = [written(here, late.format(there=there)), written(there, f"from {here} import Here")]
    assert set(circle(imports(both))) == {here, there}
    assert set(circle(imports([*both, written(f"{NAME}.apart", f"import {here}")]))) == {here, there}


def test_folders_are_a_circle_through_different_modules_but_not_with_their_own_folders() -> None:
    across = [
        written(f"{NAME}.a.one", f"import {NAME}.b.two"),
        written(f"{NAME}.b.two", ""),
        written(f"{NAME}.b.three", f"from {NAME}.a.four import x"),
        written(f"{NAME}.a.four", ""),
    ]
    assert circle(imports(across)) == []
    assert set(circle(between_folders(across))) == {f"{NAME}.a", f"{NAME}.b"}
    own = [written(f"{NAME}.a.one", f"import {NAME}.a.b.two"), written(f"{NAME}.a.b.two", f"import {NAME}.a.four")]
    assert circle(between_folders([*own, written(f"{NAME}.a.four", "")])) == []


def imports(found: list[Module] | tuple[Module, ...]) -> Graph:
    """Return which of the modules each of them imports; a name imported from a module stands for the module."""
    names = {module.name for module in found}
    return {
        module.name: {home for one in module.imports if (home := home_of(one.name, names)) and home != module.name}
        for module in found
    }


def between_folders(found: list[Module] | tuple[Module, ...]) -> Graph:
    """Return which folders the modules of each folder import, other than those above and below it."""
    folders = {module.name: module.folder for module in found}
    graph: dict[str, set[str]] = {folder: set() for folder in folders.values()}
    for name, imported in imports(found).items():
        here = folders[name]
        graph[here].update(there for there in map(folders.__getitem__, imported) if not related(here, there))
    return graph


def circle(graph: Graph) -> list[str]:
    """Return some circle, each name imported by the next, the first being the last again; nothing without one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def related(here: str, there: str) -> bool:
    return within(here, there) or within(there, here)


def home_of(name: str, names: AbstractSet[str]) -> str:
    """Return the module that a name is imported from, nothing for one of another package."""
    while name and name not in names:
        name = name.rpartition(".")[0]
    return name


def written(name: str, source: str) -> Module:
    """Return a module as if a file had this source."""
    return Module.of(ROOT.joinpath(*name.split(".")).with_suffix(".py"), source)
