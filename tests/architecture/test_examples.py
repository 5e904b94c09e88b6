"""Every example in a docstring runs and shows what it says."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.architecture.package import Module, modules

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
WITH_EXAMPLES = [module for module in modules() if ">>> " in module.source]


@pytest.mark.parametrize("module", WITH_EXAMPLES, ids=lambda module: module.name)
def test_the_examples_of_a_module_run(module: Module, capsys: pytest.CaptureFixture[str]) -> None:
    results = doctest.testmod(importlib.import_module(module.name), optionflags=FLAGS)
    assert results.attempted > 0
    assert results.failed == 0, capsys.readouterr().out
