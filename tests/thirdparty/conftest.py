"""Packages of somebody else's: installed from their sources without a network, and a platform that finds them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as folder:  # a short path, for sockets
        yield Path(folder, "data")


@contextmanager
def running(installed: Site, file: Path, *options: object) -> Iterator[subprocess.Popen[str]]:
    """Run a platform, and end it at the latest when it is done with."""
    process = subprocess.Popen(
        installed.command(file, *options),
        env=installed.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)


def until(installed: Site, data_dir: Path, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask a platform for its status until that is as wanted."""
    deadline = time.monotonic() + DEADLINE
    told: Any = None
    while time.monotonic() < deadline:
        answer = installed.platform("status", "--json", "--data-dir", data_dir)
        told = json.loads(answer.stdout) if answer.returncode == 0 else answer.stderr
        if answer.returncode == 0 and is_so(told):
            return dict(told)
    raise AssertionError(told)
