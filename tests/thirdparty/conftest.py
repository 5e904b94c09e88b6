"""Packages of somebody else's: installed from their sources without a network, and a platform that finds them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from tests.support.waiting import DEADLINE


@frozen
class Site:
    """A folder in which a package is installed, and the command line that finds it there."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder)}

    @staticmethod
    def command(*arguments: object) -> list[str]:
        return [sys.executable, "-m", "dataplatform.system", *map(str, arguments)]

    def platform(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a command of the platform to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Site]:
    """Return a function that installs the package of a folder beside this file."""

    def install(name: str) -> Site:
        folder = tmp_path_factory.mktemp(name)
        sources = shutil.copytree(Path(__file__).parent / name, folder / "sources")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
        options = ["--no-deps", "--no-build-isolation", "--target", str(folder / "site")]
        done = subprocess.run(
            [*pip, *options, str(sources)], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, done.stderr
        return Site(folder / "site")

    return install
