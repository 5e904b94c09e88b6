"""A command in a process of its own, beside a running platform, that a test may kill."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from dataplatform.system.platform.platform import Platform

__all__ = ["beside"]


def beside(platform: Platform, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command; what it leaves in the folder for temporary files is gone when the platform's folder is."""
    command = [sys.executable, "-m", "dataplatform.system", *map(str, arguments), "--data-dir", str(platform.data.path)]
    environ = {**os.environ, "TMPDIR": str(platform.data.path.parent)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "text": True}
    return subprocess.Popen(command, env=environ, **(quiet | options))
