"""Where the data of a platform lies, unless one says otherwise."""

from __future__ import annotations

from pathlib import Path

import platformdirs

__all__ = ["default_data_dir"]


def default_data_dir(*, demo: bool) -> Path:
    """Return where embedded servers keep their data; simulated data has a directory of its own."""
    return platformdirs.user_data_path("dataplatform") / ("demo" if demo else "live")
