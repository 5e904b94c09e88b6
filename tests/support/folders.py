"""Folders for servers, which are gone when their test is over."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import until

__all__ = ["new_folder"]


@contextmanager
def new_folder() -> Iterator[Path]:
    """Make a folder with a path short enough for a socket; a server that is just ending may still write into it."""
    folder = Path(tempfile.mkdtemp(prefix="dp-", dir="/tmp"))
    yield folder
    until(lambda: _is_removed(folder), f"{folder} is removed")


def _is_removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
